/** [io] What apply would change, on a directory that stands for a machine. */

import { hash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { writeRecord } from '../../src/apply/backup.ts';
import type { Host } from '../../src/apply/host.ts';
import { readChangedFiles } from '../../src/status/changed-files.ts';

const INI = '/etc/chatmail/chatmail.ini';

t.test('files, and daemons that were not told', async (t) => {
  const root = t.testdir();
  const host: Host = {
    root,
    portOwners: async () => [],
    pause: async () => {},
    run: async () => ({ code: 0, output: '' }),
  };
  const write = (path: string, text: string | Buffer) => {
    mkdirSync(dirname(root + path), { recursive: true });
    writeFileSync(root + path, text);
  };
  const file = { path: '/etc/postfix/main.cf', text: 'a = b\n', service: 'postfix', mode: 0o644 } as const;
  const ini = Buffer.from('privacy_postal = M\xfcnchen', 'latin1');
  write(INI, ini);
  t.same(await readChangedFiles(host, [file]), [file.path], 'never applied');
  write(file.path, file.text);
  await writeRecord(host, { version: 1, files: [], configHash: hash('sha256', ini) });
  t.same(await readChangedFiles(host, [file]), []);
  write(INI, 'two');
  t.match(await readChangedFiles(host, [file]), [/^the daemons/]);
  write(file.path, 'a = c\n');
  t.equal((await readChangedFiles(host, [file])).length, 2);
});
