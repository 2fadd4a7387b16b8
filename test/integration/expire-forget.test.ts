/**
 * Zero state: deleting an account with chatmail-expire takes its device tokens out of a running metadata-push, and those of
 * everybody else stay; while metadata-push is away, that is remembered and made up for.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { DictClient } from '#dovecot-dict/testing';

const BIN = join(import.meta.dirname, '../../bin');
const TOKEN_KEY = 'priv/0123456789abcdef0123456789abcdef/devicetoken';

const directory = mkdtempSync(join(tmpdir(), 'expire-forget-'));
const mailboxesDir = join(directory, 'mail');
const socket = join(directory, 'metadata.socket');
const ini = join(directory, 'chatmail.ini');
writeFileSync(
  ini,
  `[params]\nmail_domain = x.org\nmailboxes_dir = ${mailboxesDir}\nstate_dir = ${directory}/state\n` +
    'push_gateway_url = http://127.0.0.1:9/notify\n',
);
t.teardown(() => rmSync(directory, { recursive: true }));

async function startMetadataPush(): Promise<ChildProcess> {
  const daemon = spawn(join(BIN, 'metadata-push'), ['--config', ini, '--listen', `metadata=unix:${socket}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  for await (const chunk of daemon.stderr) if (/ready metadata=/.test(String(chunk))) break;
  return daemon;
}

async function stop(daemon: ChildProcess): Promise<void> {
  daemon.kill('SIGTERM');
  if (daemon.exitCode === null) await once(daemon, 'exit');
}

function makeAccount(name: string, loginAgeDays: number): void {
  mkdirSync(join(mailboxesDir, name, 'cur'), { recursive: true });
  const path = join(mailboxesDir, name, 'password');
  writeFileSync(path, 'x');
  const second = Date.now() / 1000 - loginAgeDays * 86_400;
  utimesSync(path, second, second);
}

async function withDict<T>(work: (client: DictClient) => Promise<T>): Promise<T> {
  const client = await DictClient.connect(socket);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function setToken(user: string): Promise<void> {
  await withDict((client) =>
    client
      .begin(user)
      .set(TOKEN_KEY, `fcm-chat.delta:${user.slice(0, -6)}`)
      .commit(),
  );
}

async function hasToken(user: string): Promise<boolean> {
  return (await withDict((client) => client.lookup(TOKEN_KEY, user))).kind === 'found';
}

async function expire(): Promise<number> {
  const program = spawn(join(BIN, 'chatmail-expire'), [ini, '--remove', '--metadata-socket', socket], {
    stdio: 'ignore',
  });
  const [code] = await once(program, 'exit');
  return code;
}

t.test('tokens go with the account', async (t) => {
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) makeAccount(`${name}@x.org`, 1);
  makeAccount('old@x.org', 100);
  let daemon = await startMetadataPush();
  for (const user of ['a@x.org', 'old@x.org']) await setToken(user);
  t.equal(await hasToken('old@x.org'), true);
  t.equal(await expire(), 0);
  t.equal(await hasToken('old@x.org'), false);
  t.equal(await hasToken('a@x.org'), true, 'those of others stay');
  t.notOk(existsSync(join(mailboxesDir, '.expired')));

  makeAccount('late@x.org', 100);
  await setToken('late@x.org');
  await stop(daemon);
  t.equal(await expire(), 75, 'nobody there to forget it');
  t.notOk(readdirSync(mailboxesDir).includes('late@x.org'), 'the account is gone all the same');
  daemon = await startMetadataPush();
  t.equal(await hasToken('late@x.org'), true);
  t.equal(await expire(), 0, 'the next run makes up for it');
  t.equal(await hasToken('late@x.org'), false);
  t.notOk(existsSync(join(mailboxesDir, '.expired')));
  await stop(daemon);
});
