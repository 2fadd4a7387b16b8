/**
 * [io] Load on the dict sockets: doveauth and metadata-push beside a server that only speaks the protocol, and creations of
 * accounts beside crypt(3) in C, in one run. bench/README.md says how to read the table.
 *
 * No Dovecot in between: it would be the bottleneck. The client is C and does what Dovecot's processes do.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ACCOUNT, OPERATIONS, type Operation, passdb, SET_TOKEN, type ServerName } from './dict-operations.ts';
import { compile, ensurePackages } from './lib/build.ts';
import { InstalledPackage } from './lib/daemon.ts';
import { readOptions } from './lib/options.ts';
import { type Program, runToEnd } from './lib/process.ts';
import { alternate, describeMachine, type LoadSummary, measured, summarise, type Turn } from './lib/rounds.ts';
import { digits, markdownTable } from './lib/table.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = `usage: dict.ts [--quick] [--rounds N] [--seconds S] [--only OPERATION,...] [--cells CONNECTIONS,...] [--accounts N]
  OPERATION is one of those in the table; CONNECTIONS are 1, 10 and 100 if not given`;

const HEADER = [
  'operation',
  'connections',
  'server',
  'requests/s',
  'spread %',
  'p50 ms',
  'p99 ms',
  'CPU ms/1000',
  'RSS MB',
  'x reference',
];

/** A hash that nobody verifies here. */
const HASH = `{SHA512-CRYPT}$6$0123456789abcdef$${'x'.repeat(86)}`;

/** Every connection of an operation `meanwhile` pauses this long between its look-ups, ms. */
const PAUSE_MS = 5;

/** What takes part in a cell: a server of ours, or the reference. */
interface Variant {
  readonly label: string;
  readonly program: Program | undefined;
  readonly run: (seconds: number) => Promise<LoadSummary>;
}

interface Tools {
  readonly workspace: Workspace;
  readonly installed: InstalledPackage;
  readonly load: string;
  readonly crypt: string;
  readonly config: string;
  /** Accounts that exist beforehand. */
  readonly accounts: number;
}

async function main(workspace: Workspace): Promise<void> {
  const options = readOptions(
    USAGE,
    { full: { rounds: 5, seconds: 3 }, quick: { rounds: 1, seconds: 1 } },
    { accounts: 10_000 },
  );
  const { accounts } = options;
  const operations = OPERATIONS.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const connections = options.cells.length > 0 ? options.cells.map(Number) : [1, 10, 100];
  if (operations.length === 0 || !connections.every((count) => count > 0 && count <= 1000)) throw new BenchError(USAGE);
  await ensurePackages({
    gcc: '/usr/bin/cc',
    'libc6-dev': '/usr/include/stdio.h',
    'libcrypt-dev': '/usr/include/crypt.h',
  });
  const tools: Tools = {
    workspace,
    installed: await InstalledPackage.build(workspace),
    load: await compile(workspace, 'dict-load.c'),
    crypt: await compile(workspace, 'crypt-rate.c', ['crypt']),
    config: await prepareRelay(workspace, accounts),
    accounts,
  };
  const head = describeMachine();
  const rows: string[][] = [];
  try {
    for (const operation of operations) {
      for (const count of connections) {
        console.error(`${operation.name}, ${count} connections`);
        rows.push(...(await measureCell(tools, operation, count, options)));
      }
    }
  } finally {
    console.log(`${head}\n${options.rounds} round(s) of ${options.seconds} s, ${accounts} accounts\n`);
    console.log(markdownTable(HEADER, rows, 3));
  }
}

