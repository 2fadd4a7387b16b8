/**
 * [io] metadata-push with a gateway, and with APNs: from `messagenew` to the request on the wire at a paced rate, a burst of pushes with
 * quick and with slow answers, what a push costs in processor time, durable accepts and token sets, and memory.
 * bench/README.md says how to read the table.
 *
 * The services are stubs in processes of their own. No Dovecot in between: it would be the bottleneck.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, utimesSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DictClient } from '#dovecot-dict/testing';
import { makeCertificate } from '../packages/chatmailctl/src/demo/relay-files.ts';
import { compile, ensurePackages } from './lib/build.ts';
import { InstalledPackage } from './lib/daemon.ts';
import { readOptions } from './lib/options.ts';
import { type Program, runToEnd } from './lib/process.ts';
import { describeMachine, type LoadSummary } from './lib/rounds.ts';
import { digits, markdownTable, median } from './lib/table.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = 'usage: push.ts [--quick] [--rounds N] [--seconds S] [--pushes N] [--queued N]';
const GUID = '88b5140ddc6d026b1010000083ecc375';
const ACCOUNT = 'u%u@[127.0.0.1]';
const NEW_MESSAGE = `B%u\t${ACCOUNT}\nS%u\tpriv/${GUID}/messagenew\t\nC%u\n`;
/** Before the eight digits of an account: 32 bytes in hexadecimal name an Apple device. */
const APPLE = 'a'.repeat(56);
const CONNECTIONS = 100;
/** A message every 5 ms: a relay with some 100,000 messages an hour in the day's busiest one. */
const PACE_MS = 5;
const LONG_AGO_SECS = 1_700_000_000;
/** As many pushes as metadata-push has on the wire at once. */
const STREAMS = 128;
/** Longest wait for the pushes of a burst. */
const PATIENCE_MS = 60_000;

interface Tools {
  readonly workspace: Workspace;
  readonly installed: InstalledPackage;
  readonly load: string;
  readonly gateway: Service;
  readonly apns: Service;
}

interface Sizes {
  readonly seconds: number;
  readonly pushes: number;
  readonly queued: number;
}

async function main(workspace: Workspace): Promise<void> {
  const options = readOptions(
    USAGE,
    { full: { rounds: 3, seconds: 4 }, quick: { rounds: 1, seconds: 1 } },
    { pushes: 20_000, queued: 100_000 },
  );
  await ensurePackages({
    gcc: '/usr/bin/cc',
    'libc6-dev': '/usr/include/stdio.h',
    'nghttp2-client': '/usr/bin/h2load',
  });
  for (let n = 0; n < options.pushes; n++) {
    const mailbox = workspace.path(`mail/${ACCOUNT.replace('%u', digitsOf(n))}`);
    for (const name of ['new', 'cur']) mkdirSync(`${mailbox}/${name}`, { recursive: true });
    // Not as if they had just got a message: a daemon that starts sees to those.
    utimesSync(`${mailbox}/new`, LONG_AGO_SECS, LONG_AGO_SECS);
  }
  const tools: Tools = {
    workspace,
    installed: await InstalledPackage.build(workspace),
    load: await compile(workspace, 'dict-load.c'),
    gateway: await Service.start(workspace, 'gateway'),
    apns: await Service.start(workspace, 'apns'),
  };
  const head = describeMachine();
  const rounds: Record<string, string>[] = [];
  for (let round = 0; round < options.rounds; round++) {
    console.error(`round ${round + 1}`);
    rounds.push(await measureRound(tools, round, options));
  }
  const alone = [await stubAlone(tools.gateway, options.pushes), await stubAlone(tools.apns, options.pushes)];
  const rows = Object.keys(rounds[0]!).map((name) => [
    name,
    digits(median(rounds.map((round) => Number(round[name])))),
    rounds.map((round) => round[name]).join(', '),
  ]);
  console.log(`${head}\n${options.rounds} round(s), ${options.pushes} pushes in a burst`);
  console.log(`The stubs alone, driven by h2load: gateway ${alone[0]}/s, APNs ${alone[1]}/s\n`);
  console.log(markdownTable(['what', 'median', 'rounds'], rows, 1));
}

