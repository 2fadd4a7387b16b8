/**
 * The MTA's side of the milter protocol, for tests and benchmarks: it sends what Postfix sends, honours what was
 * negotiated as Postfix does, and decodes replies. [io] Everything is awaited without a limit: the test runner has one.
 */

import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { Offer } from './command.ts';
import { encodeFrame, FrameReader } from './frame.ts';
import type { EventName } from './handler.ts';
import { decodeReply, type MtaReply } from './mta-reply.ts';
import * as P from './protocol.ts';

export { decodeReply, type MtaReply } from './mta-reply.ts';

/** What Postfix 3.7 offers. */
export const POSTFIX_OFFER: Offer = { version: 6, actions: 0x1ff, steps: 0x1f_ffff };

/** A whole message; what is left out has a harmless default. */
export interface TestMessage {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Buffer | string;
  /** Macros by event: `mail`, `recipient`, `header`... One recipient's `{rcpt_addr}` is sent unless given. */
  readonly macros?: Readonly<Partial<Record<EventName | 'endOfMessage', Readonly<Record<string, string>>>>>;
}

/** What became of a message. */
export interface MessageResult {
  /** The event that got the final reply. */
  readonly event: string;
  readonly reply: MtaReply;
  /** Modifications before it. */
  readonly edits: readonly MtaReply[];
  /** SMFIR_PROGRESS received. */
  readonly progress: number;
}

/** Bits that leave an event out, and that make it go without reply, by command. */
const STEPS: ReadonlyMap<number, readonly [event: EventName | 'endOfMessage', off: number, noReply: number]> = new Map([
  [P.SMFIC_CONNECT, ['connect', P.SMFIP_NOCONNECT, P.SMFIP_NR_CONN]],
  [P.SMFIC_HELO, ['helo', P.SMFIP_NOHELO, P.SMFIP_NR_HELO]],
  [P.SMFIC_MAIL, ['mail', P.SMFIP_NOMAIL, P.SMFIP_NR_MAIL]],
  [P.SMFIC_RCPT, ['recipient', P.SMFIP_NORCPT, P.SMFIP_NR_RCPT]],
  [P.SMFIC_DATA, ['data', P.SMFIP_NODATA, P.SMFIP_NR_DATA]],
  [P.SMFIC_HEADER, ['header', P.SMFIP_NOHDRS, P.SMFIP_NR_HDR]],
  [P.SMFIC_EOH, ['endOfHeaders', P.SMFIP_NOEOH, P.SMFIP_NR_EOH]],
  [P.SMFIC_BODY, ['body', P.SMFIP_NOBODY, P.SMFIP_NR_BODY]],
  [P.SMFIC_BODYEOB, ['endOfMessage', 0, 0]],
  [P.SMFIC_UNKNOWN, ['unknown', P.SMFIP_NOUNKNOWN, P.SMFIP_NR_UNKN]],
]);

