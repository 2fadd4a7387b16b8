/**
 * [io] chatmail-expire over a tree of mailboxes, warm and cold, beside `find` doing the same walk with stat(2) and a plain
 * Python one, all at the same priority; chatmail-fsreport over that tree; chatmail-quota-expire on one large mailbox; and
 * deliveries alone and beside expiry. bench/README.md says how to read the tables.
 *
 * The runs are dry: what is compared is the walk. Removing costs every program the same unlink(2).
 */

import { access, constants, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { InstalledPackage } from './lib/daemon.ts';
import { readOptions } from './lib/options.ts';
import { runToEnd } from './lib/process.ts';
import { describeMachine } from './lib/rounds.ts';
import { digits, markdownTable, median } from './lib/table.ts';
import { runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = `usage: expire.ts [--quick] [--rounds N] [--seconds S] [--mailboxes N] [--messages N]
  --mailboxes and --messages give the size of the tree (20000 and 10, with --quick 5000); S is for the deliveries`;

const DAY_SECONDS = 86_400;
/** Mailboxes made at once, so that the making does not take longer than the measuring. */
const MAKERS = 16;
const LARGE_MAILBOX_MESSAGES = 50_000;
const DELIVERY_BYTES = 20_000;
const DROP_CACHES = '/proc/sys/vm/drop_caches';

/** Runs a command and prints what it cost: only getrusage(2) knows, and Node does not ask it about children. */
const COST_OF = `
import json, resource, subprocess, sys, time
start = time.monotonic()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
seconds = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"status": status, "seconds": seconds, "cpuSeconds": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss * 1024 / 1e6}))
`;

const PYTHON_WALK = `
import os, sys
total = 0
for mailbox in os.listdir(sys.argv[1]):
    base = sys.argv[1] + "/" + mailbox
    for name in os.listdir(base):
        path = base + "/" + name
        if name in ("cur", "new", "tmp"):
            for message in os.listdir(path):
                total += os.stat(path + "/" + message).st_size
        else:
            total += os.stat(path).st_size
`;

interface Cost {
  readonly status: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly megabytes: number;
}

interface Variant {
  readonly label: string;
  readonly command: readonly string[];
}

async function main(workspace: Workspace): Promise<void> {
  const options = readOptions(
    USAGE,
    { full: { rounds: 7, seconds: 5 }, quick: { rounds: 3, seconds: 2 } },
    { mailboxes: 20_000, messages: 10 },
  );
  const mailboxes = options.quick ? Math.min(options.mailboxes, 5000) : options.mailboxes;
  await InstalledPackage.build(workspace);
  const bin = (name: string) => `${workspace.path('package')}/bin/${name}`;
  const tree = workspace.path('mail');
  await makeTree(tree, mailboxes, options.messages);
  const ini = workspace.path('chatmail.ini');
  await writeFile(ini, `[params]\nmail_domain = bench.example\nmailboxes_dir = ${tree}\n`);

  const nice = ['nice', '-n', '19'];
  const find: Variant = { label: 'find -printf "%s %T@"', command: [...nice, 'find', tree, '-printf', '%s %T@\\n'] };
  const variants: Variant[] = [
    find,
    { label: 'Python os.listdir, os.stat', command: [...nice, 'python3', '-c', PYTHON_WALK, tree] },
    { label: 'chatmail-expire', command: [bin('chatmail-expire'), ini] },
    { label: 'chatmail-fsreport', command: [...nice, bin('chatmail-fsreport'), ini] },
  ];
  console.log(`${describeMachine()}\n\n${mailboxes} mailboxes x ${options.messages} messages\n`);
  for (const variant of variants) await costOf(variant.command);
  console.log(await walkTable('warm', variants, find, options.rounds, async () => {}));
  if (await isWritable(DROP_CACHES)) {
    const dropCaches = () => runToEnd('sh', ['-c', `sync; echo 3 > ${DROP_CACHES}`]);
    console.log(await walkTable('cold', variants, find, Math.min(options.rounds, 3), dropCaches));
  }
  console.log(await quotaTable(workspace, bin('chatmail-quota-expire')));
  console.log(await deliveryTable(workspace, [bin('chatmail-expire'), ini], options.rounds, options.seconds));
}

async function makeTree(tree: string, mailboxes: number, messages: number): Promise<void> {
  const nowSecond = Math.floor(Date.now() / 1000);
  let next = 0;
  const makeSome = async () => {
    for (let number = next++; number < mailboxes; number = next++) {
      const mailbox = `${tree}/user${number}@bench.example`;
      for (const kind of ['cur', 'new', 'tmp']) await mkdir(`${mailbox}/${kind}`, { recursive: true });
      for (const name of ['password', 'enforceE2EEincoming', 'maildirsize', 'dovecot-uidlist', 'dovecot.index.log']) {
        await writeFile(`${mailbox}/${name}`, 'x');
      }
      for (let index = 0; index < messages; index++) await makeMessage(mailbox, index, nowSecond - index * DAY_SECONDS);
    }
  };
  await Promise.all(Array.from({ length: MAKERS }, makeSome));
}

async function makeMessage(mailbox: string, index: number, second: number): Promise<void> {
  const [kind, flags] = index % 5 === 4 ? ['new', ''] : ['cur', ':2,S'];
  const path = `${mailbox}/${kind}/${second}.M${index}P1.mx,S=10000,W=10100${flags}`;
  await writeFile(path, 'x');
  await utimes(path, second, second);
}

async function costOf(command: readonly string[]): Promise<Cost> {
  return JSON.parse(await runToEnd('python3', ['-c', COST_OF, ...command]));
}

/** Variants take turns within a round; ratios are taken within a round too, so that a busy machine treats them alike. */
async function walkTable(
  state: string,
  variants: readonly Variant[],
  reference: Variant,
  rounds: number,
  prepare: () => Promise<unknown>,
): Promise<string> {
  const costs = new Map<Variant, Cost[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (let index = 0; index < variants.length; index++) {
      const variant = variants[(round + index) % variants.length]!;
      await prepare();
      costs.get(variant)!.push(await costOf(variant.command));
    }
  }
  const rows = variants.map((variant) => {
    const turns = costs.get(variant)!;
    const ratios = turns.map((turn, round) => turn.seconds / costs.get(reference)![round]!.seconds);
    return [
      variant.label,
      digits(median(turns.map((turn) => turn.seconds))),
      digits(median(ratios)),
      digits(median(turns.map((turn) => turn.cpuSeconds))),
      digits(Math.max(...turns.map((turn) => turn.megabytes))),
    ];
  });
  return `${markdownTable([state, 's', 'x find', 'CPU s', 'peak MB'], rows, 1)}\n`;
}

/** From 75 % of the quota, where Dovecot calls it, down to 70 %. */
async function quotaTable(workspace: Workspace, program: string): Promise<string> {
  const mailbox = workspace.path('large@bench.example');
  for (const kind of ['cur', 'new', 'tmp']) await mkdir(`${mailbox}/${kind}`, { recursive: true });
  const firstSecond = Math.floor(Date.now() / 1000) - 10 * DAY_SECONDS;
  let next = 0;
  const makeSome = async () => {
    for (let index = next++; index < LARGE_MAILBOX_MESSAGES; index = next++) {
      await makeMessage(mailbox, index, firstSecond + index);
    }
  };
  await Promise.all(Array.from({ length: MAKERS }, makeSome));
  const megabytes = (LARGE_MAILBOX_MESSAGES * 10_000) / 2 ** 20;
  const rows: string[][] = [];
  for (const [label, target] of [
    ['nothing to remove', Math.ceil(megabytes)],
    ['75 % to 70 %', Math.floor((megabytes * 70) / 75)],
  ] as const) {
    const cost = await costOf([program, String(target), mailbox]);
    rows.push([label, digits(cost.seconds), digits(cost.cpuSeconds), digits(cost.megabytes)]);
  }
  await rm(mailbox, { recursive: true });
  return `${markdownTable([`quota-expire, ${LARGE_MAILBOX_MESSAGES} messages`, 's', 'CPU s', 'peak MB'], rows, 1)}\n`;
}

/** Deliveries as Dovecot makes them (write to tmp/, rename to new/), alone and while expiry runs again and again. */
async function deliveryTable(
  workspace: Workspace,
  expire: readonly string[],
  rounds: number,
  seconds: number,
): Promise<string> {
  const mailbox = workspace.path('delivery@bench.example');
  for (const kind of ['new', 'tmp']) await mkdir(`${mailbox}/${kind}`, { recursive: true });
  const alone: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await deliverFor(mailbox, seconds));
    let isDone = false;
    const expiring = (async () => {
      while (!isDone) await costOf(expire);
    })();
    beside.push(await deliverFor(mailbox, seconds));
    isDone = true;
    await expiring;
  }
  const ratio = median(beside.map((rate, round) => rate / alone[round]!));
  const rows = [
    ['alone', digits(median(alone)), '1.0'],
    ['beside chatmail-expire', digits(median(beside)), digits(ratio)],
  ];
  return `${markdownTable(['deliveries of 20 kB', 'per s', 'x alone'], rows, 1)}\n`;
}

async function deliverFor(mailbox: string, seconds: number): Promise<number> {
  const message = Buffer.alloc(DELIVERY_BYTES, 'x');
  const startMs = performance.now();
  let count = 0;
  for (; performance.now() - startMs < seconds * 1000; count++) {
    await writeFile(`${mailbox}/tmp/${count}`, message);
    await rename(`${mailbox}/tmp/${count}`, `${mailbox}/new/${count}`);
  }
  return (count * 1000) / (performance.now() - startMs);
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => process.getuid?.() === 0,
    () => false,
  );
}

await runBenchmark(main);
