import t from 'tap';
import { Rest } from '../src/rest.ts';

t.test('keeps what it is given until it is dropped', (t) => {
  for (const length of [1, 4096, 4097, 65_536, 70_000]) {
    const bytes = Buffer.from(Array.from({ length }, (_, i) => i % 251));
    const rest = new Rest();
    t.equal(rest.bytes, undefined);
    const shared = Buffer.from(bytes);
    rest.keep(shared);
    shared.fill(0);
    t.ok(rest.bytes?.equals(bytes), `${length} bytes, after the read buffer was used again`);
    rest.drop(0);
    t.ok(rest.bytes?.equals(bytes), 'nothing taken');
    if (length > 1) {
      rest.drop(length - 1);
      t.ok(rest.bytes?.equals(bytes.subarray(length - 1)), 'all but one taken');
    }
    rest.drop(1);
    t.equal(rest.bytes, undefined);
    rest.drop(1);
    rest.clear();
  }
  t.end();
});

t.test('two connections never share a buffer, however often they keep and clear', (t) => {
  const rests = Array.from({ length: 40 }, () => new Rest());
  for (let round = 0; round < 3; round++) {
    for (const [i, rest] of rests.entries()) rest.keep(Buffer.alloc(60_000, i + round));
    const wrong = rests.filter((rest, i) => !rest.bytes?.equals(Buffer.alloc(60_000, i + round)));
    t.equal(wrong.length, 0);
    for (const rest of rests) {
      rest.clear();
      rest.clear();
    }
  }
  t.end();
});
