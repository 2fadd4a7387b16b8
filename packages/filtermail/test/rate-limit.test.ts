import t from 'tap';
import { RateLimit } from '../src/rate-limit.ts';

t.test('GCRA', (t) => {
  const limit = new RateLimit({ perMinute: 60, burst: 10 });
  const burst = Array.from({ length: 10 }, () => limit.take('a', 1000));
  t.same(burst, Array(10).fill(0), 'the whole burst at once');
  t.equal(limit.take('a', 1000), 1000, 'then one second to wait');
  t.equal(limit.take('a', 1500), 500, 'a refused message does not count');
  t.equal(limit.take('b', 1500), 0, 'others are not concerned');
  t.equal(limit.take('a', 2000), 0, 'after the wait');
  t.equal(limit.take('a', 2000), 1000, 'one and no more');
  t.same(
    Array.from({ length: 100 }, (_, i) => limit.take('a', 3000 + i * 1000)).filter((wait) => wait > 0),
    [],
    'sixty a minute, evenly',
  );
  t.same(
    Array.from({ length: 11 }, () => limit.take('a', 200_000)),
    [...Array(10).fill(0), 1000],
    'a new burst after a rest',
  );
  t.end();
});

t.test('forgetting never shortens a wait', (t) => {
  const limit = new RateLimit({ perMinute: 60, burst: 10 });
  let sent = 0;
  for (let now = 0; now <= 60_000; now += 10) if (limit.take('a', now) === 0) sent++;
  t.equal(sent, 70, 'a burst and one a second, in a minute of trying');
  t.end();
});

t.test('configure', (t) => {
  const limit = new RateLimit({ perMinute: 60, burst: 1 });
  t.same([limit.take('a', 0), limit.take('a', 0)], [0, 1000]);
  limit.configure({ perMinute: 60, burst: 3 });
  t.same([limit.take('a', 0), limit.take('a', 0)], [0, 0], 'the new burst counts at once');
  t.end();
});

t.test('memory is bounded', (t) => {
  const limit = new RateLimit({ perMinute: 60, burst: 10 });
  for (let i = 0; i < 300_000; i++) limit.take(`sender ${i}`, 1000);
  t.ok(limit.size <= 100_000, 'under a million senders at once');
  for (let i = 0; i < 100; i++) limit.take('one', 10_000_000 + i * 1000);
  t.ok(limit.size <= 2, 'idle senders are forgotten');
  t.end();
});
