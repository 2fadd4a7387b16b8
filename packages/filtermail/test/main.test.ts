/** The daemon as a process: when it does not start, and what a new configuration changes. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { TestMta } from '#milter/testing';
import { RSA } from './support/dkim.ts';

const directory = mkdtempSync(join(tmpdir(), 'filtermail-main-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const config = join(directory, 'chatmail.ini');
const keyPath = join(directory, 'key.pem');
const configure = (lines: string) => writeFileSync(config, `[params]\ndkim_key = ${keyPath}\n${lines}\n`);
const socket = (name: string) => join(directory, `${name}.sock`);

interface Daemon {
  readonly process: ChildProcess;
  /** Resolves when the log has such a line. */
  logs(pattern: RegExp): Promise<void>;
  output(): string;
}

function start(): Daemon {
  const listen = ['outgoing', 'incoming', 'sign'].flatMap((name) => ['--listen', `${name}=unix:${socket(name)}`]);
  const program = join(import.meta.dirname, '../../../bin/filtermail');
  const child = spawn(program, ['--config', config, ...listen], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      for (const wake of waiting) wake();
    });
  }
  t.teardown(() => child.kill('SIGKILL'));
  return {
    process: child,
    output: () => output,
    logs: (pattern) =>
      new Promise((resolve) => {
        const check = () => {
          if (!pattern.test(output)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
  };
}

t.test('without a key a relay with a name does not start', async (t) => {
  configure('mail_domain = relay.test');
  const { process, output } = start();
  const [code] = await once(process, 'close');
  t.equal(code, 78);
  t.match(output(), /dkim_key: .*key\.pem cannot be read \(ENOENT\)/);
});

t.test('a server of DNS that is none', async (t) => {
  configure('mail_domain = 192.0.2.1\ndns_servers = resolver.example');
  const { process, output } = start();
  const [code] = await once(process, 'close');
  t.equal(code, 78);
  t.match(output(), /dns_servers: 'resolver\.example'/);
});

t.test('signing, reloading, and a relay without a name', async (t) => {
  writeFileSync(keyPath, RSA.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  configure('mail_domain = relay.test\ndkim_selector = one');
  const daemon = start();
  await daemon.logs(/ready/);
  const mta = await TestMta.connect({ path: socket('sign') });
  await mta.negotiate();
  await mta.client();
  const selector = async () => {
    const { reply, edits } = await mta.message({ headers: [['From', 'MAILER-DAEMON@relay.test']], body: 'x\r\n' });
    mta.abort();
    const inserted = edits.flatMap((edit) => (edit.type === 'insertHeader' ? [/ s=(\S+);/.exec(edit.value)?.[1]] : []));
    return [reply.type, ...inserted];
  };
  t.same(await selector(), ['accept', 'one']);

  configure('mail_domain = relay.test\ndkim_selector = two');
  daemon.process.kill('SIGHUP');
  await daemon.logs(/configuration reloaded/);
  t.same(await selector(), ['accept', 'two'], 'a new selector');

  writeFileSync(keyPath, 'no key');
  daemon.process.kill('SIGHUP');
  await daemon.logs(/holds no RSA private key/);
  t.same(await selector(), ['accept', 'two'], 'what is wrong changes nothing');

  configure('mail_domain = 192.0.2.1');
  daemon.process.kill('SIGHUP');
  await daemon.logs(/configuration reloaded[\s\S]*configuration reloaded/);
  t.same(await selector(), ['accept'], 'nothing to sign with');
  mta.socket.destroy();
  daemon.process.kill('SIGTERM');
  t.same(await once(daemon.process, 'exit'), [0, null]);
});
