/**
 * [io] Asks DNS servers for TXT records: over UDP, each query from a port and with an id of its own, and over TCP when the answer
 * is too long. Servers are asked one after another, twice at most. There are no search domains and no hosts file here; the
 * servers resolve recursively and validate (unbound, systemd-resolved, BIND).
 */

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns';
import { connect, isIP } from 'node:net';
import { decodeTxtAnswer, encodeTxtQuery, RCODE_NO_NAME, RCODE_OK, type TxtAnswer } from './dns-message.ts';
import { type DnsServer, parseDnsServer } from './dns-server.ts';

export type TxtResult =
  | { readonly status: 'found'; readonly texts: readonly string[]; readonly ttlSeconds: number }
  | { readonly status: 'missing' }
  | { readonly status: 'temporary' };

/** How long one server may take to answer, ms, in the first round and in the second. */
const ROUND_TIMEOUTS_MS = [2000, 3000] as const;
/** How long a look-up may take in all, ms: twice (a remembered key first) has to fit into what the MTA waits for us. */
const LOOK_UP_TIMEOUT_MS = 15_000;
/** Most servers asked (resolv.conf(5) MAXNS). */
const MAX_SERVERS = 3;
/** Most CNAMEs that are followed by asking again, because the server did not. */
const MAX_ALIASES = 4;

/** The servers of resolv.conf(5), read now. */
export function systemDnsServers(): DnsServer[] {
  return new Resolver().getServers().flatMap((text) => parseDnsServer(text) ?? []);
}

/** Looks up the TXT records of an ASCII name. Never rejects; takes `totalMs` at most. */
export async function lookUpTxt(
  servers: readonly DnsServer[],
  name: string,
  timeoutsMs: readonly number[] = ROUND_TIMEOUTS_MS,
  totalMs: number = LOOK_UP_TIMEOUT_MS,
): Promise<TxtResult> {
  const endMs = performance.now() + totalMs;
  let target = name;
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (let aliases = 0; aliases <= MAX_ALIASES; aliases++) {
    const answer = await askServers(servers, target, timeoutsMs, endMs);
    if (!answer) return { status: 'temporary' };
    ttlSeconds = Math.min(ttlSeconds, answer.ttlSeconds);
    if (answer.texts.length > 0) return { status: 'found', texts: answer.texts, ttlSeconds };
    if (answer.rcode === RCODE_NO_NAME || answer.target === target) return { status: 'missing' };
    target = answer.target;
  }
  // In a circle, or too far: the name may have records, we did not get to them.
  return { status: 'temporary' };
}

/** The first answer that says whether there are records. */
async function askServers(
  servers: readonly DnsServer[],
  name: string,
  timeoutsMs: readonly number[],
  endMs: number,
): Promise<TxtAnswer | undefined> {
  // What cannot be asked for cannot be there.
  if (!encodeTxtQuery(0, name))
    return { isTruncated: false, rcode: RCODE_NO_NAME, target: name, texts: [], ttlSeconds: 0 };
  for (const timeoutMs of timeoutsMs) {
    for (const server of servers.slice(0, MAX_SERVERS)) {
      const timeLeft = () => Math.min(timeoutMs, endMs - performance.now());
      if (timeLeft() <= 0) return undefined;
      let answer = await ask(askByUdp, server, name, timeLeft());
      if (answer?.isTruncated) answer = await ask(askByTcp, server, name, timeLeft());
      if (answer && !answer.isTruncated && (answer.rcode === RCODE_OK || answer.rcode === RCODE_NO_NAME)) return answer;
    }
  }
  return undefined;
}

interface Question {
  readonly server: DnsServer;
  readonly query: Buffer;
  /** Ends the waiting when it returns true. */
  readonly isAnswer: (message: Buffer) => boolean;
}

/** Sends a question and returns a function that hangs up. `onFailure` may be called more than once. */
type Transport = (question: Question, onFailure: () => void) => () => void;

function ask(transport: Transport, server: DnsServer, name: string, timeoutMs: number): Promise<TxtAnswer | undefined> {
  const id = randomInt(0x1_0000);
  const query = encodeTxtQuery(id, name)!;
  return new Promise((resolve) => {
    const end = (answer: TxtAnswer | undefined) => {
      clearTimeout(timer);
      hangUp();
      resolve(answer);
    };
    const timer = setTimeout(() => end(undefined), timeoutMs);
    const isAnswer = (message: Buffer) => {
      const answer = decodeTxtAnswer(message, id, name);
      if (answer) end(answer);
      return answer !== undefined;
    };
    const hangUp = transport({ server, query, isAnswer }, () => end(undefined));
  });
}

function askByUdp({ server, query, isAnswer }: Question, onFailure: () => void): () => void {
  const socket = createSocket(isIP(server.address.split('%')[0]!) === 6 ? 'udp6' : 'udp4');
  let isOpen = true;
  socket.on('error', onFailure);
  // Connected: the kernel drops what does not come from that server, and reports a closed port.
  // The event and not a callback: a server without a route is an error only where there is none.
  socket.on('connect', () => {
    if (isOpen) socket.send(query);
  });
  socket.connect(server.port, server.address);
  socket.on('message', (message) => void isAnswer(message));
  return () => {
    if (isOpen) socket.close();
    isOpen = false;
  };
}

function askByTcp({ server, query, isAnswer }: Question, onFailure: () => void): () => void {
  const socket = connect({ host: server.address, port: server.port });
  let received = Buffer.alloc(0);
  socket.on('error', onFailure);
  socket.on('close', onFailure);
  // RFC 1035 §4.2.2: two bytes of length before the message.
  const length = Buffer.alloc(2);
  length.writeUInt16BE(query.length);
  socket.write(Buffer.concat([length, query]));
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const size = received.length < 2 ? undefined : received.readUInt16BE(0);
    if (size === undefined || received.length < 2 + size) return;
    if (!isAnswer(received.subarray(2, 2 + size))) onFailure();
  });
  return () => socket.destroy();
}
