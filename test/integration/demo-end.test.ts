/**
 * However a demo ends, nothing of it is left: no process, no file, no listening port.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { accepts, until } from '../../packages/chatmailctl/src/demo/wait.ts';

const CHATMAILCTL = fileURLToPath(new URL('../../bin/chatmailctl', import.meta.url));

interface RunningDemo {
  readonly process: ChildProcess;
  readonly directory: string;
  readonly ports: number[];
}

async function startDemo(): Promise<RunningDemo> {
  const process = spawn(CHATMAILCTL, ['demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: process.stdout })) {
    const ready = /^relay ready domain=\[127\.0\.0\.1\] imaps=(\d+) submissions=(\d+) smtp=(\d+) dir=(\S+)$/.exec(line);
    if (ready) return { process, directory: ready[4]!, ports: ready.slice(1, 4).map(Number) };
  }
  throw new Error('the demo ended before its relay was ready');
}

/** Processes that belong to a directory: by command line, environment or working directory. Zombies have none of them. */
async function processesOf(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environment] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
    );
    if (`${command}${environment}`.includes(directory)) found.push(`${pid} ${command?.replaceAll('\0', ' ')}`);
  }
  return found;
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

t.setTimeout(120_000);
await ensureDependencies((line) => t.comment(line));

const rows: [signal: NodeJS.Signals, waitMs: number, exitCode: number | null, reason: string][] = [
  ['SIGTERM', 0, 0, 'right after the start'],
  ['SIGINT', 2500, 0, 'Ctrl-C while clients are busy'],
  ['SIGKILL', 2500, null, 'a crash while clients are busy'],
];
for (const [signal, waitMs, exitCode, reason] of rows) {
  t.test(`${signal}: ${reason}`, async (t) => {
    const demo = await startDemo();
    await sleep(waitMs);
    t.ok((await processesOf(demo.directory)).length > 10, 'a whole relay runs');
    for (const port of demo.ports) t.ok(await accepts({ host: '127.0.0.1', port }), `port ${port} answers`);
    demo.process.kill(signal);
    t.equal((await once(demo.process, 'exit'))[0], exitCode, 'exit code');
    // Only after a crash is somebody else still at it.
    await until(async () => !(await exists(demo.directory)), signal === 'SIGKILL' ? 15_000 : 0);
    if (signal === 'SIGKILL') {
      await until(async () => (await processesOf(demo.directory)).length === 0, 15_000).catch(() => {});
    }
    t.same(await processesOf(demo.directory), [], 'no process');
    for (const port of demo.ports) t.notOk(await accepts({ host: '127.0.0.1', port }), `port ${port} is free`);
  });
}
