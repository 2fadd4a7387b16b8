/** Time limits of handlers. */
import t from 'tap';
import { committed, type DictHandler, type DictPeer, type DictRow, found, type LookupCommand } from '#dovecot-dict';
import { withDeadline } from '../src/deadline.ts';

const peer: DictPeer = { version: 3, dictName: 'n' };
const lookup: LookupCommand = { type: 'lookup', key: Buffer.from('k'), user: Buffer.alloc(0) };
const iterate = { type: 'iterate', flags: 0, maxRows: 0, path: Buffer.alloc(0), user: Buffer.alloc(0) } as const;
const never = new Promise<never>(() => {});

// The limits themselves do not keep the process running.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

t.test('answers at once stay without a promise, and keep `this`', (t) => {
  class Handler implements DictHandler {
    readonly value = 'v';
    lookup() {
      return found(this.value);
    }
  }
  const limited = withDeadline(new Handler(), 10);
  t.strictSame(limited.lookup?.(lookup, peer), found('v'));
  t.strictSame(Object.keys(limited), ['lookup'], 'what the handler lacks stays lacking');
  t.end();
});

t.test('answers and errors in time pass, late ones are a timeout', async (t) => {
  const inTime = withDeadline(
    { lookup: async () => found('v'), commit: () => Promise.reject(new TypeError('x')) },
    1000,
  );
  t.strictSame(await inTime.lookup?.(lookup, peer), found('v'));
  const transaction = { user: Buffer.alloc(0), operations: [], expireSecs: 0, hideLogValues: false };
  await t.rejects(async () => inTime.commit?.(transaction, peer), TypeError);
  const started = t.capture(globalThis, 'setTimeout', setTimeout);
  const cleared = t.capture(globalThis, 'clearTimeout', clearTimeout);
  await inTime.lookup?.(lookup, peer);
  await new Promise(setImmediate);
  const [timer] = started().flatMap((call) => ('returned' in call && call.args[1] === 1000 ? [call.returned] : []));
  t.ok(timer !== undefined && cleared().some(({ args }) => args[0] === timer), 'no timer stays behind an answer');
  const late = withDeadline({ lookup: () => never, commit: () => never, iterate: () => never }, 5);
  await t.rejects(async () => late.lookup?.(lookup, peer), { name: 'DictHandlerError', code: 'timeout' });
  await t.rejects(async () => late.commit?.(transaction, peer), { code: 'timeout' });
  await t.rejects(async () => late.iterate?.(iterate, peer), { code: 'timeout' });
  t.strictSame(await withDeadline({ commit: async () => committed }, 5).commit?.(transaction, peer), committed);
});

t.test('each row has its time, and the iterator is told when it is left', async (t) => {
  const left: string[] = [];
  const { promise: moves, resolve: move } = Promise.withResolvers<void>();
  async function* rows(name: string, isStuck: boolean): AsyncGenerator<DictRow> {
    try {
      yield { key: 'a', value: '' };
      if (isStuck) await moves;
      yield { key: 'b', value: '' };
    } finally {
      left.push(name);
    }
  }
  const keys = async (handler: DictHandler, limit = 9) => {
    const got: string[] = [];
    for await (const row of (await withDeadline(handler, 10).iterate!(iterate, peer)) as AsyncIterable<DictRow>) {
      got.push(`${row.key}`);
      if (got.length === limit) break;
    }
    return got;
  };
  t.strictSame(await keys({ iterate: () => rows('whole', false) }), ['a', 'b']);
  t.strictSame(await keys({ iterate: () => rows('cut', false) }, 1), ['a']);
  t.strictSame(await keys({ iterate: () => [{ key: 'array', value: '' }] }), ['array']);
  await t.rejects(keys({ iterate: () => rows('stuck', true) }), { code: 'timeout' });
  t.strictSame(left, ['whole', 'cut'], 'a stuck one cannot be told before it moves');
  move();
  while (left.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  t.strictSame(left, ['whole', 'cut', 'stuck']);
});
