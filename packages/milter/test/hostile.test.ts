/** Hostile input: typed errors only, nothing passes unasked, the same events whatever the chunks, bounded memory. */

import fc from 'fast-check';
import t from 'tap';
import { MilterProtocolError } from '../src/errors.ts';
import { FrameReader } from '../src/frame.ts';
import type { MilterHandler } from '../src/handler.ts';
import type { SessionOptions } from '../src/options.ts';
import * as P from '../src/protocol.ts';
import { MilterSession } from '../src/session.ts';
import { frameBytes, SessionDriver } from './transcript.ts';

const OFFER = Buffer.from('\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff', 'latin1');
const NEGOTIATION = frameBytes({ command: P.SMFIC_OPTNEG, data: OFFER });

/** Frames that are often valid and often follow in a sensible order, and often do not. */
const payloads: Readonly<Record<number, fc.Arbitrary<string>>> = {
  [P.SMFIC_CONNECT]: fc.constantFrom('h\x004\0\x19192.0.2.1\0', 'h\0U', 'h\x004'),
  [P.SMFIC_HELO]: fc.constantFrom('h\0', 'h'),
  [P.SMFIC_MACRO]: fc.constantFrom('Mi\0Q\0', 'R{rcpt_addr}\0a@x\0', 'Li\0', 'Q', ''),
  [P.SMFIC_MAIL]: fc.constantFrom('<a@x>\0', '\0SIZE=1\0', '<a@x>'),
  [P.SMFIC_RCPT]: fc.constantFrom('<b@x>\0', '<throw>\0', '<refuse>\0'),
  [P.SMFIC_DATA]: fc.constant(''),
  [P.SMFIC_HEADER]: fc.constantFrom('Subject\0hi\0', 'a\0b\0c\0'),
  [P.SMFIC_EOH]: fc.constant(''),
  [P.SMFIC_BODY]: fc.string({ maxLength: 20 }),
  [P.SMFIC_BODYEOB]: fc.constantFrom('', 'rest'),
  [P.SMFIC_UNKNOWN]: fc.constant('FOO\0'),
  [P.SMFIC_ABORT]: fc.constant(''),
  [P.SMFIC_QUIT_NC]: fc.constant(''),
  [P.SMFIC_OPTNEG]: fc.constant(OFFER.toString('latin1')),
};
const commands = Object.keys(payloads).map(Number);
const frame = fc
  .constantFrom(...commands)
  .chain((command) => payloads[command]!.map((data) => ({ command, data: Buffer.from(data, 'latin1') })));
const inOrder = fc.constant(
  ['Ch\0U', 'Hh\0', 'M<a@x>\0', 'R<b@x>\0', 'T', 'LSubject\0hi\0', 'N', 'Bbody', 'E', 'A'].map((text) => ({
    command: text.charCodeAt(0),
    data: Buffer.from(text.slice(1), 'latin1'),
  })),
);
const dialogue = fc.array(
  fc.oneof({ weight: 2, arbitrary: frame.map((f) => [f]) }, { weight: 1, arbitrary: inOrder }),
  {
    maxLength: 12,
  },
);

/** Accepts nothing before the end of a message; `<throw>` makes it fail, `<refuse>` refuse. */
function options(events: string[], mode: 'answer' | 'notify'): SessionOptions {
  const names = ['connect', 'helo', 'mail', 'recipient', 'data', 'header', 'endOfHeaders', 'body', 'unknown'] as const;
  let failed = false;
  let body = '';
  const handler: MilterHandler = {
    connect: () => void events.push('connect'),
    mail: (sender) => {
      failed = false;
      body = '';
      events.push(`mail ${sender}`);
    },
    recipient: (recipient) => {
      events.push(`recipient ${recipient}`);
      if (recipient === '<throw>') {
        failed = true;
        throw new Error('broken');
      }
      return recipient === '<refuse>' && mode === 'answer' ? { verdict: 'reject' } : undefined;
    },
    header: (name, value) => void events.push(`header ${name} ${value}`),
    body: (piece) => {
      body += piece.toString('latin1');
    },
    endOfMessage: () => {
      events.push(`end ${failed} ${body}`);
      return { verdict: 'accept' };
    },
    abort: () => void events.push('abort'),
    close: () => void events.push('close'),
  };
  return {
    events: Object.fromEntries(names.map((name) => [name, mode])),
    onError: (_, { event }) => events.push(`failed ${event}`),
    handler: () => handler,
  };
}

