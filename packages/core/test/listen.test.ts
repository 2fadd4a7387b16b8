import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError, formatListenAddress, listen, parseListenAddress, UsageError } from '#core';
import { takeInheritedSockets } from '../src/listen.ts';

const directory = mkdtempSync(join(tmpdir(), 'core-listen-'));
t.teardown(() => rmSync(directory, { recursive: true }));

async function canConnect(path: string): Promise<void> {
  const client = connect(path);
  await once(client, 'connect');
  client.destroy();
}

t.test('addresses', async (t) => {
  for (const text of ['unix:/run/x.sock', 'inet:127.0.0.1:0', 'inet:[::1]:65535']) {
    t.equal(formatListenAddress(parseListenAddress(text)), text);
  }
  for (const text of [
    '',
    'unix:',
    'unix:relative',
    'unix:/a\0b',
    '127.0.0.1:80',
    'inet:localhost:80',
    'inet:127.0.0.1',
    'inet:127.0.0.1:65536',
    'inet:::1:80',
    'inet:[127.0.0.1:80',
  ]) {
    t.throws(() => parseListenAddress(text), UsageError, text);
  }
});

t.test('a Unix socket is 0660 and replaces one nobody listens on', async (t) => {
  const path = join(directory, 'a.sock');
  // A process that ends without closing its socket leaves the file behind.
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  t.ok(existsSync(path), 'the stale socket is there');
  const server = createServer();
  t.teardown(() => server.close());
  await listen(server, { kind: 'unix', path });
  t.equal(statSync(path).mode & 0o777, 0o660);
  await canConnect(path);

  const second = createServer();
  await t.rejects(listen(second, { kind: 'unix', path }), ConfigError, 'a living one is left alone');
  await canConnect(path);
});

t.test('a plain file in the way stays', async (t) => {
  const path = join(directory, 'file');
  writeFileSync(path, 'precious');
  chmodSync(path, 0o600);
  await t.rejects(listen(createServer(), { kind: 'unix', path }), ConfigError);
  t.equal(statSync(path).size, 8);
});

t.test('TCP tells the port the system chose, and explains a taken one', async (t) => {
  const server = createServer();
  t.teardown(() => server.close());
  const address = await listen(server, parseListenAddress('inet:127.0.0.1:0'));
  t.match(formatListenAddress(address), /^inet:127\.0\.0\.1:[1-9]\d*$/);
  await t.rejects(listen(createServer(), address), { exitCode: 78, message: /EADDRINUSE.*something else is there/ });
});

t.test('sockets inherited from systemd', async (t) => {
  const env = { LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'auth:http:auth', OTHER: 'x' };
  const sockets = takeInheritedSockets(env, 7);
  t.same(
    [...sockets],
    [
      [
        'auth',
        [
          { kind: 'inherited', fd: 3 },
          { kind: 'inherited', fd: 5 },
        ],
      ],
      ['http', [{ kind: 'inherited', fd: 4 }]],
    ],
  );
  t.same(env, { OTHER: 'x' }, 'children do not see the variables');
  t.equal(
    takeInheritedSockets({ LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'a' }, 7).size,
    0,
    'meant for another process',
  );
  t.equal(takeInheritedSockets({}, 7).size, 0);
  t.throws(
    () => takeInheritedSockets({ LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a' }, 7),
    ConfigError,
    'a socket without a name',
  );
  t.throws(() => takeInheritedSockets({ LISTEN_PID: '7', LISTEN_FDS: 'x' }, 7), ConfigError);
});
