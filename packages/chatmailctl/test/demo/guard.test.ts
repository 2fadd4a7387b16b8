/** The guard ends process groups and removes its directory, whether it is told to finish or we vanish. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Guard } from '../../src/demo/guard.ts';
import { until } from '../../src/demo/wait.ts';

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'guard-test-'));
  await writeFile(join(path, 'file'), '');
  return path;
}

t.test('finish', async (t) => {
  const path = await directory();
  const guard = new Guard(path);
  const [cared, released] = ['sleep', 'sleep'].map((name) => spawn(name, ['60'], { detached: true, stdio: 'ignore' }));
  t.teardown(() => released!.kill('SIGKILL'));
  guard.started(released!.pid!);
  guard.started(cared!.pid!);
  guard.ended(released!.pid!);
  const ended = once(cared!, 'exit');
  await guard.finish();
  t.same((await ended)[1], 'SIGTERM', 'what was in its care has ended');
  t.equal(released!.exitCode ?? released!.signalCode, null, 'what was taken out runs on');
  t.notOk(await exists(path), 'the directory is gone');
  await guard.finish();
});

t.test('our end', async (t) => {
  const path = await directory();
  const module = new URL('../../src/demo/guard.ts', import.meta.url).href;
  const script = `import { spawn } from 'node:child_process';
    import { Guard } from ${JSON.stringify(module)};
    const guard = new Guard(${JSON.stringify(path)});
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    guard.started(child.pid);
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = Number((await once(owner.stdout!.setEncoding('utf8'), 'data'))[0]);
  owner.kill('SIGKILL');
  await until(async () => !(await exists(path)), 10_000);
  t.throws(() => process.kill(-pid, 'SIGCONT'), 'the group it led has ended');
});