async function measureRound(tools: Tools, round: number, sizes: Sizes): Promise<Record<string, string>> {
  const gateway = await withDaemon(tools, `gateway-${round}`, tools.gateway, (daemon, socket, run) =>
    measureGateway(tools, sizes, daemon, socket, run),
  );
  const apns = await withDaemon(tools, `apns-${round}`, tools.apns, async (daemon, _, run) => {
    const { perSecond, cpuUs } = await measureBursts(tools.apns, sizes.pushes, daemon, run, APPLE);
    return {
      'APNs, burst: pushes/s': perSecond.quick,
      'APNs, burst, answers after 50 ms: pushes/s': perSecond.slow,
      'APNs, burst: CPU us/push': cpuUs,
    };
  });
  return { ...gateway, ...apns };
}

/** Loads the daemon with `count` requests, each of another account. */
type Run = (request: string, count: number) => Promise<LoadSummary>;

async function withDaemon<T>(
  { workspace, installed, load }: Tools,
  name: string,
  service: Service,
  measure: (daemon: Program, socket: string, run: Run) => Promise<T>,
): Promise<T> {
  const socket = workspace.path(`${name}.sock`);
  const config = workspace.path(`${name}.ini`);
  await rm(socket, { force: true });
  const common = ['[params]', 'mail_domain = 127.0.0.1', `mailboxes_dir = ${workspace.path('mail')}`];
  const lines = [...common, `state_dir = ${workspace.path(name)}`, 'turn_socket_path =', ...service.config];
  await writeFile(config, `${lines.join('\n')}\n`);
  const daemon = await installed.startDaemon('metadata-push', config, { metadata: socket });
  const run: Run = async (request, count) =>
    JSON.parse(
      await runToEnd(load, [
        ...['-u', socket, '-d', 'metadata', '-q', request, '-e', 'O'],
        ...['-n', `${CONNECTIONS}`, '-m', `${count}`, '-c', `${count}`, '-t', '120'],
      ]),
    ) as LoadSummary;
  try {
    return await measure(daemon, socket, run);
  } finally {
    await daemon.kill();
  }
}

async function measureGateway(
  { gateway }: Tools,
  { seconds, pushes, queued }: Sizes,
  daemon: Program,
  socket: string,
  run: Run,
): Promise<Record<string, string>> {
  const idle = memoryOf(daemon);
  const { sets, perSecond, cpuUs } = await measureBursts(gateway, pushes, daemon, run, 'token');

  await gateway.reset(0);
  const paced = await measurePaced(socket, gateway, Math.min(seconds * 1000, pushes * PACE_MS) / PACE_MS);

  // Answers that take a minute: what is measured is queueing alone.
  await run(setToken('token'), queued);
  await gateway.reset(60_000);
  const accepts = await run(NEW_MESSAGE, queued);
  const full = memoryOf(daemon);
  return {
    'idle: RSS MB': idle.rss,
    'token sets/s, durable': sets,
    'gateway, burst: pushes/s': perSecond.quick,
    'gateway, burst, answers after 50 ms: pushes/s': perSecond.slow,
    'gateway, burst: CPU us/push': cpuUs,
    'paced messagenew to the wire: p50 ms': paced.p50,
    'paced messagenew to the wire: p99 ms': paced.p99,
    'accepts/s at 100 connections, durable': accepts.perSecond.toFixed(0),
    [`${queued} queued: RSS MB`]: full.rss,
    [`${queued} queued: of it anonymous, MB`]: full.anonymous,
  };
}

function setToken(prefix: string): string {
  return `B%u\t${ACCOUNT}\nS%u\tpriv/${GUID}/devicetoken\t${prefix}%u\nC%u\n`;
}

/** A burst with answers at once and one with slow ones; the CPU time of the first has accepting, sending and writing in it. */
async function measureBursts(service: Service, pushes: number, daemon: Program, run: Run, prefix: string) {
  await service.reset(0);
  const sets = await run(setToken(prefix), pushes);
  const before = await daemon.cpuMs();
  await run(NEW_MESSAGE, pushes);
  await service.received(pushes);
  const quick = await service.state();
  await sleep(1200);
  const cpuMs = (await daemon.cpuMs()) - before;
  await service.reset(50);
  await run(NEW_MESSAGE, pushes);
  await service.received(pushes);
  const slow = await service.state();
  await sleep(1200);
  return {
    sets: sets.perSecond.toFixed(0),
    perSecond: { quick: rateOf(quick).toFixed(0), slow: rateOf(slow).toFixed(0) },
    cpuUs: ((cpuMs * 1000) / pushes).toFixed(0),
  };
}

/** What a stub takes by itself, requests a second: it must not be the limit. */
async function stubAlone(service: Service, requests: number): Promise<string> {
  await service.reset(0);
  const output = await runToEnd('h2load', [...service.h2loadArguments, '-n', `${requests}`]);
  return Number(/finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1] ?? NaN).toFixed(0);
}

