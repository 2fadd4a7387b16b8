/** Reply bytes: the table, and that nothing outside it can be built. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  committed,
  encodeCommitReply,
  encodeIterationEnd,
  encodeIterationFailure,
  encodeLookupReply,
  encodeRow,
  failed,
  found,
  foundMany,
  notFound,
  uncertain,
} from '../src/reply.ts';
import { decodeLookupReply } from '../src/testing.ts';

t.test('the reply table', (t) => {
  const rows: [Buffer, string, string][] = [
    [encodeLookupReply(found('value')), 'Ovalue\n', 'found'],
    [encodeLookupReply(found('')), 'O\n', 'found, empty: a passdb\'s "temporary failure"'],
    [encodeLookupReply(found(Buffer.from([0xff, 0x00, 0x0d]))), 'O\xff\x010\x01r\n', 'bytes; NUL and CR escaped'],
    [encodeLookupReply(found('ä')), 'O\xc3\xa4\n', 'a string is UTF-8'],
    [encodeLookupReply(foundMany(['one', 'two'])), 'Mone\x01ttwo\n', 'the joined list is escaped again (captured)'],
    [encodeLookupReply(foundMany(['a\tb', ''])), 'Ma\x011tb\x01t\n', 'values are escaped twice'],
    [encodeLookupReply(notFound), 'N\n', 'not found'],
    [encodeLookupReply(failed('no disk')), 'Fno disk\n', 'failed, with its reason'],
    [encodeCommitReply(committed, 7), 'O\n', 'committed; the id is optional'],
    [encodeCommitReply(notFound, 7), 'N\n', 'increment of a missing key'],
    [encodeCommitReply(failed('full'), 7), 'F7\tfull\n', 'the error is the second field'],
    [encodeCommitReply(uncertain('late'), 7), 'W7\tlate\n', 'maybe committed'],
    [encodeRow({ key: 'k', value: 'v\t' }, false), 'Ok\tv\x01t\n', 'a row'],
    [encodeRow({ key: 'k', value: '1', moreValues: ['2', ''] }, false), 'Ok\t1\t2\t\n', 'several values'],
    [encodeRow({ key: 'k', value: 'v', moreValues: ['2'] }, true), 'Ok\t\n', 'no values, but the TAB'],
    [encodeIterationEnd(), '\n', 'an empty line'],
    [encodeIterationFailure(failed('x')), 'Fx\n', 'the other end of an iteration'],
  ];
  for (const [line, expected, why] of rows) t.equal(line.toString('latin1'), expected, why);
  t.end();
});

t.test('error texts are one short field', (t) => {
  const line = encodeLookupReply(failed('a\r\nOinjected\n\tb\x00\x85c')).toString('utf8');
  t.equal(
    line,
    'Fa  Oinjected  b  c\n',
    'control characters, which the client would unescape into its log, are spaces',
  );
  t.ok(encodeCommitReply(failed('x'.repeat(10_000)), 1).length < 300, 'cut');
  t.end();
});

t.test('what is not a reply of the command is refused', (t) => {
  const nonsense = [
    { kind: 'committed' },
    { kind: 'foundMany', values: [] },
    { kind: 'X' },
    {},
    undefined,
    null,
    'O',
    { kind: 'found' },
    { kind: 'found', value: 5 },
    { kind: 'failed' },
  ];
  for (const reply of nonsense) t.throws(() => encodeLookupReply(reply as never), TypeError);
  for (const reply of [found('v'), { kind: 'uncertain' }, undefined]) {
    t.throws(() => encodeCommitReply(reply as never, 1), TypeError);
  }
  t.throws(() => encodeIterationFailure(notFound as never), TypeError);
  t.throws(() => encodeRow({ key: 'k' } as never, false), TypeError);
  t.end();
});

t.test('any values arrive as they were', (t) => {
  const value = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(value, fc.array(value, { maxLength: 4 }), (first, others) => {
        const line = encodeLookupReply(foundMany([first, ...others]));
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.deepEqual(decodeLookupReply(line.subarray(0, -1)), { kind: 'found', values: [first, ...others] });
        const single = encodeLookupReply(found(first));
        assert.deepEqual(decodeLookupReply(single.subarray(0, -1)), { kind: 'found', values: [first] });
      }),
    ),
  );
  t.end();
});
