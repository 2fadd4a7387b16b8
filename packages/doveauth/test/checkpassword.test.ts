import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { findProgram } from '../src/find-program.ts';

const ROOT = join(import.meta.dirname, '../../..');
const directory = mkdtempSync(join(tmpdir(), 'checkpassword-'));
t.teardown(() => rmSync(directory, { recursive: true }));

function writeProgram(name: string, contents: string, mode = 0o755): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  chmodSync(path, mode);
  return path;
}

/** Logs in with the right password, without Dovecot around; resolves with the exit code and all output. */
async function logIn(launcher: string, words: readonly string[]) {
  const { ORIG_UID, AUTHORIZED, ...env } = process.env;
  env.PATH = `${directory}${delimiter}${env.PATH}`;
  const child = spawn(launcher, words, { env, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const credentials = child.stdio[3] as Writable;
  // It may end without having read them.
  credentials.on('error', () => {});
  credentials.end('user00000@x.org\0password1\0\0');
  const [output, errors, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')]);
  return { code, output, errors };
}

t.test('a program that cannot be run is trouble and no exit code of a shell', async (t) => {
  const socket = join(directory, 'auth.sock');
  const account = { home: directory, uid: String(process.getuid!()), gid: String(process.getgid!()) };
  // A doveauth that has verified every password.
  const server = createServer((connection) => {
    connection.on('error', () => {});
    connection.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().split('\n')) {
        if (!line.startsWith('L')) continue;
        connection.write(`O${JSON.stringify(line.includes('passdb') ? { nopassword: 'y' } : account)}\n`);
      }
    });
  });
  server.listen(socket);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const launcher = join(ROOT, 'bin/doveauth-checkpassword');

  const good = writeProgram('good', '#!/bin/sh\necho "$1 $USER"\nexit 7\n');
  const rows: [words: string[], code: number, output: string, reason: string][] = [
    [[good, 'a'], 7, 'a user00000@x.org\n', 'a path'],
    [['good', 'a'], 7, 'a user00000@x.org\n', 'along PATH'],
    [[writeProgram('bare', 'echo "$1"\n'), 'a'], 0, 'a\n', 'a script without #!'],
    [['/nowhere/program'], 111, '', 'not there'],
    [['no-such-program'], 111, '', 'not along PATH'],
    [[writeProgram('plain', '#!/bin/sh\n', 0o644)], 111, '', 'not executable'],
    [[directory], 111, '', 'a directory'],
  ];
  for (const [words, code, output, reason] of rows) {
    const result = await logIn(launcher, ['--socket', socket, ...words]);
    t.same([result.code, result.output], [code, output], reason);
    if (code === 111) t.match(result.errors, /PROGRAM is not there, or may not be run/, reason);
  }
});

t.test('programs are found as a shell finds them', async (t) => {
  const program = writeProgram('tool', '');
  t.equal(findProgram(program), program);
  t.equal(findProgram('tool', `/nowhere:${directory}`), program);
  t.equal(findProgram('tool', '/nowhere'), undefined);
  t.equal(findProgram('sh'), findProgram('sh', '/usr/bin:/bin') ?? t.fail(), 'without PATH');
});

t.test('a part of the program that is missing or of another version is no wrong password', async (t) => {
  const copy = join(directory, 'copy');
  for (const path of ['bin', 'libexec', 'package.json', 'packages/dovecot-dict/src', 'packages/doveauth/src']) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    cpSync(join(ROOT, path), join(copy, path), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const launcher = join(copy, 'bin/doveauth-checkpassword');
  const words = ['--socket', join(directory, 'none.sock'), 'true'];
  t.match(
    await logIn(launcher, words),
    { code: 111, errors: 'no decision could be made' },
    'whole: only nobody answers',
  );
  const src = join(copy, 'packages/doveauth/src');
  const faults = [
    ['lookup-key.ts', 'export const other = 1;\n', /cannot start: .*formatPassdbKey/],
    ['lookup-key.ts', undefined, /cannot start: .*lookup-key/],
    ['checkpassword-program.ts', undefined, /cannot start: /],
    ['checkpassword.ts', undefined, /checkpassword\.ts is missing/],
  ] as const;
  for (const [name, contents, errors] of faults) {
    if (contents === undefined) rmSync(join(src, name));
    else writeFileSync(join(src, name), contents);
    t.match(
      await logIn(launcher, words),
      { code: 111, errors },
      `${name} ${contents === undefined ? 'missing' : 'changed'}`,
    );
  }
});