/** One milter connection, as an MTA holds it. */
export class TestMta {
  readonly socket: Socket;
  /** What was agreed; until {@link negotiate}, everything is sent and waited for. */
  agreed: Offer = { version: 6, actions: 0, steps: 0 };
  readonly #replies: MtaReply[] = [];
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    const reader = new FrameReader({
      frame: (command, data) => {
        this.#replies.push(decodeReply(command, Buffer.from(data)));
        return true;
      },
      body: () => {
        throw new Error('a milter sent SMFIC_BODY');
      },
    });
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
      this.#wake?.();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#wake?.());
  }

  /** Connects to a milter. */
  static async connect(where: NetConnectOpts): Promise<TestMta> {
    const socket = connect(where);
    await once(socket, 'connect');
    return new TestMta(socket);
  }

  /** Sends any bytes. */
  raw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends one frame. */
  send(command: number, data: Uint8Array | string = ''): void {
    this.raw(encodeFrame(command, typeof data === 'string' ? Buffer.from(data, 'latin1') : data));
  }

  /** The next reply. Rejects when the milter has closed the connection instead. */
  async read(): Promise<MtaReply> {
    while (this.#replies.length === 0) {
      if (this.socket.closed) throw new Error('the milter closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#replies.shift()!;
  }

  /** Replies received and not read. */
  get unread(): number {
    return this.#replies.length;
  }

  /** Resolves when the milter has closed the connection. */
  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close');
  }

  async negotiate(offer: Offer = POSTFIX_OFFER): Promise<MtaReply & { type: 'negotiate' }> {
    const data = Buffer.alloc(12);
    data.writeUInt32BE(offer.version, 0);
    data.writeUInt32BE(offer.actions, 4);
    data.writeUInt32BE(offer.steps, 8);
    this.send(P.SMFIC_OPTNEG, data);
    const reply = await this.read();
    if (reply.type !== 'negotiate') throw new Error(`a ${reply.type} instead of a negotiation`);
    this.agreed = reply.offer;
    return reply;
  }

  /** Sends SMFIC_MACRO for the stage of `command`. */
  macros(command: number, values: Readonly<Record<string, string>>): void {
    const text = Object.entries(values).map(([name, value]) => `${name}\0${value}\0`);
    this.send(P.SMFIC_MACRO, String.fromCharCode(command) + text.join(''));
  }

  /** Sends an event unless it was switched off, and reads its reply unless it has none (then: undefined). */
  async event(command: number, data: Uint8Array | string = ''): Promise<MtaReply | undefined> {
    const [, off, noReply] = STEPS.get(command)!;
    if ((this.agreed.steps & off) !== 0) return undefined;
    this.send(command, data);
    return (this.agreed.steps & noReply) === 0 ? await this.read() : undefined;
  }

  /** SMFIC_CONNECT and SMFIC_HELO of an SMTP client at 192.0.2.1. */
  async client(
    macros: Readonly<Record<string, string>> = { j: 'relay.test', '{daemon_name}': 'smtpd' },
  ): Promise<void> {
    this.macros(P.SMFIC_CONNECT, macros);
    await this.event(P.SMFIC_CONNECT, 'client.test\0' + '4\x04\x00192.0.2.1\0');
    this.macros(P.SMFIC_HELO, {});
    await this.event(P.SMFIC_HELO, 'client.test\0');
  }

  /** Sends one message up to its end or its refusal, without the SMFIC_ABORT that Postfix sends after it. */
  async message(message: TestMessage = {}): Promise<MessageResult> {
    const { sender = '<alice@relay.test>', recipients = ['<bob@relay.test>'], macros = {} } = message;
    const { headers = [['From', sender]], body = 'hello\r\n' } = message;
    const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += P.MILTER_CHUNK_SIZE) {
      chunks.push(bytes.subarray(at, at + P.MILTER_CHUNK_SIZE));
    }
    const steps: (readonly [number, Uint8Array | string, Readonly<Record<string, string>>])[] = [
      [P.SMFIC_MAIL, `${sender}\0`, { '{mail_addr}': bare(sender) }],
      ...recipients.map((to) => [P.SMFIC_RCPT, `${to}\0`, { i: 'TEST1', '{rcpt_addr}': bare(to) }] as const),
      [P.SMFIC_DATA, '', { i: 'TEST1' }],
      ...headers.map(([name, value]) => [P.SMFIC_HEADER, `${name}\0${value}\0`, { i: 'TEST1' }] as const),
      [P.SMFIC_EOH, '', { i: 'TEST1' }],
      ...chunks.map((chunk) => [P.SMFIC_BODY, chunk, { i: 'TEST1' }] as const),
    ];
    // As Postfix does: what needs no reply is written together.
    this.socket.cork();
    try {
      let skipping = false;
      for (const [command, data, defaults] of steps) {
        if (skipping && command === P.SMFIC_BODY) continue;
        const [event] = STEPS.get(command)!;
        this.macros(command, { ...defaults, ...macros[event] });
        if (this.#waitsFor(command)) this.socket.uncork();
        const reply = await this.event(command, data);
        if (reply?.type === 'skip') skipping = true;
        else if (reply && reply.type !== 'continue') {
          if (event !== 'recipient' || recipients.length === 1) return { event, reply, edits: [], progress: 0 };
        }
        if (this.#waitsFor(command)) this.socket.cork();
      }
      this.macros(P.SMFIC_BODYEOB, { i: 'TEST1', ...macros.endOfMessage });
      this.send(P.SMFIC_BODYEOB);
    } finally {
      this.socket.uncork();
    }
    return await this.#endOfMessage();
  }

  /** SMFIC_ABORT, which Postfix sends after every message. */
  abort(): void {
    this.send(P.SMFIC_ABORT);
  }

  /** SMFIC_QUIT, and waits for the milter to close. */
  async quit(): Promise<void> {
    this.send(P.SMFIC_QUIT);
    await this.closed();
  }

  #waitsFor(command: number): boolean {
    const [, off, noReply] = STEPS.get(command)!;
    return (this.agreed.steps & (off | noReply)) === 0;
  }

  async #endOfMessage(): Promise<MessageResult> {
    const edits: MtaReply[] = [];
    let progress = 0;
    for (;;) {
      const reply = await this.read();
      if (reply.type === 'progress') progress++;
      else if (isFinal(reply)) return { event: 'endOfMessage', reply, edits, progress };
      else edits.push(reply);
    }
  }
}

function isFinal({ type }: MtaReply): boolean {
  return ['continue', 'accept', 'reject', 'tempfail', 'discard', 'replyCode'].includes(type);
}

function bare(address: string): string {
  return address.replaceAll(/^<|>$/g, '').toLowerCase();
}
