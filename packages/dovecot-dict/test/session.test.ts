/** The session: handshake, order, errors of either side. Transactions and iteration have their own files. */
import t from 'tap';
import { type DictHandler, failed, found, type LookupReply, notFound } from '#dovecot-dict';
import { deferred, startSession } from './harness.ts';

const HELLO = 'H3\t2\t0\t\tname\n';
const echo: DictHandler = { lookup: ({ key }) => found(key) };

t.test('the handshake is the first line, and never answered', async (t) => {
  const rows: [string, string | undefined, string][] = [
    ['H3\t2\t0\t\tname\nLk\n', undefined, 'Dovecot 2.3'],
    ['H4\t0\t0\t\tname\nLk\n', undefined, 'Dovecot 2.4'],
    ['H3\nLk\n', undefined, 'nothing but the version'],
    ['H2\t0\t0\t\tname\n', 'unsupported-version', 'Dovecot 2.2'],
    ['H5\t0\t0\t\tname\n', 'unsupported-version', 'the future'],
    ['Hx\n', 'bad-number', 'no version'],
    ['Lk\n', 'no-hello', 'a command without a handshake'],
    ['\n', 'no-hello', 'an empty line'],
    ['GET / HTTP/1.1\r\n', 'no-hello', 'another protocol'],
    [`${HELLO}${HELLO}`, 'no-hello', 'a second one'],
  ];
  for (const [text, code, why] of rows) {
    const { send, sent } = startSession(echo);
    if (code === undefined) {
      await send(text);
      t.equal(sent(), 'Ok\n', why);
    } else {
      await t.rejects(send(text), { name: 'DictProtocolError', code }, why);
      t.equal(sent(), '', why);
    }
  }
});

t.test('the handler learns of version and name', async (t) => {
  const { send, sent } = startSession({ lookup: (_, peer) => found(`${peer.version} ${peer.dictName}`) });
  await send('H4\t0\t0\t\tlast\x01tlogin\nLk\n');
  t.equal(sent(), 'O4 last\x01tlogin\n');
});

t.test('an answer at once needs no promise', (t) => {
  const { session, sent, sink } = startSession(echo);
  t.equal(session.receive(Buffer.from(`${HELLO}La\nLb\nLc\n`)), undefined);
  t.equal(sent(), 'Oa\nOb\nOc\n');
  t.equal(sink.writes, 1, 'and many are one write');
  t.end();
});

t.test('replies come in the order of the commands, whichever is ready first', async (t) => {
  const started: string[] = [];
  const answers = { slow: deferred<LookupReply>(), slower: deferred<LookupReply>() };
  const { session, send, sent } = startSession({
    lookup({ key }) {
      const name = key.toString();
      started.push(name);
      return name === 'slow' || name === 'slower' ? answers[name].promise : found(key);
    },
  });
  const done = send(`${HELLO}La\nLslow\nLb\nLslower\nLc\n`);
  t.notOk(session.idle, 'an answer is due');
  const more = send('Ld\n');
  answers.slower.resolve(failed('x'));
  await new Promise(setImmediate);
  t.strictSame(started, ['a', 'slow'], 'a command starts when the one before is answered');
  t.equal(sent(), 'Oa\n', 'what is ready is not held back');
  answers.slow.resolve(notFound);
  await Promise.all([done, more]);
  t.equal(sent(), 'Oa\nN\nOb\nFx\nOc\nOd\n');
  t.ok(session.idle);
});

t.test('unknown commands are ignored and never answered', async (t) => {
  const letters: string[] = [];
  const { send, sent } = startSession(echo, { onUnknownCommand: (letter) => letters.push(letter) });
  await send(`${HELLO}Xa\tb\n\n\xffz\nD1\nV1\tyes\nLk\n`);
  t.equal(sent(), 'Ok\n');
  t.strictSame(letters, ['X', '', '\xff', 'D', 'V'], 'V belongs to version 4');
});

t.test('replies before an error are sent, nothing after it', async (t) => {
  const { send, sent } = startSession(echo);
  await t.rejects(send(`${HELLO}La\nCx\nLb\n`), { code: 'bad-number' });
  await send('Lc\n');
  t.equal(sent(), 'Oa\n');

  const late = startSession({ lookup: async () => notFound });
  await t.rejects(late.send(`${HELLO}La\nC1\n`), { code: 'unknown-transaction' }, 'also after an answer by promise');
  t.equal(late.sent(), 'N\n');
});

