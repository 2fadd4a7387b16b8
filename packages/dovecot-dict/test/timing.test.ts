import t from 'tap';
import { committed, type DictHandler, type DictPeer, failed, found } from '#dovecot-dict';
import { withTiming } from '../src/timing.ts';

const peer: DictPeer = { version: 3, dictName: 'test' };
const lookup = { type: 'lookup', key: Buffer.from('k'), user: Buffer.from('u') } as const;
const transaction = { user: Buffer.from('u'), operations: [], expireSecs: 0, hideLogValues: false };
const iteration = { type: 'iterate', flags: 0, maxRows: 0, path: Buffer.from('p'), user: Buffer.from('u') } as const;

function setUp(handler: DictHandler) {
  let clock = 0;
  const times: number[] = [];
  const advance = (ms: number) => {
    clock += ms;
  };
  const timed = withTiming(
    handler,
    () => clock,
    (ms) => times.push(ms),
  );
  return { timed, times, advance };
}

t.test('answers at once, late, and by throwing', async (t) => {
  const { timed, times, advance } = setUp({
    lookup: ({ key }) => {
      advance(2);
      if (String(key) === 'k') return found('v');
      throw new Error('no');
    },
    commit: async () => {
      await null;
      advance(5);
      return committed;
    },
  });
  t.same(timed.lookup!(lookup, peer), found('v'), 'an answer at once stays one');
  t.equal(await timed.commit!(transaction, peer), committed);
  t.throws(() => timed.lookup!({ ...lookup, key: Buffer.from('x') }, peer));
  t.same(times, [2, 5, 2]);
  t.equal(timed.iterate, undefined, 'what the handler cannot do, the wrapped one cannot either');
});

t.test('an iteration counts once, at its end or when it is left', async (t) => {
  const { timed, times, advance } = setUp({ iterate: () => threeRows() });
  async function* threeRows() {
    for (let row = 0; row < 3; row++) {
      advance(1);
      yield { key: 'p', value: 'v' };
    }
  }
  const rows = await timed.iterate!(iteration, peer);
  t.same(times, []);
  let count = 0;
  for await (const _ of rows as AsyncIterable<unknown>) count++;
  t.equal(count, 3);
  t.same(times, [3]);
  for await (const _ of (await timed.iterate!(iteration, peer)) as AsyncIterable<unknown>) break;
  t.same(times, [3, 1]);
  const failing = setUp({ iterate: () => failed('x') });
  t.same(await failing.timed.iterate!(iteration, peer), failed('x'));
  t.same(failing.times, [0]);
});
