import t from 'tap';
import { SourceLimit } from '../src/source-limit.ts';

t.test('a bucket per source', async (t) => {
  const limit = new SourceLimit(10, 5);
  const take = (source: string, count: number, now: number) =>
    Array.from({ length: count }, () => limit.take(source, now)).filter((waitMs) => waitMs === 0).length;
  t.equal(take('a', 20, 0), 5, 'the burst');
  t.equal(limit.take('a', 0), 100, 'and then one every 100 ms');
  t.equal(take('b', 20, 0), 5, 'another source has its own');
  t.equal(take('a', 20, 200), 2, 'it fills at its rate');
  t.equal(take('a', 20, 10_000), 5, 'up to the burst');
});

t.test('too many sources share a bucket, and full ones are forgotten', async (t) => {
  const limit = new SourceLimit(10, 2);
  for (let i = 0; i < 10_000; i++) limit.take(`s${i}`, 0);
  t.same([limit.take('x', 0), limit.take('y', 0), limit.take('z', 0) > 0], [0, 0, true], 'one bucket for all the rest');
  t.equal(limit.take('s1', 0), 0, 'those known have their own');
  t.same([limit.take('x', 1000), limit.take('y', 1000), limit.take('z', 1000)], [0, 0, 0], 'later there is room again');
});
