import { hash as digest } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { runRounds } from '../src/sha512-rounds.ts';

/** The same rounds through node:crypto. */
function referenceRounds(a: Buffer, p: Uint8Array, s: Uint8Array): Buffer {
  let c = a;
  for (let round = 0; round < 5000; round++) {
    const [first, last] = round & 1 ? [p, c] : [c, p];
    const parts = [first, ...(round % 3 ? [s] : []), ...(round % 7 ? [p] : []), last];
    c = digest('sha512', Buffer.concat(parts), 'buffer');
  }
  return c;
}

t.test('node:crypto agrees', async (t) => {
  const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength, size: 'max' });
  const property = fc.property(bytes(64, 64), bytes(1, 400), bytes(1, 16), (a, p, s) =>
    runRounds(Buffer.from(a), p, s).equals(referenceRounds(Buffer.from(a), p, s)),
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 20 }));
});

t.test('the longest password fits, a longer one is refused and does no harm', async (t) => {
  const a = Buffer.alloc(64, 'a');
  const longest = Buffer.alloc(1024, 'p');
  const salt = Buffer.alloc(16, 's');
  t.ok(runRounds(a, longest, salt).equals(referenceRounds(a, longest, salt)));
  t.throws(() => runRounds(a, Buffer.alloc(4096), salt), RangeError);
  const short = Buffer.from('p');
  t.ok(runRounds(a, short, salt).equals(referenceRounds(a, short, salt)), 'nothing is left of what was there before');
});
