/** The state machine: order, resets, failures of the handler, asynchronous answers. */

import t from 'tap';
import type { Answer, EndOfMessageAnswer, EventMode, MilterHandler, Skip } from '../src/handler.ts';
import type { ErrorContext, SessionOptions } from '../src/options.ts';
import * as P from '../src/protocol.ts';
import { frameBytes, SessionDriver } from './transcript.ts';

type Modes = SessionOptions['events'];

const ANSWER_ALL: Modes = {
  connect: 'answer',
  helo: 'answer',
  mail: 'answer',
  recipient: 'answer',
  data: 'answer',
  header: 'answer',
  endOfHeaders: 'answer',
  body: 'answer',
  unknown: 'answer',
};
const NOTIFY_ALL = Object.fromEntries(Object.keys(ANSWER_ALL).map((event) => [event, 'notify' as EventMode])) as Modes;

/** Shorthand for MTA input: one string per frame, its first character the command. */
const FRAMES: Readonly<Record<string, string>> = {
  O: 'O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff',
  C: 'Cclient.test\x004\0\x19192.0.2.1\0',
  H: 'Hclient.test\0',
  M: 'M<a@x>\0',
  R: 'R<b@x>\0',
  L: 'LSubject\0hi\0',
  B: 'Bbody\r\n',
  U: 'UFOO\0',
};

function bytesOf(commands: string): Buffer {
  const frames = commands.split('').map((c) => FRAMES[c] ?? c);
  return Buffer.concat(
    frames.map((f) => frameBytes({ command: f.charCodeAt(0), data: Buffer.from(f.slice(1), 'latin1') })),
  );
}

interface Harness {
  readonly driver: SessionDriver;
  readonly calls: string[];
  readonly errors: (ErrorContext & { code: string })[];
  /** Feeds commands (see FRAMES) and gives the reply letters since the last call. */
  feed(commands: string): string;
}

function harness(handler: Partial<MilterHandler>, options: Partial<SessionOptions> = {}): Harness {
  const calls: string[] = [];
  const errors: (ErrorContext & { code: string })[] = [];
  const logged = (name: keyof MilterHandler) => {
    return (...args: never[]): unknown => {
      calls.push(name);
      const method = handler[name] as ((...args: never[]) => unknown) | undefined;
      if (method) return method(...args);
      return name === 'endOfMessage' ? { verdict: 'accept' } : undefined;
    };
  };
  const names = [...Object.keys(ANSWER_ALL), 'endOfMessage', 'abort', 'close'] as (keyof MilterHandler)[];
  const driver = new SessionDriver({
    events: ANSWER_ALL,
    onError: (error, context) => errors.push({ ...context, code: (error as { code?: string }).code ?? error.message }),
    handler: () => Object.fromEntries(names.map((name) => [name, logged(name)])) as unknown as MilterHandler,
    ...options,
  });
  let read = 0;
  const letters = (): string => {
    const bytes = driver.output().subarray(read);
    read += bytes.length;
    let text = '';
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) text += String.fromCharCode(bytes[at + 4]!);
    return text;
  };
  return {
    driver,
    calls,
    errors,
    feed(commands) {
      driver.push(bytesOf(commands));
      return letters();
    },
  };
}

t.test('order of commands', async (t) => {
  const cases: readonly (readonly [commands: string, ok: boolean, why: string])[] = [
    ['OCHMRTLNBE', true, 'a whole session'],
    ['OCHMRTLNBEAMRTLNBEAAQ', true, 'two messages'],
    ['OCHMRTLNE', true, 'an empty body'],
    ['OCHMRTLBBE', true, 'two body chunks, no end of headers'],
    ['OMRTE', true, 'no connect, no helo'],
    ['OCHHMRHRE', true, 'EHLO again, and in mid-transaction: Postfix shows it before its abort'],
    ['OACAHAMAMRAMRTAMRTLAMRTLNA', true, 'aborts anywhere'],
    ['OCHUMUTU', true, 'unknown commands anywhere before the content'],
    ['OKCKCHMKC', true, 'another client on the same connection'],
    ['Q', true, 'goodbye at once'],
    ['C', false, 'not negotiated'],
    ['A', false, 'not negotiated'],
    ['K', false, 'not negotiated'],
    ['B', false, 'not negotiated'],
    ['OO', false, 'negotiated twice'],
    ['OCC', false, 'two clients'],
    ['OHC', false, 'connect after helo'],
    ['OMAC', false, 'connect after a message'],
    ['OCHMM', false, 'a message within a message'],
    ['OCHMRM', false, 'a message within a message'],
    ['OCHR', false, 'a recipient without a message'],
    ['OCHT', false, 'DATA without a message'],
    ['OCHL', false, 'a header without a message'],
    ['OCHB', false, 'a body without a message'],
    ['OCHE', false, 'the end of nothing'],
    ['OCHMRTLR', false, 'a recipient after a header'],
    ['OCHMRTNL', false, 'a header after the headers'],
    ['OCHMRTNN', false, 'two ends of headers'],
    ['OCHMRTBL', false, 'a header after the body'],
    ['OCHMRTLU', false, 'an SMTP command within the content'],
    ['OCHMRTLH', false, 'HELO within the content'],
    ['OCHMRTEB', false, 'a body after the end'],
    ['OCHMRTEE', false, 'two ends'],
  ];
  for (const [commands, ok, why] of cases) {
    const { feed } = harness({});
    if (ok) t.doesNotThrow(() => feed(commands), `${commands}: ${why}`);
    else t.throws(() => feed(commands), { code: 'command_out_of_order' }, `${commands}: ${why}`);
  }
});

