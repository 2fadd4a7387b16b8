/** Iteration through a session: rows, limits, back-pressure, and always an end. */
import t from 'tap';
import { type DictHandler, type DictRow, type DictRows, failed, found } from '#dovecot-dict';
import { deferred, startSession } from './harness.ts';

const HELLO = 'H3\t2\t0\t\tname\n';
const rows: DictRow[] = [
  { key: 'p/a', value: '1' },
  { key: Buffer.from('p/b'), value: Buffer.from([0xff, 0x0a]) },
  { key: 'p/c', value: '', moreValues: ['x', 'y'] },
];

async function* later(items: readonly DictRow[]): AsyncGenerator<DictRow> {
  for (const item of items) {
    await new Promise(setImmediate);
    yield item;
  }
}

t.test('rows and their end', async (t) => {
  const all = 'Op/a\t1\nOp/b\t\xff\x01n\nOp/c\t\tx\ty\n\n';
  const cases: [() => ReturnType<NonNullable<DictHandler['iterate']>>, string, string, string][] = [
    [() => rows, 'I0\t0\tp/\tu', all, 'an array'],
    [() => later(rows), 'I0\t0\tp/\tu', all, 'an async generator'],
    [async () => rows, 'I0\t0\tp/\tu', all, 'a promise of an array'],
    [async () => later(rows), 'I0\t0\tp/\tu', all, 'a promise of an async generator'],
    [() => rows, 'I0\t0', all, 'no path means every key'],
    [() => [], 'I0\t0\tp/\tu', '\n', 'nothing found'],
    [() => rows, 'I8\t0\tp/\tu', 'Op/a\t\nOp/b\t\nOp/c\t\n\n', 'no values wanted: the TAB stays'],
    [() => rows, 'I0\t2\tp/\tu', 'Op/a\t1\nOp/b\t\xff\x01n\n\n', 'at most two rows'],
    [() => rows, 'I9\t1\tp/\tu', 'Op/a\t\n\n', 'both'],
    [() => failed('no list'), 'I0\t0\tp/\tu', 'Fno list\n', 'a failure instead of rows'],
    [async () => failed('no list'), 'I0\t0\tp/\tu', 'Fno list\n', 'the same by promise'],
  ];
  for (const [iterate, command, expected, why] of cases) {
    const { send, sent } = startSession({ iterate, lookup: () => found('next') });
    await send(`${HELLO}${command}\nLk\n`);
    t.equal(sent(), `${expected}Onext\n`, why);
  }
});

t.test('errors end the iteration too', async (t) => {
  const failAfter = async function* (count: number): AsyncGenerator<DictRow> {
    yield* rows.slice(0, count);
    throw new Error('secret');
  };
  const cases: [() => unknown, string, string][] = [
    [() => failAfter(0), 'Finternal error\n', 'before the first row'],
    [() => failAfter(1), 'Op/a\t1\nFinternal error\n', 'between rows'],
    [() => [rows[0], { key: 'q/a', value: '' }], 'Op/a\t1\nFinternal error\n', 'a key outside the path aborts Dovecot'],
    [() => [{ key: 'p', value: '' }], 'Finternal error\n', 'a key shorter than the path'],
    [() => [{ key: 'p/a' }], 'Finternal error\n', 'a row without value'],
    [() => [undefined], 'Finternal error\n', 'no row'],
    [() => 5, 'Finternal error\n', 'no rows'],
    [() => ({ kind: 'notFound' }), 'Finternal error\n', 'a reply of another command'],
    [() => Promise.reject(new Error('x')), 'Finternal error\n', 'a rejection'],
  ];
  for (const [iterate, expected, why] of cases) {
    const { send, sent } = startSession({ iterate: iterate as () => DictRows, lookup: () => found('next') });
    await send(`${HELLO}I0\t0\tp/\tu\nLk\n`);
    t.equal(sent(), `${expected}Onext\n`, why);
  }
});

t.test('an empty key would look like the end', async (t) => {
  const { send, sent } = startSession({ iterate: () => [{ key: '', value: 'v' }] });
  await send(`${HELLO}I0\t0\n`);
  t.equal(sent(), 'Finternal error\n');
});

t.test('rows are pulled no faster than they are read', async (t) => {
  let pulled = 0;
  const endless = async function* (): AsyncGenerator<DictRow> {
    for (;;) {
      pulled++;
      yield { key: `p/${pulled}`, value: 'v'.repeat(1000) };
    }
  };
  const gate = deferred<void>();
  const { DictSession } = await import('../src/session.ts');
  let bytes = 0;
  const sink = {
    write(chunk: Buffer) {
      bytes += chunk.length;
      return false;
    },
    ready: () => gate.promise,
  };
  const session = new DictSession({ iterate: endless }, sink);
  const done = session.receive(Buffer.from(`${HELLO}I0\t0\tp/\n`));
  for (let i = 0; i < 50; i++) await new Promise(setImmediate);
  t.ok(pulled <= 20, `${pulled} rows for a peer that reads nothing`);
  t.ok(bytes <= 20 * 1024);
  session.end();
  gate.resolve();
  await done;
});

t.test("when the peer leaves, the handler's iterator is returned", async (t) => {
  let isReturned = false;
  const next = deferred<void>();
  const { session, send, sent } = startSession({
    async *iterate() {
      try {
        yield { key: 'p/a', value: '' };
        await next.promise;
        yield { key: 'p/b', value: '' };
        t.fail('pulled after the end');
      } finally {
        isReturned = true;
      }
    },
  });
  const done = send(`${HELLO}I0\t0\tp/\n`);
  await new Promise(setImmediate);
  session.end();
  next.resolve();
  await done;
  t.ok(isReturned);
  t.equal(sent(), '');
});

t.test('the row limit does not pull one row more', async (t) => {
  let pulled = 0;
  const { send } = startSession({
    *iterate() {
      for (;;) yield { key: `p/${++pulled}`, value: '' };
    },
  });
  await send(`${HELLO}I0\t3\tp/\n`);
  t.equal(pulled, 3);
});
