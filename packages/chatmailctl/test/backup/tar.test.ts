import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ArchiveReader, ArchiveWriter } from '../../src/backup/archive.ts';
import { ArchiveError, decodeHeader, decodePax, encodeEntry } from '../../src/backup/tar.ts';

const directory = mkdtempSync(join(tmpdir(), 'backup-tar-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'x.tar');

interface Written {
  readonly path: string;
  readonly data: Buffer;
}

function write(entries: readonly Written[]): void {
  const fd = openSync(file, 'w');
  const writer = new ArchiveWriter(fd);
  for (const { path, data } of entries) writer.add({ path, type: 'file', mode: 0o600, mtime: 1_700_000_000 }, data);
  writer.finish(0, (sha256) => sha256);
  closeSync(fd);
}

function read(): Written[] {
  const fd = openSync(file, 'r');
  const reader = new ArchiveReader(fd);
  const entries: Written[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    entries.push({ path: entry.path, data: reader.body() });
  }
  t.equal(entries.at(-1)!.data.toString(), reader.digest, 'the checksum that was written is the one that is read');
  closeSync(fd);
  return entries.slice(0, -1);
}

t.test('what is written is read', async (t) => {
  const segment = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    .filter((text) => !/[\n\0/]/.test(text) && text.isWellFormed());
  const entry = fc.record({
    path: fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/')),
    data: fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
      write(entries);
      t.same(read(), entries);
    }),
    { numRuns: 60 },
  );
  const large = { path: 'large', data: randomBytes(3_000_001) };
  write([large, { path: 'empty', data: Buffer.alloc(0) }]);
  const [readLarge, empty] = read();
  t.ok(readLarge!.data.equals(large.data), 'more than a buffer');
  t.equal(empty!.data.length, 0);
});

t.test('GNU tar understands it', async (t) => {
  const path = `accounts/${'ü'.repeat(60)}@x.org/cur/1:2,S`;
  write([
    { path: 'chatmail.ini', data: Buffer.from('[params]\n') },
    { path, data: Buffer.from('mail') },
  ]);
  const listed = execFileSync('tar', ['--quoting-style=literal', '-tvf', file], { encoding: 'utf8' }).split('\n');
  t.match(listed[0]!, /^-rw------- 0\/0 +9 2023-11-14 .* chatmail\.ini$/);
  t.match(listed[1]!, path);
  t.equal(execFileSync('tar', ['-xOf', file, path], { encoding: 'utf8' }), 'mail');
});

t.test('what is none of ours is refused', async (t) => {
  const entry = { path: 'a', type: 'file', size: 1, mode: 0o600, mtime: 0 } as const;
  const fixed = (change: (block: Buffer) => void) => {
    const block = encodeEntry(entry);
    change(block);
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return block;
  };
  const rows: [block: Buffer, reason: string][] = [
    [Buffer.alloc(512, 'x'), 'no tar'],
    [encodeEntry(entry).fill('b', 0, 1), 'a wrong checksum'],
    ...['1', '2', '3', '4', '6', '7', 'g', 'L', 'K', 'S', '\0'].map((type): [Buffer, string] => [
      fixed((block) => block.write(type, 156, 'latin1')),
      `type ${JSON.stringify(type)}`,
    ]),
    [fixed((block) => block.write('dir', 345)), 'a prefix'],
    [fixed((block) => block.write('5', 156)), 'a directory that does not end in a slash'],
    [fixed((block) => block.write('a/', 0)), 'a file that does'],
    [fixed((block) => block.write('-0000000001', 124)), 'a negative size'],
    [fixed((block) => block.write('\x80', 124, 'latin1')), 'a size in base 256'],
    [fixed((block) => block.write('x', 156) && block.write('00000100000', 124)), 'a long pax header'],
  ];
  for (const [block, reason] of rows) t.throws(() => decodeHeader(block), ArchiveError, reason);
  for (const record of ['11 path=a\n', '10 size=a\n', '10 path=a\n10 path=b\n', '99 path=a\n', '11 path=\xff\n', '']) {
    t.throws(() => decodePax(Buffer.from(record, 'latin1')), ArchiveError, JSON.stringify(record));
  }
  t.equal(decodePax(Buffer.from('10 path=a\n')), 'a');
});

t.test('an archive that is cut anywhere is noticed', async (t) => {
  write([{ path: 'a', data: Buffer.alloc(700, 'x') }]);
  const whole = readFileSync(file);
  for (const length of [0, 100, 511, 512, 600, 1535, 1536, 2000, 2560]) {
    writeFileSync(file, whole.subarray(0, length));
    t.throws(read, ArchiveError, `${length} bytes`);
  }
});
