/**
 * [io] What a hostile sender makes Postfix hand to a milter, and what a broken or hostile MTA sends by itself. Every attack ends in
 * one clear reply or a closed connection; which of them is said here.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as P from '../../packages/milter/src/protocol.ts';
import type { TestMessage, TestMta } from '../../packages/milter/src/testing.ts';

/**
 * - `refused`: a reply of 5xx, and the connection goes on
 * - `closed`: the connection is closed
 */
export type Outcome = 'refused' | 'closed';

export interface Attack {
  readonly name: string;
  readonly outcome: Outcome;
  /** On a connection that has been negotiated; resolves with what happened. */
  readonly run: (mta: TestMta) => Promise<Outcome | 'passed'>;
}

const BOUNDARY = 'b';
const TYPE = [
  'Content-Type',
  `multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`,
] as const;
const CONTROL = `--${BOUNDARY}\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n`;
const DATA = `--${BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n`;
const ARMOR = `${CONTROL}${DATA}-----BEGIN PGP MESSAGE-----\r\n\r\n`;

/** `bytes` of a text repeated. */
function much(text: string, bytes: number): string {
  return text.repeat(Math.ceil(bytes / text.length));
}

async function send(mta: TestMta, from: string, message: TestMessage): Promise<Outcome | 'passed'> {
  const headers = [['From', `<${from}>`], TYPE, ...(message.headers ?? [])] as const;
  const { reply } = await mta.message({ sender: `<${from}>`, recipients: [`<${from}>`], ...message, headers });
  mta.abort();
  return reply.type === 'replyCode' && reply.text.startsWith('5') ? 'refused' : 'passed';
}

/** A message that is refused however much there is of it. */
function message(name: string, make: () => TestMessage): (from: string) => Attack {
  return (from) => ({ name, outcome: 'refused', run: (mta) => send(mta, from, make()) });
}

/** A connection that is closed with bytes unread is reset. */
async function closed(mta: TestMta): Promise<void> {
  await mta.closed().catch(() => {});
}

/** Bytes that are no milter protocol. */
function broken(name: string, make: () => Uint8Array): () => Attack {
  return () => ({
    name,
    outcome: 'closed',
    async run(mta) {
      mta.raw(make());
      await closed(mta);
      return 'closed';
    },
  });
}

function frame(length: number, command: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 0);
  head[4] = command;
  return Buffer.concat([head, data]);
}

/** Begins a message and has the connection end in the middle of it. */
function cutOff(name: string, end: (mta: TestMta) => Promise<void>): (from: string) => Attack {
  return (from) => ({
    name,
    outcome: 'closed',
    async run(mta) {
      await mta.event(P.SMFIC_MAIL, `<${from}>\0`);
      await mta.event(P.SMFIC_RCPT, `<${from}>\0`);
      await mta.event(P.SMFIC_HEADER, `From\0<${from}>\0`);
      await mta.event(P.SMFIC_HEADER, `${TYPE[0]}\0${TYPE[1]}\0`);
      await mta.event(P.SMFIC_EOH);
      await mta.event(P.SMFIC_BODY, ARMOR + much('QUJD', 50_000));
      await end(mta);
      await closed(mta);
      return 'closed';
    },
  });
}

const MB = 1_000_000;

const ATTACKS: readonly ((from: string) => Attack)[] = [
  message('oversize header fields', () => ({
    headers: Array.from({ length: 200 }, (_, i) => [`X-${i}`, much('noon ', 59_000)]),
  })),
  message('100,000 header fields', () => ({ headers: Array(100_000).fill(['X-A', 'noon']) })),
  message('a header field of comments', () => ({ headers: [['From', much('(', 59_000)]] })),
  message('10,000 parts', () => ({
    body: CONTROL + much(`--${BOUNDARY}\r\nContent-Type: text/plain\r\n\r\n\r\n`, 500_000),
  })),
  message('parts inside parts', () => ({
    body: much(`--${BOUNDARY}\r\nContent-Type: multipart/mixed; boundary=${BOUNDARY}\r\n\r\n`, MB),
  })),
  message('an endless header of a part', () => ({ body: `--${BOUNDARY}\r\nX: ${much('noon ', 10 * MB)}` })),
  message('NULs', () => ({ body: Buffer.alloc(5 * MB) })),
  message('NULs in the armor', () => ({ body: ARMOR + much('\0', 5 * MB) })),
  message('bare CRs', () => ({ body: much('\r', 5 * MB) })),
  message('bare CRs in the armor', () => ({ body: ARMOR + much('QUJD\r', 5 * MB) })),
  message('bare LFs', () => ({ body: much('\n', 5 * MB) })),
  message('an endless line', () => ({ body: much('noon', 20 * MB) })),
  message('an endless line of base64', () => ({ body: ARMOR + much('QUJD', 20 * MB) })),
  message('one character to a line', () => ({ body: ARMOR + much('A\r\n', 3 * MB) })),
  message('boundaries that almost begin', () => ({ body: CONTROL + much(`\r\n-${BOUNDARY}`, 5 * MB) })),
  message('an endless epilogue', () => ({ body: `${CONTROL}--${BOUNDARY}--\r\n${much(' ', 10 * MB)}` })),
  message('session keys without end', () => ({
    body:
      ARMOR +
      Buffer.concat(Array(40_000).fill(Buffer.concat([Buffer.from([0xc1, 94, 3]), randomBytes(93)]))).toString(
        'base64',
      ),
  })),
  message('100,000 recipients', () => ({ recipients: Array(100_000).fill('<bob@relay.test>'), body: 'noon' })),
  broken('an empty frame', () => frame(0, 0)),
  broken('a frame of 4 GB', () => frame(0xffffffff, P.SMFIC_HEADER)),
  broken('an unknown command', () => frame(1, 0x7f)),
  broken('random bytes', () => Buffer.concat([Buffer.from([0x7f]), randomBytes(70_000)])),
  broken('a body before its message', () => frame(5, P.SMFIC_BODY, Buffer.from('noon'))),
  broken('a header without its NULs', () =>
    Buffer.concat([frame(4, P.SMFIC_MAIL, Buffer.from('<>\0')), frame(5, P.SMFIC_HEADER, Buffer.from('noon'))]),
  ),
  cutOff('half-closed', async (mta) => {
    mta.socket.end();
  }),
  cutOff('gone', async (mta) => {
    mta.socket.destroy();
  }),
  cutOff('half-closed inside a frame', async (mta) => {
    mta.raw(frame(60_000, P.SMFIC_HEADER, Buffer.from('Subject')));
    await sleep(20);
    mta.socket.end();
  }),
  cutOff('gone after a while', async (mta) => {
    await sleep(300);
    mta.socket.destroy();
  }),
  () => ({
    name: 'replies that nobody reads',
    outcome: 'closed',
    async run(mta) {
      mta.socket.pause();
      for (let i = 0; i < 2000; i++) {
        mta.send(P.SMFIC_MAIL, '<a@b>\0');
        mta.send(P.SMFIC_BODYEOB);
        mta.send(P.SMFIC_ABORT);
      }
      await sleep(100);
      mta.socket.destroy();
      return 'closed';
    },
  }),
];

/** All attacks, by a sender that is allowed to send. */
export function attacksFrom(sender: string): Attack[] {
  return ATTACKS.map((attack) => attack(sender));
}