/** Accounts, a configuration whose limits are out of reach, a gateway that takes every push. Returns the configuration. */
async function prepareRelay(workspace: Workspace, accounts: number): Promise<string> {
  const mailboxes = workspace.path('mailboxes');
  mkdirSync(mailboxes);
  for (let n = 0; n < accounts; n++) {
    const directory = `${mailboxes}/${ACCOUNT.replace('%u', String(n).padStart(8, '0'))}`;
    mkdirSync(directory);
    writeFileSync(`${directory}/password`, HASH);
  }
  const gateway = createServer((request, response) => {
    request.resume();
    response.end();
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  gateway.unref();
  const config = workspace.path('chatmail.ini');
  await writeFile(
    config,
    `[params]
mail_domain = 127.0.0.1
mailboxes_dir = ${mailboxes}
state_dir = ${workspace.path('state')}
push_gateway_url = http://127.0.0.1:${(gateway.address() as AddressInfo).port}/notify
max_load_1m = 100000
min_available_memory = 0
min_free_disk_space = 0
`,
  );
  return config;
}

/** Every cell has servers of its own, so that its peak of memory is not that of another. */
async function measureCell(
  tools: Tools,
  operation: Operation,
  connections: number,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<string[][]> {
  const programs: Program[] = [];
  try {
    const variants = await startVariants(tools, operation, connections, programs);
    for (const variant of variants) await variant.run(Math.min(0.5, seconds / 4));
    const turns = await alternate(variants, rounds, (variant) => measured(variant.program, () => variant.run(seconds)));
    return await Promise.all(variants.map((variant) => row(operation, connections, variant, turns)));
  } finally {
    for (const program of programs) await program.kill();
  }
}

/** The reference comes first. */
async function startVariants(
  tools: Tools,
  operation: Operation,
  connections: number,
  programs: Program[],
): Promise<Variant[]> {
  const { workspace, load, crypt, accounts } = tools;
  const loadArguments = (socket: string, seconds: number) => [
    ...['-u', socket, '-d', operation.server, '-n', `${connections}`, '-t', `${seconds}`],
    ...['-q', operation.request, '-e', operation.expect, ...(operation.fresh ? ['-F'] : [])],
  ];
  const loadExisting = async (socket: string, seconds: number) =>
    summaryOf(await runToEnd(load, [...loadArguments(socket, seconds), '-m', `${accounts}`]));

  const [daemon, socket] = await startDaemon(tools, operation.server);
  programs.push(daemon);
  const label = operation.server === 'metadata' ? 'metadata-push' : 'doveauth';
  if (operation.needsTokens) await giveTokens(tools, socket);
  if (!operation.creates) {
    const bareSocket = workspace.path('bare.sock');
    await rm(bareSocket, { force: true });
    const bare = await tools.installed.startBareServer('bare-dict', bareSocket);
    programs.push(bare);
    return [
      { label: '#dovecot-dict alone', program: bare, run: (seconds) => loadExisting(bareSocket, seconds) },
      { label, program: daemon, run: (seconds) => loadExisting(socket, seconds) },
    ];
  }

  const create = async (seconds: number) =>
    summaryOf(await runToEnd(load, [...loadArguments(socket, seconds), '-b', `${nextNewAccount()}`]));
  const lookUp = ['-u', socket, '-d', 'auth', '-n', '10', '-q', passdb(ACCOUNT), '-e', 'O{', '-m', `${accounts}`];
  const createAndLookUp = async (seconds: number) => {
    const paced = runToEnd(load, [...lookUp, '-t', `${seconds}`, '-w', `${PAUSE_MS}`]);
    await create(seconds);
    return summaryOf(await paced);
  };
  if (operation.meanwhile) return [{ label, program: daemon, run: createAndLookUp }];
  return [
    {
      label: 'crypt(3), one core',
      program: undefined,
      run: async (seconds) => summaryOf(await runToEnd(crypt, [`${seconds}`])),
    },
    { label, program: daemon, run: create },
  ];
}

/** Each account gets its token; a second time that changes nothing. */
async function giveTokens({ load, accounts }: Tools, socket: string): Promise<void> {
  const all = ['-m', `${accounts}`, '-c', `${accounts}`, '-t', '60', '-n', '100'];
  await runToEnd(load, ['-u', socket, '-d', 'metadata', '-q', SET_TOKEN, ...all]);
}

let newAccounts = 0;

/** No turn creates as many as a million. */
function nextNewAccount(): number {
  newAccounts += 1_000_000;
  return newAccounts;
}

async function startDaemon(tools: Tools, server: ServerName): Promise<[daemon: Program, socket: string]> {
  const { installed, workspace, config } = tools;
  const names = server === 'metadata' ? ['metadata'] : ['auth', 'lastlogin', 'http'];
  const sockets = Object.fromEntries(names.map((name) => [name, workspace.path(`${name}.sock`)]));
  for (const path of Object.values(sockets)) await rm(path, { force: true });
  const daemon = await installed.startDaemon(server === 'metadata' ? 'metadata-push' : 'doveauth', config, sockets);
  return [daemon, sockets[server]!];
}

function summaryOf(json: string): LoadSummary {
  return JSON.parse(json) as LoadSummary;
}

async function row(
  operation: Operation,
  connections: number,
  variant: Variant,
  turns: ReadonlyMap<Variant, readonly Turn[]>,
): Promise<string[]> {
  const { label, program } = variant;
  const [reference] = turns.values();
  const figures = summarise(turns.get(variant)!, reference);
  return [
    operation.name,
    `${connections}`,
    label,
    digits(figures.perSecond),
    (figures.spread * 100).toFixed(0),
    digits(figures.p50Ms),
    digits(figures.p99Ms),
    digits(figures.cpuMsPer1000),
    (await program?.memory()) ?? '-',
    operation.meanwhile ? '-' : figures.ratio.toFixed(2),
  ];
}

await runBenchmark(main);
