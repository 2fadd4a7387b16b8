/**
 * [io] For tests: a DNS server on loopback, UDP and TCP, that answers as told and remembers what it was asked. It shares no code
 * with the client it tests.
 */

import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

export type ZoneEntry =
  /** TXT records; `strings` of one record are given separately or cut at 255 bytes. */
  | { readonly txt: readonly string[]; readonly ttl?: number }
  /** With `chased`, the answer holds the target's records too, as recursive resolvers do it. */
  /** What a host name has; other types are answered with no records. */
  | { readonly a?: string; readonly mx?: string }
  | { readonly cname: string; readonly ttl?: number; readonly isChased?: boolean }
  | { readonly rcode: number }
  | { readonly raw: (query: Buffer) => Buffer };

export class DnsStub {
  readonly zone = new Map<string, ZoneEntry>();
  /** `udp name` or `tcp name` for each query. */
  readonly queries: string[] = [];
  /** Answers nothing. */
  isSilent = false;
  /** Says over UDP that every answer is too long for it. */
  isTruncating = false;
  port = 0;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;

  private constructor() {
    this.#udp = createSocket('udp4');
    this.#tcp = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data: Buffer) => {
        const answer = this.#answer(data.subarray(2), 'tcp');
        if (!answer) return;
        const framed = Buffer.concat([uint16(answer.length), answer]);
        // In two pieces, as networks do.
        socket.write(framed.subarray(0, 5));
        setTimeout(() => socket.end(framed.subarray(5)), 5);
      });
    });
    this.#udp.on('message', (query, from) => {
      const answer = this.#answer(query, 'udp');
      if (answer) this.#udp.send(answer, from.port, from.address);
    });
  }

  static async start(port = 0): Promise<DnsStub> {
    const stub = new DnsStub();
    stub.#tcp.listen(port, '127.0.0.1');
    await once(stub.#tcp, 'listening');
    stub.port = (stub.#tcp.address() as { port: number }).port;
    stub.#udp.bind(stub.port, '127.0.0.1');
    await once(stub.#udp, 'listening');
    return stub;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#udp.close();
    this.#tcp.close();
    await once(this.#tcp, 'close');
  }

  #answer(query: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    const { name, type, end } = questionOf(query);
    this.queries.push(`${transport} ${name}`);
    if (this.isSilent) return undefined;
    const entry = this.zone.get(name.toLowerCase());
    if (entry && 'raw' in entry) return entry.raw(query);
    const question = query.subarray(12, end);
    const isCut = this.isTruncating && transport === 'udp';
    const rcode = entry ? ('rcode' in entry ? entry.rcode : 0) : 3;
    const records = isCut ? [] : this.#records(name, type, entry);
    const head = Buffer.concat([
      query.subarray(0, 2),
      uint16(0x8180 | (isCut ? 0x0200 : 0) | rcode),
      uint16(1),
      uint16(records.length),
      uint16(0),
      uint16(0),
    ]);
    return Buffer.concat([head, question, ...records]);
  }

  #records(name: string, type: number, entry: ZoneEntry | undefined): Buffer[] {
    if (!entry || 'rcode' in entry || 'raw' in entry) return [];
    // The owner: a pointer to the question when it is that name.
    const owner = (text: string) => (text === name ? Buffer.from([0xc0, 12]) : encodeName(text));
    const ttl = ('ttl' in entry ? entry.ttl : undefined) ?? 300;
    if ('txt' in entry) return entry.txt.map((text) => record(owner(name), 16, ttl, strings(text)));
    if (!('cname' in entry)) return hostRecords(owner(name), type, entry);
    const alias = record(owner(name), 5, ttl, encodeName(entry.cname));
    const target = entry.isChased ? this.zone.get(entry.cname) : undefined;
    if (!target || !('txt' in target)) return [alias];
    return [alias, ...target.txt.map((text) => record(encodeName(entry.cname), 16, target.ttl ?? 300, strings(text)))];
  }
}

function hostRecords(owner: Buffer, type: number, { a, mx }: { a?: string; mx?: string }): Buffer[] {
  if (type === 1 && a !== undefined) return [record(owner, 1, 300, Buffer.from(a.split('.').map(Number)))];
  if (type === 15 && mx !== undefined) return [record(owner, 15, 300, Buffer.concat([uint16(10), encodeName(mx)]))];
  return [];
}

function questionOf(query: Buffer): { readonly name: string; readonly type: number; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (; query[at] !== 0; at += 1 + query[at]!) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function encodeName(name: string): Buffer {
  return Buffer.from(
    `${name.split('.').reduce((text, label) => `${text}${String.fromCharCode(label.length)}${label}`, '')}\0`,
    'latin1',
  );
}

function strings(text: string): Buffer {
  const pieces = text.match(/[\s\S]{1,255}/g) ?? [''];
  return Buffer.concat(pieces.map((piece) => Buffer.from(String.fromCharCode(piece.length) + piece, 'latin1')));
}

function record(owner: Buffer, type: number, ttl: number, data: Buffer): Buffer {
  const fixed = Buffer.concat([uint16(type), uint16(1), Buffer.alloc(4), uint16(data.length)]);
  fixed.writeUInt32BE(ttl, 4);
  return Buffer.concat([owner, fixed, data]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
