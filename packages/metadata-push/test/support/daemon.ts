/** Starts a daemon as installed, by its launcher, and keeps all it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import t from 'tap';
import { directory } from './certificates.ts';

const BIN = resolve(import.meta.dirname, '../../../../bin');

export interface Daemon {
  readonly child: ChildProcess;
  /** Where it listens, as `unix:...` or `inet:...`. */
  readonly address: string;
  output(): string;
}

/** @param listen `NAME=ADDR` of its only listener. It trusts the certificate `server` of the test. */
export async function startDaemon(program: string, config: string, listen: string): Promise<Daemon> {
  const args = ['--config', config, '--listen', listen, '--log-level', 'trace'];
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(directory, 'server.crt') };
  const child = spawn(join(BIN, program), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  const keep = (chunk: Buffer) => {
    output += chunk.toString('latin1');
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  await until(() => /ready \S+=\S+"/.test(output) || child.exitCode !== null);
  const address = /ready \w+=([^\s"]+)/.exec(output)?.[1];
  if (address === undefined) throw new Error(`${program} did not start: ${output}`);
  return { child, address, output: () => output };
}

/** Resolves when a condition holds, or after a minute. */
export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 6000 && !condition(); i++) await new Promise((wake) => setTimeout(wake, 10));
}
