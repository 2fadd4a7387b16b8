import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createDictServer, failed, found, lookUp, notFound } from '#dovecot-dict';

const directory = mkdtempSync(join(tmpdir(), 'lookup-client-'));
t.teardown(() => rmSync(directory, { recursive: true }));

t.test('answers in the order of the questions, bytes as they are', async (t) => {
  const path = join(directory, 'dict.sock');
  const value = Buffer.from('a\tb\n\x01\xff\0', 'latin1');
  const users: string[] = [];
  const { server, drain } = createDictServer({
    lookup: ({ key, user }) => {
      users.push(String(user));
      if (key[0] === 0x66) return found(Buffer.concat([key, value]));
      return key[0] === 0x6e ? notFound : failed('trouble');
    },
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => drain(100));
  const keys = [Buffer.concat([Buffer.from('f'), value]), Buffer.from('n'), Buffer.from('x'), Buffer.from('f2')];
  t.same(
    await lookUp(
      path,
      keys.map((key) => ({ key })),
      5000,
    ),
    [
      { kind: 'found', values: [Buffer.concat([keys[0]!, value])] },
      { kind: 'notFound' },
      { kind: 'failed', text: 'trouble' },
      { kind: 'found', values: [Buffer.concat([keys[3]!, value])] },
    ],
  );
  users.length = 0;
  await lookUp(path, [{ key: keys[0]!, user: Buffer.from('a@x.org') }, { key: keys[1]! }], 5000);
  t.same(users, ['a@x.org', ''], 'each for its user');
});

t.test('anything but an answer is an error', async (t) => {
  const rows: [name: string, behave: (socket: Socket) => void, reason: string][] = [
    ['closes', (socket) => socket.end(), 'closed without an answer'],
    ['half', (socket) => socket.end('Ohalf'), 'closed in the middle'],
    ['broken', (socket) => socket.write('X\n'), 'no letter of the protocol'],
    ['empty', (socket) => socket.write('\n'), 'an empty line'],
    ['endless', (socket) => socket.write(Buffer.alloc(100_000, 'O')), 'a line without end'],
    ['silent', () => {}, 'silence'],
  ];
  for (const [name, behave, reason] of rows) {
    const path = join(directory, `${name}.sock`);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.resume();
      behave(socket);
    });
    server.listen(path);
    await once(server, 'listening');
    await t.rejects(lookUp(path, [{ key: Buffer.from('key') }], 200), reason);
    server.close();
  }
  await t.rejects(lookUp(join(directory, 'missing.sock'), [{ key: Buffer.from('key') }], 200), { code: 'ENOENT' });
});
