import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readOperatorFiles } from '../src/operator-files.ts';
import { silent } from './fixtures/store.ts';

const directory = mkdtempSync(join(tmpdir(), 'operator-files-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const path = (name: string) => join(directory, name);
const read = (turn_secret_file: string, appversions_file: string, log = silent) =>
  readOperatorFiles({ turn_secret_file, appversions_file }, log);

t.test('the TURN secret', async (t) => {
  writeFileSync(path('secret'), 'north-wind-0123456\n');
  t.equal(read(path('secret'), '').turnSecret, 'north-wind-0123456', 'without the end of the line');
  t.equal(read('', '').turnSecret, undefined, 'none');
  const rows: [content: string | Buffer, reason: string][] = [
    ['short', 'too short'],
    ['', 'empty'],
    ['two words of sufficient length', 'blanks'],
    ['two-lines-of-length\nof-sufficient', 'two lines'],
    [Buffer.alloc(300_000, 'x'), 'no file of this kind'],
  ];
  for (const [content, reason] of rows) {
    writeFileSync(path('bad'), content);
    t.throws(() => read(path('bad'), ''), { exitCode: 78 } as unknown as Error, reason);
  }
  t.throws(() => read(path('nowhere'), ''), { message: /ENOENT/ }, 'a file that is named must be there');
  t.throws(() => read(directory, ''), { message: /EISDIR/ });
});

t.test('app versions', async (t) => {
  const errors: unknown[] = [];
  const log = { ...silent, error: (...words: unknown[]) => void errors.push(words) };
  writeFileSync(path('versions'), '{ "clients": [] }');
  t.equal(read('', path('versions'), log).appVersions, '{"clients":[]}');
  t.equal(read('', path('nowhere'), log).appVersions, undefined, 'the default path need not exist');
  t.equal(read('', '', log).appVersions, undefined, 'switched off');
  t.equal(errors.length, 0);
  writeFileSync(path('versions'), '{ "clients": [1] }');
  t.equal(read('', path('versions'), log).appVersions, undefined, 'what clients could not read is not served');
  t.match(errors, [['appversions_file is not served', { reason: /clients\[0\]/ }]]);
  t.equal(read('', directory, log).appVersions, undefined, 'a wrong file costs the entry only');
  t.equal(errors.length, 2);
});