t.test('a line over the limit', async (t) => {
  const { send, sent } = startSession(echo, { limits: { maxLineBytes: 20 } });
  await send(`${HELLO}L${'k'.repeat(19)}\n`);
  t.equal(sent(), `O${'k'.repeat(19)}\n`);
  await t.rejects(send(`L${'k'.repeat(20)}`), { code: 'line-too-long' });
});

t.test('handler errors are answered, and the connection goes on', async (t) => {
  const handlers: [DictHandler['lookup'] | undefined, string][] = [
    [
      () => {
        throw new Error('secret password');
      },
      'throws',
    ],
    [
      async () => {
        throw new Error('secret password');
      },
      'rejects',
    ],
    [
      () => {
        throw undefined;
      },
      'throws nothing',
    ],
    [() => ({ kind: 'committed' }) as never, 'the reply of another command'],
    [async () => undefined as never, 'no reply'],
    [undefined, 'no function'],
  ];
  for (const [lookup, why] of handlers) {
    const { send, sent } = startSession(lookup === undefined ? {} : { lookup });
    await send(`${HELLO}La\nLb\n`);
    t.equal(sent(), 'Finternal error\nFinternal error\n', why);
    const passdb = startSession(lookup === undefined ? {} : { lookup }, { onHandlerError: () => found('') });
    await passdb.send(`${HELLO}La\n`);
    t.equal(passdb.sent(), 'O\n', `passdb: ${why}`);
  }
});

t.test('what onHandlerError may choose', async (t) => {
  const fail: DictHandler = {
    lookup: () => {
      throw new Error('x');
    },
    commit: () => {
      throw new Error('x');
    },
    iterate: () => {
      throw new Error('x');
    },
  };
  const text = `${HELLO}La\nB1\nC1\nI\n`;
  const generic = 'Finternal error\nF1\tinternal error\nFinternal error\n';
  const rows: [NonNullable<Parameters<typeof startSession>[1]>['onHandlerError'], string, string][] = [
    [undefined, generic, 'no callback'],
    [() => undefined, generic, 'no choice'],
    [
      () => {
        throw new Error('y');
      },
      generic,
      'it throws',
    ],
    [() => found(''), 'O\nF1\tinternal error\nFinternal error\n', 'fits lookups only'],
    [() => failed('down'), 'Fdown\nF1\tdown\nFdown\n', 'fits all'],
    [(_, { type }) => failed(type), 'Flookup\nF1\tcommit\nFiterate\n', 'learns the command'],
  ];
  for (const [onHandlerError, expected, why] of rows) {
    const { send, sent } = startSession(fail, onHandlerError === undefined ? {} : { onHandlerError });
    await send(text);
    t.equal(sent(), expected, why);
  }
});

t.test('a long pipeline gives way to others, and waits for a full sink', async (t) => {
  const many = startSession(echo);
  await many.send(HELLO + 'Lk\n'.repeat(1000));
  t.equal(many.sent(), 'Ok\n'.repeat(1000));
  t.ok(many.sink.waits >= 7, 'a turn for others every 128 commands');

  const big = startSession({ lookup: () => found('v'.repeat(100_000)) });
  let isDone = false;
  big.sink.isFull = true;
  const done = big.send(`${HELLO}La\nLb\n`).then(() => {
    isDone = true;
  });
  t.equal(big.sent().length, 100_002, 'the second lookup has to wait');
  t.notOk(isDone);
  await done;
  t.equal(big.sent().length, 200_004);

  const slow = startSession({ lookup: async () => found('v'.repeat(100_000)) });
  slow.sink.isFull = true;
  await slow.send(`${HELLO}La\nLb\n`);
  t.ok(slow.sink.waits > 0, 'answers by promise wait as well');
});

t.test('a peer that is gone gets nothing more', async (t) => {
  const answer = deferred<LookupReply>();
  const { session, send, sent } = startSession({ lookup: () => answer.promise });
  const done = send(`${HELLO}La\nLb\n`);
  session.end();
  answer.resolve(notFound);
  await done;
  t.equal(sent(), '');
  t.equal(session.receive(Buffer.from('Lc\n')), undefined);
});

t.test('idle only where leaving breaks nothing', async (t) => {
  const { session, send } = startSession(echo);
  const states: boolean[] = [session.idle];
  for (const text of [HELLO, 'L', 'k\n', 'B1\n', 'R1\n']) {
    await send(text);
    states.push(session.idle);
  }
  t.strictSame(
    states,
    [false, true, false, true, false, true],
    'not before the handshake, in a line, or in a transaction',
  );
});