t.test('without a MAIL event a message begins with what comes first', async (t) => {
  const { feed, calls } = harness({}, { events: { header: 'notify' } });
  t.equal(feed('OLLEALAEA'), 'Oaa');
  t.strictSame(calls, ['header', 'header', 'endOfMessage', 'header', 'abort', 'endOfMessage']);
});

t.test('one reply per event, none to notifications', async (t) => {
  t.equal(harness({}).feed('OCHMRTLNBE'), `O${'c'.repeat(8)}a`);
  t.equal(harness({}, { events: NOTIFY_ALL }).feed('OCHMRTLNBE'), 'Oa');
  t.equal(
    harness({}, { events: {} }).feed('OCHMRTLNBE'),
    'Occcccccca',
    'an MTA that ignores NO*: answered, not delivered',
  );
  t.strictSame(harness({}, { events: {} }).calls, []);
});

t.test('abort and close', async (t) => {
  const cases: readonly (readonly [commands: string, end: string[], why: string])[] = [
    ['OCHMA', ['mail', 'abort'], 'a message begun'],
    ['OCHA', ['connect', 'helo'], 'no message: nothing to abort'],
    ['OCHMRTEA', ['data', 'endOfMessage'], 'answered: not aborted any more'],
    ['OCHMQ', ['abort', 'close'], 'goodbye in mid-message'],
    ['OCHMKC', ['abort', 'close', 'connect'], 'another client'],
  ];
  for (const [commands, end, why] of cases) {
    const { feed, calls } = harness({});
    feed(commands);
    t.strictSame(calls.slice(-end.length), end, why);
  }
  const { feed, calls, driver } = harness({});
  feed('OCHMR');
  driver.session.close();
  driver.session.close();
  t.strictSame(calls.slice(-2), ['abort', 'close'], 'the connection is gone: told once');
});

t.test('verdicts before the end of the message', async (t) => {
  const verdict =
    (value: Answer): (() => Answer) =>
    () =>
      value;
  const reject = verdict({ verdict: 'reject' });
  const cases: readonly (readonly [handler: Partial<MilterHandler>, commands: string, replies: string, why: string])[] =
    [
      [{ mail: reject }, 'MMA', 'rr', 'refused: the next MAIL begins anew'],
      [{ recipient: reject }, 'MRRTLE', 'crrcca', 'a recipient refused: the message goes on'],
      [{ data: reject }, 'MRTRTA', 'ccrcr', 'DATA refused: the envelope stays open'],
      [{ header: verdict({ verdict: 'accept' }) }, 'MRTLMRA', 'cccacc', 'accepted: over'],
      [{ recipient: verdict({ verdict: 'accept' }) }, 'MRMA', 'cac', 'accepted: over'],
      [{ connect: reject, helo: reject }, 'CHM', 'rrc', 'the MTA decides what a refused connect means'],
    ];
  for (const [handler, commands, replies, why] of cases) {
    t.equal(harness(handler).feed(`O${commands}`), `O${replies}`, why);
  }
});

