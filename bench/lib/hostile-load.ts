/**
 * [io] Attacks on a running filtermail, several at once and in random order, with honest messages in between that must pass,
 * and its memory all the while. Ends at the first thing that is not as it should be.
 */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestMta } from '../../packages/milter/src/testing.ts';
import { encryptedMessage } from '../messages.ts';
import { InstalledPackage } from './daemon.ts';
import { type Attack, attacksFrom } from './hostile-attacks.ts';
import { BenchError, type Workspace } from './workspace.ts';

/** Attacks under way at any time. */
const ATTACKERS = 6;
/** Longest time for an attack or an honest message to come to its end, ms. */
const PATIENCE_MS = 60_000;
const SENDER = 'abcdefghi@[127.0.0.1]';

export interface HostileTarget {
  readonly sockets: Readonly<Record<'outgoing' | 'incoming', string>>;
  readonly pid: number;
}

export interface HostileReport {
  /** How often each attack was made. */
  readonly attacks: ReadonlyMap<string, number>;
  readonly honest: number;
  /** Longest time an honest message took, ms. */
  readonly slowestHonestMs: number;
  /** Resident memory once a second, MB. */
  readonly rssMb: readonly number[];
  /** The most it ever was, MB. */
  readonly peakMb: number;
}

/** filtermail as an IP relay, which does not sign and needs no DKIM of its like, with the rate limit out of reach. */
export async function startTarget(workspace: Workspace): Promise<HostileTarget> {
  const mailboxes = workspace.path('mailboxes');
  await mkdir(`${mailboxes}/${SENDER}`, { recursive: true });
  await writeFile(`${mailboxes}/${SENDER}/enforceE2EEincoming`, '');
  const config = workspace.path('chatmail.ini');
  const rate = 'max_user_send_per_minute = 100000000\nmax_user_send_burst_size = 100000000\n';
  await writeFile(config, `[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${mailboxes}\n${rate}`);
  const sockets = {
    outgoing: workspace.path('outgoing.sock'),
    incoming: workspace.path('incoming.sock'),
    sign: workspace.path('sign.sock'),
  };
  const installed = await InstalledPackage.build(workspace);
  const { pid } = await installed.startDaemon('filtermail', config, sockets);
  return { pid, sockets };
}

/** @throws BenchError naming the attack and what came of it */
export async function attack(target: HostileTarget, seconds: number): Promise<HostileReport> {
  const until = performance.now() + seconds * 1000;
  const attacks = new Map<string, number>();
  const rssMb: number[] = [];
  let honest = 0;
  let slowestHonestMs = 0;

  const pass = async (mta: TestMta, after: string) => {
    const began = performance.now();
    await expectPassed(mta, after);
    honest++;
    slowestHonestMs = Math.max(slowestHonestMs, performance.now() - began);
  };
  const attacker = async (number: number) => {
    const list = attacksFrom(SENDER);
    // A slow machine needs longer until each has been made.
    for (let i = number; performance.now() < until || attacks.size < list.length; i++) {
      // All of them in turn, each attacker from another place.
      const one = list[(i * 7 + number * 5) % list.length]!;
      const socket = i % 2 === 0 ? target.sockets.outgoing : target.sockets.incoming;
      attacks.set(one.name, (attacks.get(one.name) ?? 0) + 1);
      await patiently(one.name, strike(socket, one, pass));
    }
  };
  const watcher = async () => {
    while (performance.now() < until) {
      rssMb.push(await memoryMb(target.pid, 'VmRSS'));
      await sleep(1000);
    }
  };
  await Promise.all([watcher(), ...Array.from({ length: ATTACKERS }, (_, number) => attacker(number))]);
  return { attacks, honest, slowestHonestMs, rssMb, peakMb: await memoryMb(target.pid, 'VmHWM') };
}

/** One attack; then honest messages, on the same connection where it is left, and on a new one. */
async function strike(
  socket: string,
  { name, outcome, run }: Attack,
  pass: (mta: TestMta, after: string) => Promise<void>,
): Promise<void> {
  const mta = await openConnection(socket);
  const seen = await run(mta);
  if (seen !== outcome) throw new BenchError(`${name}: ${seen}, not ${outcome}`);
  if (outcome === 'refused') {
    await pass(mta, name);
    await mta.quit();
  }
  const next = await openConnection(socket);
  await pass(next, name);
  await next.quit();
}

async function openConnection(path: string): Promise<TestMta> {
  const mta = await TestMta.connect({ path });
  await mta.negotiate();
  await mta.client();
  return mta;
}

async function expectPassed(mta: TestMta, after: string): Promise<void> {
  const { reply } = await mta.message(honestMessage());
  mta.abort();
  if (reply.type !== 'continue' && reply.type !== 'accept') {
    throw new BenchError(`an honest message after "${after}" got ${reply.type} ${'text' in reply ? reply.text : ''}`);
  }
}

const HONEST = encryptedMessage({ bytes: 20_000, from: SENDER, to: SENDER });

function honestMessage() {
  const end = HONEST.indexOf('\r\n\r\n');
  const fields = HONEST.subarray(0, end)
    .toString('latin1')
    .split(/\r\n(?![ \t])/);
  const headers = fields.map((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon), field.slice(colon + 2).replaceAll('\r\n', '\n')] as const;
  });
  return { sender: `<${SENDER}>`, recipients: [`<${SENDER}>`], headers, body: HONEST.subarray(end + 4) };
}

async function patiently(name: string, work: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const late = sleep(PATIENCE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new BenchError(`${name}: nothing came of it within ${PATIENCE_MS / 1000} s`);
  });
  late.catch(() => {});
  try {
    await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}

async function memoryMb(pid: number, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => {
    throw new BenchError('filtermail has ended');
  });
  return (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
}
