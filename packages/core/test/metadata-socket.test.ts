import { mkdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Tree } from '../../expire/test/tree.ts';
import { forgetAccounts, restoreDeviceTokens } from '../src/metadata-socket.ts';

/** A daemon that hands every complete line to `onLine`, and collects them. */
async function serve(t: Test, onLine: (line: string, socket: Socket) => void) {
  const tree = new Tree();
  const lines: string[] = [];
  const path = join(tree.root, 'metadata.socket');
  const server = createServer((socket) => {
    let rest = '';
    socket.on('error', () => {});
    socket.setEncoding('utf8').on('data', (chunk) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) {
        lines.push(line);
        onLine(line, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => {
    server.close();
    tree.remove();
  });
  return { path, lines, stateDir: join(tree.root, 'state') };
}

const confirm = (line: string, socket: Socket) => line.startsWith('C') && socket.write(`O${line.slice(1)}\n`);

t.test('asks as Dovecot would', async (t) => {
  const { path, lines, stateDir } = await serve(t, confirm);
  await forgetAccounts(['a@x.org', 'bü@x.org'], path, stateDir);
  t.same(lines, [
    'H3\t2\t0\t\tmetadata',
    'B1\ta@x.org',
    'U1\tpriv/account',
    'C1',
    'B2\tbü@x.org',
    'U2\tpriv/account',
    'C2',
  ]);
});

t.test('many accounts, answers in any chunks', async (t) => {
  const { path, lines, stateDir } = await serve(t, (line, socket) => {
    if (line.startsWith('C')) for (const character of `O${line.slice(1)}\n`) socket.write(character);
  });
  const addresses = Array.from({ length: 1000 }, (_, index) => `user${index}@x.org`);
  await forgetAccounts(addresses, path, stateDir);
  t.same(
    lines.filter((line) => line.startsWith('B')).map((line) => line.split('\t')[1]),
    addresses,
  );
});

t.test('anything but a confirmation of each is a failure', async (t) => {
  const rows: [answer: (line: string, socket: Socket) => void, why: string][] = [
    [(line, socket) => line === 'C1' && socket.write('F1\tno disk\n'), 'a refusal'],
    [(line, socket) => line === 'C1' && socket.write('N1\n'), 'not found'],
    [(line, socket) => line === 'C1' && socket.end(), 'no answer at all'],
    [(line, socket) => line === 'C2' && socket.end('O1\n'), 'one answer of two'],
    [(line, socket) => line === 'C1' && socket.write('x'.repeat(10_000)), 'an endless line'],
  ];
  for (const [answer, why] of rows) {
    const { path, stateDir } = await serve(t, answer);
    await t.rejects(forgetAccounts(['a@x.org', 'b@x.org'], path, stateDir), why);
  }
});

t.test('without a daemon', async (t) => {
  const tree = new Tree();
  t.teardown(() => tree.remove());
  const [socket, stateDir] = [join(tree.root, 'none.socket'), join(tree.root, 'state')];
  await t.resolves(forgetAccounts(['a@x.org'], socket, stateDir), 'no store, nothing to forget');
  mkdirSync(stateDir);
  await t.rejects(forgetAccounts(['a@x.org'], socket, stateDir), 'a store that nobody answers for');
});

t.test('device tokens of a backup', async (t) => {
  const { path, lines } = await serve(t, confirm);
  await restoreDeviceTokens([], path);
  t.same(lines, [], 'none');
  await restoreDeviceTokens([{ account: 'a@x.org', token: 'openpgp:abc' }], path);
  t.same(lines, ['H3\t2\t0\t\tmetadata', 'B1\ta@x.org', `S1\tpriv/${'0'.repeat(32)}/devicetoken\topenpgp:abc`, 'C1']);
  for (const token of ['', 'a b', 'a\tb', 'a\nC2']) {
    await t.rejects(restoreDeviceTokens([{ account: 'a@x.org', token }], path), /not a device token/);
  }
});