t.test('a handler that fails', async (t) => {
  const broken = (): never => {
    throw new Error('broken');
  };
  const rejected = async (): Promise<never> => broken();
  const refuse = (): Answer => ({ verdict: 'reject' });
  type Row = readonly [
    handler: Partial<MilterHandler>,
    modes: Modes,
    commands: string,
    replies: string,
    last: string,
    why: string,
  ];
  const cases: readonly Row[] = [
    [{ connect: broken }, ANSWER_ALL, 'CHM', 'yyy', 'connect', 'connect: no message of this connection may pass'],
    [{ helo: broken }, NOTIFY_ALL, 'CHMRTLNBE', 'y', 'helo', 'helo, without reply: said at the end of the message'],
    [{ mail: broken }, ANSWER_ALL, 'CHM', 'ccy', 'abort', 'mail'],
    [{ recipient: broken }, ANSWER_ALL, 'MRRT', 'cyyy', 'recipient', 'one recipient: the whole message'],
    [{ header: broken }, NOTIFY_ALL, 'MRTLNBE', 'y', 'abort', 'header, without reply'],
    [{ body: broken }, NOTIFY_ALL, 'MRTLNBBE', 'y', 'abort', 'body, without reply'],
    [{ endOfMessage: broken }, NOTIFY_ALL, 'MRTLNBE', 'y', 'abort', 'the end of message'],
    [{ recipient: refuse }, NOTIFY_ALL, 'MRRTLE', 'y', 'abort', 'an answer that would be lost'],
    [{ recipient: rejected }, NOTIFY_ALL, 'MRRTLE', 'y', 'abort', 'a promise nobody waits for'],
    [{ unknown: broken }, ANSWER_ALL, 'UM', 'yc', 'mail', 'an unknown command between messages concerns none'],
  ];
  for (const [handler, events, commands, replies, last, why] of cases) {
    const { feed, calls, errors } = harness(handler, { events });
    t.equal(feed(`O${commands}`), `O${replies}`, why);
    t.equal(calls.at(-1), last, `${why}: nothing more of it is delivered`);
    t.equal(errors.length, 1, `${why}: reported once`);
    t.equal(errors[0]?.kind, 'handler');
  }
});

t.test('the message after a failed one is unaffected', async (t) => {
  let turn = 0;
  const { feed, errors } = harness(
    {
      header: () => {
        if (turn++ === 0) throw new Error('broken');
      },
    },
    { events: NOTIFY_ALL },
  );
  t.equal(feed('OCHMRTLNBEA'), 'Oy');
  t.equal(feed('MRTLNBEA'), 'a');
  t.equal(errors.length, 1);
});

t.test('answers to the end of message that are impossible', async (t) => {
  const cases: readonly (readonly [answer: unknown, code: string, why: string])[] = [
    [undefined, 'answer_not_possible', 'no answer'],
    [null, 'answer_not_possible', 'null'],
    [{ verdict: 'skip' }, 'answer_not_possible', 'skip'],
    [{ verdict: 'discard' }, 'answer_not_possible', 'discard was not allowed'],
    [{}, 'answer_not_possible', 'no verdict'],
    [{ verdict: 'reject', reply: { code: 250, enhanced: '2.0.0', text: '' } }, 'reply_invalid', 'a success'],
    [
      { verdict: 'accept', edits: [{ edit: 'addHeader', name: 'X', value: '' }] },
      'action_not_negotiated',
      'not asked for',
    ],
  ];
  for (const [answer, code, why] of cases) {
    const { feed, errors, driver } = harness(
      { endOfMessage: () => answer as EndOfMessageAnswer },
      { events: NOTIFY_ALL },
    );
    t.equal(feed('OCHMRTLNBE'), 'Oy', why);
    t.match(driver.output().toString('latin1'), /y451 4\.3\.0 /, why);
    t.equal(errors[0]?.code, code, why);
  }
  const allowed = harness({ endOfMessage: () => ({ verdict: 'discard' }) }, { events: NOTIFY_ALL, allowDiscard: true });
  t.equal(allowed.feed('OCHMRTE'), 'Od');
});

t.test('a factory that fails tempfails, it does not accept', async (t) => {
  const { feed, errors } = harness(
    {},
    {
      handler: () => {
        throw new Error('broken');
      },
    },
  );
  t.equal(feed('OCHMA'), 'Oyyy');
  t.equal(errors.length, 1);
  feed('Q');
});

t.test('what abort and close throw is reported and changes nothing', async (t) => {
  const broken = (): never => {
    throw 'not even an error';
  };
  const { feed, errors } = harness({ abort: broken, close: broken });
  t.equal(feed('OMAMRTEAQ'), 'Occcca');
  t.strictSame(
    errors.map(({ event }) => event),
    ['abort', 'close'],
  );
});

