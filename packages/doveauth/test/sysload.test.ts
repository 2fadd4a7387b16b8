import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readHostState } from '../src/sysload.ts';

const directory = mkdtempSync(join(tmpdir(), 'doveauth-sysload-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const paths = {
  loadavg: join(directory, 'loadavg'),
  meminfo: join(directory, 'meminfo'),
  nocreate: join(directory, 'no'),
};

t.test('values as the kernel writes them', async (t) => {
  writeFileSync(paths.loadavg, '12.34 0.50 0.10 1/234 5678\n');
  writeFileSync(paths.meminfo, 'MemTotal:       24689000 kB\nMemFree:   1 kB\nMemAvailable:   2048 kB\n');
  const host = await readHostState(directory, paths);
  t.equal(host.load1, 12.34);
  t.equal(host.availableMemoryBytes, 2048 * 1024);
  t.ok(host.freeDiskBytes! > 0);
  t.equal(host.isCreationStopped, false);
});

t.test('the real files of this machine', async (t) => {
  const host = await readHostState('/');
  t.ok(host.load1! >= 0);
  t.ok(host.availableMemoryBytes! > 2 ** 20);
});

t.test('what cannot be read is left out', async (t) => {
  writeFileSync(paths.loadavg, 'nonsense');
  rmSync(paths.meminfo);
  const host = await readHostState(join(directory, 'missing'), paths);
  t.strictSame(host, {
    load1: undefined,
    availableMemoryBytes: undefined,
    freeDiskBytes: undefined,
    isCreationStopped: false,
  });
});

t.test('the emergency brake', async (t) => {
  writeFileSync(paths.nocreate, '');
  t.equal((await readHostState(directory, paths)).isCreationStopped, true);
});