/** One message after the other, each to another account. */
async function measurePaced(socket: string, gateway: Service, messages: number): Promise<{ p50: string; p99: string }> {
  const client = await DictClient.connect(socket);
  const sentAt: number[] = [];
  for (let n = 0; n < messages; n++) {
    sentAt.push(performance.timeOrigin + performance.now());
    await client
      .begin(`u${digitsOf(n)}@[127.0.0.1]`)
      .set(`priv/${GUID}/messagenew`, '')
      .commit();
    await sleep(PACE_MS);
  }
  await gateway.received(messages);
  await client.close();
  const { at } = await gateway.state();
  const delays = sentAt.map((time, n) => at[`token${digitsOf(n)}`]! - time).sort((a, b) => a - b);
  const quantile = (share: number) => delays[Math.floor(delays.length * share)]!.toFixed(2);
  return { p50: quantile(0.5), p99: quantile(0.99) };
}

const digitsOf = (n: number) => String(n).padStart(8, '0');

interface GatewayState {
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly at: Readonly<Record<string, number>>;
}

function rateOf({ count, firstAt, lastAt }: GatewayState): number {
  return (count - 1) / ((lastAt - firstAt) / 1000);
}

/** Of which the rest is the program's own file and the database's, both in the page cache. */
function memoryOf({ pid }: Program): { rss: string; anonymous: string } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const megabytes = (field: string) =>
    ((Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6).toFixed(0);
  return { rss: megabytes('VmRSS'), anonymous: megabytes('RssAnon') };
}

class Service {
  /** Lines of chatmail.ini that send pushes here. */
  readonly config: readonly string[];
  readonly h2loadArguments: readonly string[];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    lines: AsyncIterator<string>,
    config: readonly string[],
    h2loadArguments: readonly string[],
  ) {
    this.#child = child;
    this.#lines = lines;
    this.config = config;
    this.h2loadArguments = h2loadArguments;
  }

  static async start(workspace: Workspace, kind: 'gateway' | 'apns'): Promise<Service> {
    const certificate = {
      chain: workspace.path('stub.crt'),
      key: workspace.path('stub.key'),
    };
    if (kind === 'apns') {
      await makeCertificate(certificate, '127.0.0.1');
      // For the daemons to come.
      process.env.NODE_EXTRA_CA_CERTS = certificate.chain;
    }
    const args = [join(import.meta.dirname, 'push-stub.ts'), kind, certificate.chain, certificate.key];
    const child = spawn(process.execPath, args, {
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    }) as unknown as ChildProcessWithoutNullStreams;
    await once(child, 'spawn');
    workspace.guard.started(child.pid!);
    child.unref();
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const port = /^ready (\d+)$/.exec((await lines.next()).value ?? '')?.[1];
    const body = workspace.path('body');
    await writeFile(body, `${APPLE}00000000`);
    const gateway = `http://127.0.0.1:${port}/notify`;
    const origin = `https://127.0.0.1:${port}`;
    return kind === 'gateway'
      ? new Service(
          child,
          lines,
          [`push_gateway_url = ${gateway}`],
          ['--h1', '-c', `${STREAMS}`, '-m', '1', '-d', body, gateway],
        )
      : new Service(child, lines, await apnsConfig(workspace, origin), [
          ...['-c', '1', '-m', `${STREAMS}`, '-d', body],
          `${origin}/3/device/${APPLE}00000000`,
        ]);
  }

  /** Forgets what came, and answers after `delayMs` from now on. */
  async reset(delayMs: number): Promise<void> {
    await this.#ask(`${delayMs}`);
  }

  async state(): Promise<GatewayState> {
    return JSON.parse(await this.#ask('')) as GatewayState;
  }

  /** Resolves when so many posts have come. @throws BenchError when they do not */
  async received(count: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while ((await this.state()).count < count) {
      if (performance.now() > deadline) throw new BenchError('pushes do not arrive');
      await sleep(20);
    }
  }

  async #ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return (await this.#lines.next()).value;
  }
}

async function apnsConfig(workspace: Workspace, origin: string): Promise<string[]> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = workspace.path('apns.p8');
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const id = ['apns_key_id = ABC123DEFG', 'apns_team_id = DEF123GHIJ', 'apns_topic = chat.example'];
  return ['push = direct', `apns_key = ${key}`, ...id, `push_endpoints = apns=${origin}`];
}

await runBenchmark(main);
