import t from 'tap';
import { RateLimit } from '../src/rate-limit.ts';

t.test('so many at once, so many a minute', async (t) => {
  const limit = new RateLimit(6);
  for (let count = 0; count < 6; count++) {
    t.equal(limit.waitMs('a', 0), 0, `${count + 1} of 6`);
    limit.take('a', 0);
  }
  t.equal(limit.waitMs('a', 0), 10_000, 'the seventh waits for a sixth of a minute');
  t.equal(limit.waitMs('b', 0), 0, 'another key does not');
  t.equal(limit.waitMs('a', 10_000), 0);
  limit.take('a', 10_000);
  t.equal(limit.waitMs('a', 10_000), 10_000, 'one came back, not all');
  t.equal(limit.waitMs('a', 70_000), 0);
});

t.test('what is over is forgotten', async (t) => {
  const limit = new RateLimit(60);
  for (let index = 0; index < 1000; index++) limit.take(`client ${index}`, 0);
  t.equal(limit.size, 1000);
  limit.take('another', 61_000);
  t.equal(limit.size, 1);
});

t.test('memory is bounded whatever the limit', async (t) => {
  const limit = new RateLimit(10);
  for (let index = 0; index < 60_000; index++) limit.take(`client ${index}`, 0);
  t.equal(limit.size, 50_000);
});
