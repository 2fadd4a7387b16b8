import t from 'tap';
import { Limiter } from '../src/limiter.ts';

t.test('no more at once than allowed, in order, whatever fails', async (t) => {
  const limiter = new Limiter(2);
  const started: number[] = [];
  let running = 0;
  let most = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 9 }, (_, index) =>
      limiter.run(async () => {
        started.push(index);
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (index % 3 === 0) throw new Error('on purpose');
        return index;
      }),
    ),
  );
  t.equal(most, 2);
  t.same(started, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  t.same(
    results.map(({ status }) => status === 'fulfilled'),
    [false, true, true, false, true, true, false, true, true],
  );
  t.equal(await limiter.run(async () => 'still works'), 'still works');
});
