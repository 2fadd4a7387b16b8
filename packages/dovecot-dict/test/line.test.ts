/** Lines from chunks: cuts anywhere, the cap, and what is held meanwhile. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import t from 'tap';
import { LineReader } from '../src/line.ts';

function readAll(reader: LineReader, chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let line = reader.next(); line !== undefined; line = reader.next()) lines.push(line.toString('latin1'));
  }
  return lines;
}

t.test('splits at LF and nothing else', (t) => {
  const reader = new LineReader(100);
  t.strictSame(readAll(reader, [Buffer.from('a\n\nb\r\n\xc3', 'latin1')]), ['a', '', 'b\r'], 'CR is a byte like any');
  t.notOk(reader.atBoundary, 'half a line is held');
  t.strictSame(readAll(reader, [Buffer.from('\xa4\n', 'latin1')]), ['\xc3\xa4'], 'a character cut in two is whole');
  t.ok(reader.atBoundary);
  t.end();
});

t.test('any chunking gives the same lines', (t) => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => array.map((byte) => (byte % 5 === 0 ? 10 : byte)));
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(bytes, fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 40 }), (array, sizes) => {
        const whole = Buffer.from(array);
        const chunks: Buffer[] = [];
        let start = 0;
        for (const size of sizes) {
          chunks.push(Buffer.from(whole.subarray(start, start + size)));
          start += size;
        }
        chunks.push(whole.subarray(start));
        const expected = whole.toString('latin1').split('\n').slice(0, -1);
        assert.deepEqual(readAll(new LineReader(1000), chunks), expected);
      }),
      { numRuns: 200 },
    ),
  );
  t.end();
});

t.test('lines left unread are kept when more is pushed', (t) => {
  const reader = new LineReader(100);
  reader.push(Buffer.from('a\nb\nc'));
  t.equal(`${reader.next()}`, 'a');
  reader.push(Buffer.from('d\n'));
  t.strictSame([`${reader.next()}`, `${reader.next()}`, reader.next()], ['b', 'cd', undefined]);
  t.end();
});

t.test('the cap counts bytes before the LF', (t) => {
  const rows: [string[], boolean, string][] = [
    [['12345678\n'], true, 'exactly the cap'],
    [['123456789\n'], false, 'one more, in one chunk'],
    [['1234', '5678', '\n'], true, 'exactly the cap in pieces'],
    [['1234', '5678', '9'], false, 'one more, before any LF came'],
    [['123456', '789\n'], false, 'one more, with its LF'],
  ];
  for (const [chunks, isAccepted, why] of rows) {
    const read = () =>
      readAll(
        new LineReader(8),
        chunks.map((chunk) => Buffer.from(chunk)),
      );
    if (isAccepted) t.equal(read()[0]?.length, 8, why);
    else t.throws(read, { code: 'line-too-long' }, why);
  }
  t.end();
});

t.test('a line that comes in single bytes costs no object per byte', (t) => {
  const reader = new LineReader(1024 * 1024);
  const byte = Buffer.from('x');
  const before = process.memoryUsage();
  for (let i = 0; i < 300_000; i++) {
    reader.push(byte);
    reader.next();
  }
  const after = process.memoryUsage();
  reader.push(Buffer.from('\n'));
  t.equal(reader.next()?.length, 300_000);
  // A list of 300,000 buffers would be over 20 MB; garbage that is not collected yet stays well below.
  t.ok(after.arrayBuffers - before.arrayBuffers < 8 * 1024 * 1024, 'bytes held');
  t.end();
});

t.test('a line that has been read is not kept', async (t) => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  const readers = Array.from({ length: 20 }, () => {
    const reader = new LineReader(1024 * 1024);
    readAll(reader, [Buffer.alloc(1_000_000, 'x'), Buffer.from('\n')]);
    return reader;
  });
  const held = () => process.memoryUsage().arrayBuffers - before;
  // Buffers are freed by a thread that may lag behind the collection.
  for (let i = 0; i < 100 && held() >= 4 * 1024 * 1024; i++) {
    collectGarbage();
    await sleep(10);
  }
  t.ok(held() < 4 * 1024 * 1024, '20 idle connections after a line of 1 MB each');
  t.ok(readers.every((reader) => reader.atBoundary));
});
