import t from 'tap';
import { Debouncer } from '../src/debouncer.ts';
import type { PushOutcome } from '../src/providers/provider.ts';

const delivered: PushOutcome = { kind: 'delivered' };
const failed: PushOutcome = { kind: 'retry', reason: 'timeout' };

t.test('one push per device and second', async (t) => {
  let now = 0;
  const debouncer = new Debouncer(() => now);
  const sent: string[] = [];
  const push = async (id: string, outcome: PushOutcome = delivered) => {
    const result = await debouncer.push(id, async () => {
      sent.push(id);
      return outcome;
    });
    return [result.outcome.kind, result.isShared];
  };
  t.same(await push('a'), ['delivered', false]);
  now = 999;
  t.same(await push('a'), ['delivered', true], 'within the second');
  t.same(await push('b'), ['delivered', false], 'another device');
  now = 1000;
  t.same(await push('a'), ['delivered', false], 'a second later');
  t.same(sent, ['a', 'b', 'a']);
  t.same(await push('c', failed), ['retry', false]);
  t.same(await push('c'), ['delivered', false], 'after a failure it is tried again at once');
  t.same(await push('d', { kind: 'dead' }), ['dead', false]);
  t.same(await push('d', { kind: 'dead' }), ['dead', false], 'a dead token is asked about again');
});

t.test('a push to a device that is just being pushed to', async (t) => {
  let now = 0;
  const debouncer = new Debouncer(() => now);
  let count = 0;
  let answer: (outcome: PushOutcome) => void = () => {};
  const send = () => {
    count++;
    return new Promise<PushOutcome>((resolve) => {
      answer = resolve;
    });
  };
  const first = debouncer.push('a', send);
  now = 20_000;
  const second = debouncer.push('a', send);
  t.equal(count, 1, 'is not sent, however long the other takes');
  answer(failed);
  t.same((await first).outcome, failed);
  t.same(
    await second,
    { outcome: failed, isShared: true },
    'and shares its outcome: nothing is called delivered that was not',
  );
  const third = debouncer.push('a', send);
  t.equal(count, 2);
  answer(delivered);
  await third;
  now = 20_999;
  t.equal((await debouncer.push('a', send)).isShared, true, 'the second counts from the delivery');
});

t.test('a sender that throws is not remembered', async (t) => {
  const debouncer = new Debouncer(() => 0);
  await t.rejects(debouncer.push('a', () => Promise.reject(new Error('x'))));
  t.equal((await debouncer.push('a', async () => delivered)).isShared, false);
});
