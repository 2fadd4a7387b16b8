/**
 * [io] How soon idling IMAP sessions hear of a message on stock Dovecot: with what we ship, without metadata-push's wake, and
 * without hibernation. Then what 1,000 idle sessions cost. bench/README.md says how to read the tables. Needs root.
 */

import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  addressOf,
  type DovecotVersion,
  type Habit,
  IdleClient,
  Postman,
  startWakeRelay,
  type WakeRelay,
} from '../test/integration/wake-relay.ts';
import { describeMachine } from './lib/rounds.ts';
import { digits, markdownTable } from './lib/table.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = `usage: wake.ts [--quick] [--messages N] [--mailboxes N] [--sessions N] [--idle N] [--dovecot 2.3|2.4]
  [--only VARIANT,...]
  VARIANT is shipped, no-wake, no-hibernation or idle`;

/** Gaps between the messages to one mailbox: 0 to this, ms. */
const MAX_GAP_MS = 3000;
/** A share of the messages comes from the account itself: its other devices hear of them, no phone is pushed. */
const OWN_SHARE = 0.2;
/** The promise: no later than this after Dovecot said `Saved`, ms. */
const LIMIT_MS = 700;
/** What comes later than this counts as never. */
const PATIENCE_MS = 3000;
const SETTLE_MS = 5000;

type Edit = (dovecotConf: string) => string;

const VARIANTS: Readonly<Record<string, Edit>> = {
  shipped: (text) => text,
  // In the language of 2.3, and in that of 2.4.
  'no-wake': (text) =>
    text.replace(/^ *push_notification_driver.*\n/m, '').replace(/^push_notification lua \{[^}]*\}\n/m, ''),
  'no-hibernation': (text) => text.replace(/imap_hibernate_timeout = \S+/, 'imap_hibernate_timeout = 0'),
};

interface Options {
  readonly messages: number;
  readonly mailboxes: number;
  readonly sessions: number;
  readonly idle: number;
  readonly dovecot: DovecotVersion;
  readonly only: readonly string[];
}

function readArguments(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      messages: { type: 'string' },
      mailboxes: { type: 'string', default: '10' },
      sessions: { type: 'string', default: '3' },
      idle: { type: 'string' },
      dovecot: { type: 'string', default: '2.3' },
      only: { type: 'string', default: [...Object.keys(VARIANTS), 'idle'].join(',') },
    },
  });
  const number = (text: string | undefined, otherwise: number) => {
    const value = text === undefined ? otherwise : Number(text);
    if (!(value >= 1 && value <= 100_000)) throw new BenchError(USAGE);
    return value;
  };
  const dovecot = values.dovecot;
  if (dovecot !== '2.3' && dovecot !== '2.4') throw new BenchError(USAGE);
  return {
    messages: number(values.messages, values.quick ? 100 : 1000),
    mailboxes: number(values.mailboxes, 10),
    sessions: number(values.sessions, 3),
    idle: number(values.idle, values.quick ? 100 : 1000),
    dovecot,
    only: values.only.split(','),
  };
}

async function main(workspace: Workspace): Promise<void> {
  const options = readArguments();
  console.log(`${describeMachine()}, Dovecot ${options.dovecot}\n`);
  const names = Object.keys(VARIANTS).filter((name) => options.only.includes(name));
  if (names.length > 0) {
    const rows: string[][] = [];
    for (const name of names) {
      for (const habit of ['fetch', 'stay'] as const) rows.push(await measureLatency(workspace, name, habit, options));
    }
    const head = [
      'variant',
      'client',
      'announcements',
      '< 100 ms %',
      'p50 ms',
      'p90 ms',
      'p99 ms',
      'max ms',
      'late',
      'never',
    ];
    console.log(markdownTable(head, rows, 2));
  }
  if (options.only.includes('idle')) {
    const rows: string[][] = [];
    for (const timeout of ['1s', '30s', '0']) rows.push(await measureIdling(workspace, timeout, options));
    const head = ['imap_hibernate_timeout', 'sessions', 'processes', 'PSS MB', 'idle CPU %', 'CPU ms/message'];
    console.log(`\n${markdownTable(head, rows, 1)}`);
  }
}

async function measureLatency(workspace: Workspace, name: string, habit: Habit, options: Options): Promise<string[]> {
  const relay = await startWakeRelay(
    workspace.path(`${name}-${habit}`),
    workspace.guard,
    VARIANTS[name],
    options.dovecot,
  );
  try {
    const perMailbox = Math.ceil(options.messages / options.mailboxes);
    const work = Array.from({ length: options.mailboxes }, (_, n) =>
      watchMailbox(relay, addressOf(`user${n}`), habit, options.sessions, perMailbox),
    );
    const delays = (await Promise.all(work)).flat().sort((a, b) => a - b);
    const quantile = (share: number) => digits(delays[Math.min(Math.floor(delays.length * share), delays.length - 1)]!);
    const heard = delays.filter((ms) => ms <= PATIENCE_MS);
    return [
      name,
      habit,
      `${delays.length}`,
      ((delays.filter((ms) => ms < 100).length / delays.length) * 100).toFixed(0),
      quantile(0.5),
      quantile(0.9),
      quantile(0.99),
      digits(heard.at(-1)!),
      `${heard.filter((ms) => ms > LIMIT_MS).length}`,
      `${delays.length - heard.length}`,
    ];
  } finally {
    await relay.stop();
  }
}

/** Delivers messages to one mailbox and returns the delay of each announcement in each session, ms. */
async function watchMailbox(
  relay: WakeRelay,
  user: string,
  habit: Habit,
  sessions: number,
  messages: number,
): Promise<number[]> {
  const clients: IdleClient[] = [];
  // Sessions of different ages, as a phone's and a desktop's are.
  for (let n = 0; n < sessions; n++) {
    await sleep(Math.random() * 1000);
    clients.push(await IdleClient.open(relay, user, habit));
  }
  // Not while all of them log in, and Dovecot starts a process for the first time.
  await sleep(SETTLE_MS);
  const postman = await Postman.connect(relay);
  const savedAt: number[] = [];
  for (let n = 0; n < messages; n++) {
    await sleep(Math.random() * MAX_GAP_MS);
    savedAt.push(await postman.deliver(user, Math.random() < OWN_SHARE ? user : undefined));
  }
  await sleep(PATIENCE_MS);
  for (const client of clients) client.close();
  await postman.close();
  return clients.flatMap(({ announcedAt }) =>
    // An announcement may overtake the LMTP reply.
    savedAt.map((at, n) => Math.max((announcedAt[n] ?? Number.POSITIVE_INFINITY) - at, 0)),
  );
}

async function measureIdling(workspace: Workspace, timeout: string, options: Options): Promise<string[]> {
  const sessions = options.idle;
  const instances = Number(await readFile('/proc/sys/fs/inotify/max_user_instances', 'latin1'));
  if (instances < sessions + 100)
    throw new BenchError(`sysctl fs.inotify.max_user_instances must be above ${sessions + 100}`);
  const relay = await startWakeRelay(
    workspace.path(`idle-${timeout}`),
    workspace.guard,
    (text) => text.replace(/imap_hibernate_timeout = \S+/, `imap_hibernate_timeout = ${timeout}`),
    options.dovecot,
  );
  const clients: IdleClient[] = [];
  try {
    for (let n = 0; n < sessions; n++) clients.push(await IdleClient.open(relay, addressOf(`user${n}`), 'fetch'));
    await sleep(timeout === '0' ? 1000 : Number.parseInt(timeout, 10) * 1000 + 3000);
    const before = await groupUse(relay.dovecot.child.pid!);
    const idleSeconds = 20;
    await sleep(idleSeconds * 1000);
    const after = await groupUse(relay.dovecot.child.pid!);
    const postman = await Postman.connect(relay);
    const messages = 200;
    // Messages far enough apart that each is to a session that idles.
    for (let n = 0; n < messages; n++) {
      await postman.deliver(addressOf(`user${Math.floor((n * sessions) / messages)}`));
      await sleep(50);
    }
    await sleep(3000);
    await postman.close();
    const end = await groupUse(relay.dovecot.child.pid!);
    return [
      timeout,
      `${sessions}`,
      `${after.processes}`,
      after.pssMb.toFixed(0),
      digits((after.cpuMs - before.cpuMs) / (idleSeconds * 10)),
      digits((end.cpuMs - after.cpuMs) / messages),
    ];
  } finally {
    for (const client of clients) client.close();
    await relay.stop();
  }
}

/** Processes, proportional memory and CPU time (ended children included) of a process group. */
async function groupUse(group: number): Promise<{ processes: number; pssMb: number; cpuMs: number }> {
  let processes = 0;
  let pssKb = 0;
  let ticks = 0;
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[2]) !== group) continue;
    processes++;
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1').catch(() => '');
    pssKb += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
    // utime and stime, and those of ended children: the master waits for all of them.
    ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  }
  return { processes, pssMb: pssKb / 1000, cpuMs: ticks * 10 };
}

await runBenchmark(main);