/** What a session did with some input: events, replies, and the error that ended it. */
function run(input: Buffer, sizes: readonly number[], mode: 'answer' | 'notify'): { trace: string[]; output: string } {
  const trace: string[] = [];
  const driver = new SessionDriver(options(trace, mode));
  try {
    for (let at = 0, i = 0; at < input.length; at += sizes[i++ % sizes.length]!) {
      driver.push(input.subarray(at, at + sizes[i % sizes.length]!));
    }
  } catch (error) {
    if (!(error instanceof MilterProtocolError)) throw error;
    trace.push(error.code);
  }
  driver.session.close();
  return { trace, output: driver.output().toString('latin1') };
}

t.test(
  'any dialogue, in any chunks: the same events and replies, typed errors, no accept after a failure',
  async (t) => {
    const mode = fc.constantFrom('answer' as const, 'notify' as const);
    let accepted = 0;
    fc.assert(
      fc.property(dialogue, fc.integer({ min: 1, max: 30 }), mode, (parts, size, eventMode) => {
        const input = Buffer.concat([NEGOTIATION, ...parts.flat().map(frameBytes)]);
        const whole = run(input, [input.length], eventMode);
        t.strictSame(run(input, [size], eventMode), whole);
        t.equal(
          whole.trace.some((event) => event.startsWith('end true')),
          false,
          'a failed message has no end of message',
        );
        if (whole.output.includes('\0\0\0\x01a')) accepted++;
      }),
      { numRuns: 400 },
    );
    t.ok(accepted > 50, 'enough of the dialogues were sensible');
  },
);

t.test('any bytes', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string().map((text) => Buffer.from(`\0\0\0\x05${text}`)),
  );
  fc.assert(
    fc.property(bytes, fc.boolean(), (garbage, negotiated) => {
      const { output } = run(Buffer.concat([negotiated ? NEGOTIATION : Buffer.alloc(0), garbage]), [7], 'answer');
      t.equal(output.includes('\0\0\0\x01a'), false, 'garbage is never accepted as a message');
    }),
    { numRuns: 500 },
  );
});

t.test('memory does not grow with what is sent', async (t) => {
  const session = new MilterSession(
    { ...options([], 'notify'), handler: () => ({ endOfMessage: () => ({ verdict: 'accept' }) }) },
    { send: () => {}, resume: () => {}, end: () => {} },
  );
  const reader = new FrameReader(session);
  const frames = (command: number, data: string, count: number): Buffer =>
    Buffer.concat(new Array(count).fill(frameBytes({ command, data: Buffer.from(data, 'latin1') })));
  reader.push(NEGOTIATION);
  reader.push(frames(P.SMFIC_MAIL, '<a@x>\0', 1));
  const cases: readonly (readonly [command: number, data: string, why: string])[] = [
    [P.SMFIC_MACRO, `R${'n\0v\0'.repeat(1000)}`, 'macros'],
    [P.SMFIC_RCPT, `<${'r'.repeat(4000)}>\0`, 'recipients'],
    [P.SMFIC_HEADER, `X\0${'h'.repeat(4000)}\0`, 'headers'],
    [P.SMFIC_BODY, 'b'.repeat(4000), 'body'],
  ];
  for (const [command, data, why] of cases) {
    const chunk = frames(command, data, 100);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 40; i++) reader.push(chunk);
    // 16 MB have gone through; Buffers that wait for the collector are the noise allowed for.
    t.ok(process.memoryUsage().arrayBuffers - before < 4_000_000, why);
  }
});
