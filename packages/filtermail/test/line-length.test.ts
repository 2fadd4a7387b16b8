import fc from 'fast-check';
import t from 'tap';
import type { Edit } from '#milter';
import { LineLength } from '../src/line-length.ts';
import type { Transaction } from '../src/transaction.ts';

function decide(stage: LineLength, edits: Edit[] = []): string {
  return stage.decide({ edits } as unknown as Transaction)?.reason ?? 'ok';
}

function judgeBody(body: string, cuts: readonly number[] = []): string {
  const stage = new LineLength();
  const bytes = Buffer.from(body, 'latin1');
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    stage.body(bytes.subarray(from, to));
    from = to;
  }
  return decide(stage);
}

const line = (length: number) => `${'x'.repeat(length)}\r\n`;

t.test('bodies', async (t) => {
  const rows: readonly [body: string, reason: string, why: string][] = [
    ['', 'ok', 'none'],
    [line(998), 'ok', 'the longest line'],
    [line(999), 'line_too_long', 'one byte more'],
    [line(998).repeat(3000), 'ok', 'many of them'],
    [line(76).repeat(3000) + line(999), 'line_too_long', 'the last one'],
    [line(999) + line(76).repeat(3000), 'line_too_long', 'the first one'],
    [line(1) + line(999) + line(1), 'line_too_long', 'one among short ones'],
    ['x'.repeat(998), 'ok', 'a last line without an end'],
    ['x'.repeat(1_000_000), 'line_too_long', 'no line end at all'],
  ];
  for (const [body, reason, why] of rows) {
    t.equal(judgeBody(body), reason, why);
    const bytes = [...body.slice(0, 3000)].map((_, i) => i + 1);
    t.equal(judgeBody(body, bytes), reason, `${why}, byte by byte`);
  }
});

t.test('any lines in any chunking', async (t) => {
  const lengths = fc.array(fc.oneof(fc.nat(100), fc.integer({ min: 990, max: 1000 })), { maxLength: 8 });
  fc.assert(
    fc.property(lengths, fc.array(fc.nat(9000), { maxLength: 6 }), (lines, at) => {
      const body = lines.map(line).join('');
      const cuts = at.map((cut) => Math.min(cut, body.length)).sort((a, b) => a - b);
      return judgeBody(body, cuts) === (lines.some((length) => length > 998) ? 'line_too_long' : 'ok');
    }),
    { numRuns: 2000 },
  );
  t.pass('2000 bodies');
});

t.test('header fields, as they leave', async (t) => {
  const judgeField = (value: string, edits: Edit[] = []) => {
    const stage = new LineLength();
    stage.header({ name: 'x-y', rawName: 'X-Y', value: 'short', rawValue: 'short', index: 1 });
    stage.header({ name: 'x-y', rawName: 'X-Y', value, rawValue: value, index: 2 });
    return decide(stage, edits);
  };
  const long = 'x'.repeat(994);
  const deleted = (index: number): Edit[] => [{ edit: 'deleteHeader', name: 'X-Y', index }];
  t.equal(judgeField('x'.repeat(993)), 'ok', 'the longest, with name, colon and blank');
  t.equal(judgeField(long), 'line_too_long', 'one byte more');
  t.equal(judgeField(`${'x'.repeat(500)}\n ${'x'.repeat(900)}`), 'ok', 'folded');
  t.equal(judgeField(`x\n ${'x'.repeat(998)}`), 'line_too_long', 'folded, and still long');
  t.equal(judgeField(long, deleted(2)), 'ok', 'one that does not leave');
  t.equal(judgeField(long, deleted(1)), 'line_too_long', 'another one does not leave');
  t.equal(judgeField(long, [{ edit: 'changeHeader', name: 'X-Y', index: 2, value: 'y' }]), 'ok', 'written anew');
});
