import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { writeFileAtomic, writeNewFile } from '#core';

const directory = mkdtempSync(join(tmpdir(), 'core-atomic-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const file = join(directory, 'password');

t.test('writes and replaces, with the mode asked for whatever the umask', async (t) => {
  const umask = process.umask(0o077);
  t.teardown(() => process.umask(umask));
  await writeFileAtomic(file, 'one');
  t.equal(statSync(file).mode & 0o777, 0o600, 'private unless asked otherwise');
  await writeFileAtomic(file, Buffer.from('two'), { mode: 0o644 });
  t.equal(readFileSync(file, 'utf8'), 'two');
  t.equal(statSync(file).mode & 0o777, 0o644);
  t.same(readdirSync(directory), ['password'], 'no temporary file stays');
});

t.test('a failure leaves the old contents and no temporary file', async (t) => {
  const blocked = join(directory, 'blocked');
  mkdirSync(blocked);
  writeFileSync(join(blocked, 'inside'), '');
  await t.rejects(writeFileAtomic(blocked, 'x'), { code: 'EISDIR' });
  await t.rejects(writeFileAtomic(join(directory, 'missing/file'), 'x'), { code: 'ENOENT' });
  t.same(readdirSync(directory).sort(), ['blocked', 'password']);
});

t.test('a new file never replaces another', async (t) => {
  await t.rejects(writeNewFile(file, 'three'), { code: 'EEXIST' });
  t.equal(readFileSync(file, 'utf8'), 'two');
});

t.test('many writers at once leave one whole file', async (t) => {
  const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
  await Promise.all(texts.map((text) => writeFileAtomic(file, text)));
  t.ok(texts.includes(readFileSync(file, 'utf8')));
  t.same(readdirSync(directory).sort(), ['blocked', 'password']);
});
