import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createInvitation } from '#core';
import { DictClient } from '#dovecot-dict/testing';
import { verifyPassword } from '../src/sha512-crypt.ts';

const directory = mkdtempSync(join(tmpdir(), 'doveauth-main-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const ini = join(directory, 'chatmail.ini');
const mail = join(directory, 'mail');
const state = join(directory, 'state');
const auth = join(directory, 'auth.sock');
const lastlogin = join(directory, 'lastlogin.sock');
const http = join(directory, 'http.sock');
const forWebServer = join(directory, 'new.sock');
const writeIni = (lines: string) =>
  writeFileSync(
    ini,
    `[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${mail}\nstate_dir = ${state}\nmax_load_1m = 1000\nmin_available_memory = 0\nmin_free_disk_space = 1M\n${lines}`,
  );
writeIni('');
mkdirSync(join(mail, '.doveauth/0123456789abcdef'), { recursive: true });

const daemon = spawn(
  join(import.meta.dirname, '../../../bin/doveauth'),
  [
    ['--config', ini],
    ['--listen', `auth=unix:${auth}`],
    ['--listen', `lastlogin=unix:${lastlogin}`],
    ['--listen', `http=unix:${http}`],
    ['--listen', `new=unix:${forWebServer}`],
    ['--listen', 'metrics=inet:127.0.0.1:0'],
  ].flat(),
  { stdio: ['ignore', 'ignore', 'pipe'] },
);
t.teardown(() => daemon.kill('SIGKILL'));
const exit = once(daemon, 'close');
let log = '';
daemon.stderr.on('data', (chunk: Buffer) => {
  log += chunk;
});
async function logged(pattern: RegExp): Promise<void> {
  while (!pattern.test(log)) await new Promise((resolve) => setTimeout(resolve, 10));
}

const USER = 'abcdefghi@[127.0.0.1]';
const secret = (index: number) => Buffer.from(`pa ss"w\\or'd-\u20ac-${index}`);
const escaped = (bytes: Buffer) => bytes.toString('latin1').replace(/["'\\]/g, '\\$&');
const passdbKey = (password: Buffer, user = USER) =>
  Buffer.from(`shared/passdb/${escaped(password)}"${user}`, 'latin1');

async function hashOf(client: DictClient, key: Buffer): Promise<string | undefined> {
  const reply = await client.lookup(key, USER);
  return reply.kind === 'found' ? JSON.parse(String(reply.values[0])).password : undefined;
}

await logged(/ready auth=\S+ lastlogin=/);
const client = await DictClient.connect(auth);
t.teardown(() => client.close());

t.test('what a killed predecessor left is gone', async (t) => {
  t.same(readdirSync(join(mail, '.doveauth')), []);
});

t.test('200 first logins at once, over as many connections', async (t) => {
  const clients = await Promise.all(Array.from({ length: 200 }, () => DictClient.connect(auth)));
  const hashes = await Promise.all(clients.map((each, index) => hashOf(each, passdbKey(secret(index)))));
  await Promise.all(clients.map((each) => each.close()));
  t.equal(new Set(hashes).size, 1, 'all see one account');
  const winners = hashes.filter((hash, index) => verifyPassword(secret(index), hash!));
  t.equal(winners.length, 1, 'of one password');
  t.equal(readFileSync(join(mail, USER, 'password'), 'utf8'), hashes[0]);
});

t.test('userdb and iteration', async (t) => {
  const { uid, gid } = statSync(mail);
  const reply = await client.lookup(`shared/userdb/${USER}`, USER);
  t.same(reply.kind === 'found' && JSON.parse(String(reply.values[0])), {
    uid: String(uid),
    gid: String(gid),
    home: join(mail, USER),
  });
  t.equal((await client.lookup('shared/userdb/nobody000@[127.0.0.1]')).kind, 'notFound');
  const { rows } = await client.iterate('shared/userdb/', { flags: 0, user: '*' });
  t.same(
    rows.map(({ key, values }) => [String(key), String(values)]),
    [[`shared/userdb/${USER}`, '']],
  );
});

t.test('last login', async (t) => {
  const plugin = await DictClient.connect(lastlogin);
  t.teardown(() => plugin.close());
  const reply = await plugin
    .begin(USER)
    .set(`shared/last-login/${USER}`, String(Date.now() - 1000))
    .commit();
  t.equal(reply.kind, 'committed', 'milliseconds are ignored');
  t.equal((statSync(join(mail, USER, 'password')).mtimeMs / 1000) % 86_400, 0, 'a new account has the day only');
  t.equal((await plugin.lookup('shared/last-login/x')).kind, 'failed', 'there is nothing to look up');
});

t.test('a closed registration, by SIGHUP', async (t) => {
  writeIni('registration = closed\n');
  daemon.kill('SIGHUP');
  await logged(/configuration reloaded/);
  t.equal(await hashOf(client, passdbKey(secret(0), 'newcomer0@[127.0.0.1]')), undefined);
  t.type(await hashOf(client, passdbKey(secret(0))), 'string', 'who exists logs in');
});

async function post(
  path: string,
  { socketPath, client }: { socketPath: string; client: string } = { socketPath: http, client: '203.0.113.9' },
): Promise<{ status: number; answer: Record<string, string> }> {
  const outgoing = request({ socketPath, path, method: 'POST', headers: { 'x-forwarded-for': client } });
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, answer: JSON.parse(text || '{}') };
}

t.test('the operator makes an account while registration is closed', async (t) => {
  mkdirSync(state, { recursive: true });
  const created = Math.floor(Date.now() / 1000);
  const token = await createInvitation(state, { uses: 1, created, expires: created + 60, operator: true });
  const ask = async () => {
    const outgoing = request({ socketPath: http, path: `/account?t=${token}`, method: 'POST' });
    outgoing.end();
    const [response] = await once(outgoing, 'response');
    let text = '';
    for await (const chunk of response) text += chunk;
    return { status: response.statusCode, answer: JSON.parse(text) };
  };
  const { status, answer } = await ask();
  t.equal(status, 200);
  t.equal(answer.dclogin_url, `dclogin:${answer.email}?p=${answer.password}&v=1&ih=127.0.0.1&sh=127.0.0.1&ic=3`);
  const hash = readFileSync(join(mail, answer.email, 'password'), 'utf8');
  t.ok(verifyPassword(Buffer.from(answer.password), hash), 'it is on disk');
  t.equal(await hashOf(client, passdbKey(Buffer.from(answer.password), answer.email)), hash, 'and logs in');
  t.equal((await ask()).status, 403, 'a token is good for one account');
});

t.test('by invitation only', async (t) => {
  mkdirSync(state, { recursive: true });
  const created = Math.floor(Date.now() / 1000);
  const token = await createInvitation(state, { uses: 1, created, expires: created + 60 });
  writeIni('registration = token\n');
  daemon.kill('SIGHUP');
  await logged(/configuration reloaded[\s\S]*configuration reloaded/);
  t.equal(await hashOf(client, passdbKey(secret(0), 'newcomer0@[127.0.0.1]')), undefined, 'not by logging in');
  t.equal((await post('/new')).status, 403);
  t.equal((await post('/new?t=xxxxxxxxxxxxxxxxxxxxxx')).status, 403);
  const { status, answer } = await post(`/new?t=${token}`);
  t.equal(status, 200);
  const user = answer.email!;
  t.equal(await hashOf(client, passdbKey(secret(0), user)), undefined, 'not with another password');
  const hash = await hashOf(client, passdbKey(Buffer.from(answer.password!), user));
  t.ok(verifyPassword(Buffer.from(answer.password!), hash!));
  t.same(readdirSync(join(state, 'invitations/handed-out')), [], 'what was handed out is there now');
  t.match(await post(`/new?t=${token}`), { status: 403, answer: { reason: /used up/ } });
});

t.test('metrics', async (t) => {
  const port = /metrics=inet:127\.0\.0\.1:(\d+)/.exec(log)![1];
  const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  t.match(page, /^doveauth_accounts_created_total 3$/m, 'that of the operator too');
  t.match(page, /^doveauth_lookups_total\{database="passdb",outcome="found"\} 203$/m);
  t.match(page, /^doveauth_lookups_total\{database="userdb",outcome="unknown"\} 1$/m);
  t.match(page, /^doveauth_refusals_total\{reason="registration-closed"\} 1$/m);
  t.match(page, /^doveauth_refusals_total\{reason="not-invited"\} 2$/m);
  t.match(page, /^doveauth_refusals_total\{reason="not-the-operator"\} 1$/m);
  t.match(page, /^doveauth_new_total\{outcome="offered"\} 1$/m);
  t.match(page, /^doveauth_request_seconds_count\{request="userdb"\} 2$/m);
  t.match(page, /^doveauth_last_logins_total\{outcome="unchanged"\} 1$/m);
  t.match(page, /^doveauth_hash_queue_length 0$/m);
  t.notMatch(page, /@/);
});

t.test('the socket of the web server', async (t) => {
  const onNew = { socketPath: forWebServer, client: '203.0.113.10' };
  t.equal((await post('/users', onNew)).status, 404);
  writeIni('new_accounts_per_minute_per_client = 1\n');
  daemon.kill('SIGHUP');
  await logged(/(?:configuration reloaded[\s\S]*){3}/);
  t.match(await post('/new', onNew), { status: 200, answer: { password: /^.{9,}$/ } });
  t.equal((await post('/new', { ...onNew, socketPath: http })).status, 429, 'a client counts on both sockets together');
  t.equal((await post('/new', { socketPath: http, client: '203.0.113.11' })).status, 200, 'which both have /new');
});

t.test('SIGTERM ends it, and the log of all this names nobody', async (t) => {
  await client.close();
  daemon.kill('SIGTERM');
  t.same(await exit, [0, null]);
  t.match(log, /account created/);
  t.match(log, /registration-closed/);
  t.notMatch(log, /abcdefghi|newcomer|nobody|pa ss|203\.0|xxxxx/);
});
