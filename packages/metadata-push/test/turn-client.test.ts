import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readTurnCredentials } from '../src/turn-client.ts';

const directory = mkdtempSync(join(tmpdir(), 'turn-client-'));
t.teardown(() => rmSync(directory, { recursive: true }));
let answer: (socket: Socket) => void = () => {};
const sockets = new Set<Socket>();
const server = createServer((socket) => {
  sockets.add(socket);
  socket.on('error', () => {});
  answer(socket);
});
const path = join(directory, 'turn.socket');
await new Promise<void>((resolve) => server.listen(path, resolve));
t.teardown(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

t.test('one line from the TURN socket', async (t) => {
  const rows: [answer: (socket: Socket) => void, result: string | undefined, reason: string][] = [
    [(socket) => socket.end('1795800000:b2F0aA==\n'), '1795800000:b2F0aA==', 'a line'],
    [(socket) => socket.write('1795800000:a:b\nmore\n'), '1795800000:a:b', 'more lines, connection kept open'],
    [(socket) => socket.end('1795800000:x'), '1795800000:x', 'no line feed'],
    [(socket) => socket.end('1795800000:x\r\n'), '1795800000:x', 'CR LF'],
    [(socket) => [...'1795800000:x\n'].forEach((byte) => void socket.write(byte)), '1795800000:x', 'byte by byte'],
    [(socket) => socket.end(''), undefined, 'nothing'],
    [(socket) => socket.end('error\n'), undefined, 'not credentials'],
    [(socket) => socket.end('1:\n'), undefined, 'no password'],
    [(socket) => socket.end('1:a\tb\n'), undefined, 'a control character'],
    [(socket) => socket.write('1'.repeat(5000)), undefined, 'a line without end'],
    [(socket) => socket.destroy(), undefined, 'closed at once'],
    [() => {}, undefined, 'silence'],
  ];
  for (const [reply, result, reason] of rows) {
    answer = reply;
    t.equal(await readTurnCredentials(path, 150), result, reason);
  }
  t.equal(await readTurnCredentials(join(directory, 'none'), 150), undefined, 'no such service');
});