t.test('body: one reply per frame, whatever the pieces', async (t) => {
  const verdicts: (Answer | Skip | undefined)[] = [];
  const pieces: string[] = [];
  const { feed, driver } = harness({
    body: (piece) => {
      pieces.push(piece.toString());
      return verdicts.shift();
    },
  });
  feed('OMRTL');
  const frame = bytesOf('B');
  const inPieces = () => {
    for (let at = 0; at < frame.length; at += 6) driver.push(frame.subarray(at, at + 6));
  };
  inPieces();
  t.equal(feed(''), 'c');
  t.strictSame(pieces.splice(0), ['b', 'ody\r\n']);
  verdicts.push({ verdict: 'skip' });
  inPieces();
  t.equal(feed(''), 's');
  t.strictSame(pieces.splice(0), ['b'], 'after skip no further piece is delivered');
  inPieces();
  t.equal(feed('E'), 'ca', 'an MTA that goes on nevertheless');
  t.strictSame(pieces, []);
});

t.test('body: skip where the MTA does not know it', async (t) => {
  const { feed, driver, calls } = harness({ body: () => ({ verdict: 'skip' }) });
  const poorOffer = Buffer.from('\0\0\0\x06\0\0\x01\xff\0\0\0\0', 'latin1');
  driver.push(frameBytes({ command: P.SMFIC_OPTNEG, data: poorOffer }));
  t.equal(feed('MRTLBBE'), 'Occcccca', 'it goes on sending, and is told to continue');
  t.equal(calls.filter((name) => name === 'body').length, 1, 'the handler is spared the rest');
});

t.test('body data may come with the end of message', async (t) => {
  const pieces: string[] = [];
  const end = frameBytes({ command: P.SMFIC_BODYEOB, data: Buffer.from('rest') });
  const first = harness({ body: (piece) => void pieces.push(piece.toString()) });
  first.feed('OMRTL');
  first.driver.push(end);
  t.equal(first.feed(''), 'a');
  t.strictSame(pieces, ['rest']);
  const second = harness({ body: () => ({ verdict: 'reject' }) });
  second.feed('OMRTL');
  second.driver.push(end);
  t.equal(second.feed(''), 'r', 'a refusal of the rest is the answer');
  t.notOk(second.calls.includes('endOfMessage'));
});

t.test('asynchronous answers hold back what follows', async (t) => {
  const settle: ((answer: EndOfMessageAnswer) => void)[] = [];
  const { feed, calls, driver } = harness({ endOfMessage: () => new Promise((resolve) => settle.push(resolve)) });
  t.equal(feed('OMRTLBEAMRTE'), 'Occccc');
  t.equal(calls.at(-1), 'endOfMessage');
  t.equal(driver.session.pending, true);
  driver.session.sendProgress();
  t.equal(feed(''), 'p');
  settle.shift()!({ verdict: 'reject' });
  await driver.settledOnce();
  t.equal(feed(''), 'rccc', 'the reply, then the next message');
  settle.shift()!({ verdict: 'accept' });
  await driver.settledOnce();
  t.equal(feed(''), 'a');
});

t.test('an answer that takes too long is a tempfail, and ignored when it comes', async (t) => {
  let settle: (answer: EndOfMessageAnswer) => void = () => {};
  const { feed, errors, driver } = harness({
    endOfMessage: () => new Promise((resolve) => (settle = resolve)),
  });
  feed('OMRTE');
  driver.session.expireAnswer();
  t.equal(feed(''), 'y');
  t.strictSame(
    errors.map(({ code }) => code),
    ['answer_timeout'],
  );
  settle({ verdict: 'accept' });
  await driver.settledOnce();
  t.equal(feed('AMRT'), 'ccc');
});

t.test('a promise that settles after the connection is gone is ignored', async (t) => {
  let settle: (answer: EndOfMessageAnswer) => void = () => {};
  const { feed, calls, driver } = harness({ endOfMessage: () => new Promise((resolve) => (settle = resolve)) });
  feed('OMRTE');
  driver.session.close();
  settle({ verdict: 'accept' });
  await driver.settledOnce();
  t.equal(feed(''), '');
  t.strictSame(calls.slice(-2), ['abort', 'close']);
});

t.test('errors name the queue id', async (t) => {
  const { driver, errors, feed } = harness({ header: () => Promise.reject(new Error('broken')) });
  feed('OMR');
  driver.push(frameBytes({ command: P.SMFIC_MACRO, data: Buffer.from('Li\0QUEUEID\0') }));
  feed('L');
  await driver.settledOnce();
  t.equal(feed(''), 'y');
  t.match(errors, [{ kind: 'handler', event: 'header', queueId: 'QUEUEID' }]);
});
