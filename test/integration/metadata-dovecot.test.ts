/**
 * metadata-push behind a real Dovecot 2.3 of our own: METADATA over IMAP, the push hook at LMTP delivery, the push itself at a
 * gateway on loopback; what a crash, a stop and a reload of the daemon do; what the logs say. Needs root.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { committed, createDictServer, found } from '#dovecot-dict';
import { DictClient } from '#dovecot-dict/testing';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { startGatewayStub } from '../../packages/metadata-push/test/fixtures/gateway-stub.ts';
import { LineClient, startDovecot } from './dict-dovecot.ts';

// A daemon that hangs costs the time Dovecot gives a dict, longer than the runner gives a file.
t.setTimeout(120_000);

const ANNA = 'anna@[127.0.0.1]';
const directory = mkdtempSync(join(tmpdir(), 'metadata-dovecot-'));
// Also ends what a file leaves that is killed or runs out of time.
const guard = new Guard(directory);
const mail = join(directory, 'mail');
const ini = join(directory, 'chatmail.ini');
const sockets = {
  auth: join(directory, 'auth.sock'),
  lastLogin: join(directory, 'lastlogin.sock'),
  metadata: join(directory, 'metadata.sock'),
};
const dovecot = await startDovecot(directory, sockets);
const mailUid = statSync(mail).uid;
const gateway = await startGatewayStub(t);

/** Everybody may log in: accounts are doveauth's business. */
async function serveAccounts(path: string): Promise<Server> {
  const account = JSON.stringify({
    password: '{PLAIN}secret',
    home: `${mail}/%u`,
    uid: `${mailUid}`,
    gid: `${mailUid}`,
  });
  const { server } = createDictServer({ lookup: () => found(account), commit: () => committed });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  chownSync(path, mailUid, 0);
  return server;
}
const accountServers = [await serveAccounts(sockets.auth), await serveAccounts(sockets.lastLogin)];
const turnServer = createServer((socket) => void socket.end('1800500000:turn-password\n'));
await new Promise<void>((resolve) => turnServer.listen(join(directory, 'turn.sock'), resolve));

const writeIni = (irohRelay: string) =>
  writeFileSync(
    ini,
    `[params]\nmail_domain = 127.0.0.1\nstate_dir = ${directory}/state-dir\niroh_relay = ${irohRelay}\n` +
      `turn_socket_path = ${directory}/turn.sock\npush_gateway_url = ${gateway.url}\n`,
  );

let log = '';
let daemon: ChildProcess;
async function startDaemon(): Promise<void> {
  const program = join(import.meta.dirname, '../../bin/metadata-push');
  const before = log.length;
  daemon = spawn(program, ['--config', ini, '--listen', `metadata=unix:${sockets.metadata}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  guard.started(daemon.pid!);
  daemon.stderr!.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  while (!log.slice(before).includes('ready ')) await sleep(10);
  chownSync(sockets.metadata, mailUid, 0);
}
async function endDaemon(signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(daemon, 'close');
  daemon.kill(signal);
  const [code] = await exit;
  guard.ended(daemon.pid!);
  return code;
}

writeIni('https://iroh.example');
await startDaemon();
t.teardown(async () => {
  if (daemon.exitCode === null && daemon.signalCode === null) await endDaemon('SIGKILL');
  await dovecot.stop();
  for (const server of [...accountServers, turnServer]) server.close();
  await guard.finish();
});

const imap = new LineClient({ port: dovecot.imapPort });
t.teardown(() => imap.close());
await imap.say('', /^\* OK/);
await imap.say(`l LOGIN "${ANNA}" secret`, /^l OK/);
let commands = 0;
const say = (command: string) => imap.say(`c${++commands} ${command}`, new RegExp(`^c${commands} `));

/**
 * Says a command until Dovecot has a connection to the daemon again: a failed connect() is remembered for the rest of that
 * second, and commands within it are refused without another try.
 */
async function sayOnceBack(command: string): Promise<string> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const answer = await say(command);
    if (/^c\d+ OK/m.test(answer) || performance.now() > deadline) return answer;
    await sleep(100);
  }
}

/** Delivers a message as Postfix does and returns how long that took, ms. */
async function deliver(recipient = ANNA, timeoutMs?: number): Promise<number> {
  const lmtp = new LineClient({ path: dovecot.lmtpSocket });
  await lmtp.say('', /^220 /);
  await lmtp.say('LHLO test', /^250 /);
  await lmtp.say('MAIL FROM:<bob@example.org>', /^250 /);
  await lmtp.say(`RCPT TO:<${recipient}>`, /^250 /);
  await lmtp.say('DATA', /^354 /);
  const startedAt = performance.now();
  await lmtp.say('From: bob@example.org\r\nSubject: ...\r\n\r\nhello\r\n.', /^250 /, timeoutMs);
  const ms = performance.now() - startedAt;
  await lmtp.close();
  return ms;
}

t.test('METADATA over IMAP', async (t) => {
  t.match(await say('GETMETADATA INBOX (/private/devicetoken)'), /\/private\/devicetoken NIL[\s\S]*OK/, 'no token');
  t.match(await say('SETMETADATA INBOX (/private/devicetoken "openpgp:token-a=")'), /OK/);
  t.match(await say('SETMETADATA INBOX (/private/devicetoken "openpgp:token-b=")'), /OK/);
  const tokens = await say('GETMETADATA INBOX (/private/devicetoken)');
  t.match(tokens, /openpgp:token-a=/);
  t.match(tokens, /openpgp:token-b=/);
  const entries = ['irohrelay', 'turn', 'maxsmtprecipients', 'nonsense'].map(
    (name) => `/shared/vendor/deltachat/${name}`,
  );
  const answer = (await say(`GETMETADATA "" (${entries.join(' ')})`)).replace(/\{\d+\}\n?/g, '').replace(/"/g, '');
  t.match(answer, /irohrelay\s+https:\/\/iroh\.example/);
  t.match(answer, /turn\s+127\.0\.0\.1:3478:1800500000:turn-password/);
  t.match(answer, /maxsmtprecipients\s+1000/);
  t.match(answer, /nonsense NIL/);
  t.match(await say('SETMETADATA INBOX (/private/comment "x")'), / NO /, 'an entry we do not have');
  t.match(await say('SETMETADATA INBOX (/private/devicetoken "a b")'), / NO /, 'no token');
  t.match(await say('GETMETADATA (DEPTH infinity) INBOX (/private)'), /OK/, 'an iteration');
  t.match(await say('CREATE folder'), /OK/);
  t.match(await say('DELETE folder'), /OK/);
  t.match(await say('GETMETADATA INBOX (/private/devicetoken)'), /token-a/, 'a deleted folder takes no token along');
});

t.test('a delivered message is pushed to every token', async (t) => {
  gateway.posts.length = 0;
  await deliver();
  await gateway.received(2);
  t.same(gateway.posts.toSorted(), ['openpgp:token-a=', 'openpgp:token-b=']);
});

t.test('a gateway that hangs delays no delivery, and kill -9 loses no push', async (t) => {
  gateway.posts.length = 0;
  const answer = gateway.answer;
  gateway.answer = () => {};
  t.ok((await deliver()) < 10_000, 'delivered without waiting');
  await gateway.received(2);
  await endDaemon('SIGKILL');
  gateway.answer = answer;
  await startDaemon();
  await gateway.received(4);
  t.same(gateway.posts.slice(2).toSorted(), ['openpgp:token-a=', 'openpgp:token-b='], 'sent again by the next process');
});

t.test('mail is delivered while the daemon is stopped', async (t) => {
  t.equal(await endDaemon('SIGTERM'), 0);
  t.ok((await deliver()) < 10_000);
  t.match(await say('GETMETADATA INBOX (/private/devicetoken)'), / NO /);
  await startDaemon();
  t.match(await sayOnceBack('GETMETADATA INBOX (/private/devicetoken)'), /token-b/, 'and back it is');
});

t.test('a socket nobody serves yet, and a daemon that hangs', { timeout: 180_000 }, async (t) => {
  t.equal(await endDaemon('SIGTERM'), 0);
  // As under systemd between "somebody connects" and "the daemon is there": the kernel takes connections and keeps what is sent.
  const holder = createServer({ pauseOnConnect: true });
  rmSync(sockets.metadata, { force: true });
  await new Promise<void>((resolve) => holder.listen(sockets.metadata, resolve));
  chownSync(sockets.metadata, mailUid, 0);
  const held: Socket[] = [];
  holder.on('connection', (socket) => void held.push(socket));
  await sleep(1100);
  const queued = deliver();
  await sleep(1000);
  for (const socket of held) socket.destroy();
  await new Promise((resolve) => holder.close(resolve));
  const queuedMs = await queued;
  t.ok(queuedMs < 10_000, `delivered in ${queuedMs.toFixed(0)} ms: as soon as the connection is ended`);
  await startDaemon();
  t.match(await sayOnceBack('GETMETADATA INBOX (/private/devicetoken)'), /token-b/);

  daemon.kill('SIGSTOP');
  t.teardown(() => daemon.kill('SIGCONT'));
  const hungMs = await deliver(ANNA, 60_000);
  t.comment(`a delivery with a daemon that hangs: ${(hungMs / 1000).toFixed(1)} s`);
  t.ok(hungMs < 55_000, 'delivered all the same, after the time Dovecot gives a dict');
  daemon.kill('SIGCONT');
  t.match(await sayOnceBack('GETMETADATA INBOX (/private/devicetoken)'), /token-b/, 'and it is back');
});

t.test('what chatmailctl asks', async (t) => {
  const client = await DictClient.connect(sockets.metadata);
  const ask = async (key: string, user: string) => {
    const reply = await client.lookup(key, user);
    return reply.kind === 'found' ? JSON.parse(reply.values[0]!.toString()) : reply;
  };
  const report = await ask('priv/account/push/test', ANNA);
  t.match(report, [
    { kind: 'openpgp', outcome: 'delivered' },
    { kind: 'openpgp', outcome: 'delivered' },
  ]);
  t.notMatch(JSON.stringify(report), /token-/);
  const stats = await ask('shared/push/stats', '');
  t.match(stats, { tokens: 2, isSilent: false, openCircuits: [] });
  t.ok(stats.pushes.gateway.delivered >= 2);
  await client.close();
});

t.test('SIGHUP reads the configuration again', async (t) => {
  writeIni('https://other.example');
  const before = log.length;
  daemon.kill('SIGHUP');
  while (!log.slice(before).includes('reloaded')) await sleep(10);
  t.match(await say('GETMETADATA "" (/shared/vendor/deltachat/irohrelay)'), /https:\/\/other\.example/);
});

t.test('a deleted account leaves nothing', async (t) => {
  const client = await DictClient.connect(sockets.metadata);
  t.match(await client.begin(ANNA).unset('priv/account').commit(), { kind: 'committed' });
  await client.close();
  t.match(await say('GETMETADATA INBOX (/private/devicetoken)'), /NIL/);
  t.equal(await endDaemon('SIGTERM'), 0);
  await startDaemon();
  t.match(await sayOnceBack('GETMETADATA INBOX (/private/devicetoken)'), /NIL/, 'for good');
});

t.test('unset over IMAP', async (t) => {
  await say('SETMETADATA INBOX (/private/devicetoken "token-c")');
  t.match(await say('SETMETADATA INBOX (/private/devicetoken NIL)'), /OK/);
  t.match(await say('GETMETADATA INBOX (/private/devicetoken)'), /NIL/);
});

t.test('the log names nobody', async (t) => {
  t.match(log, /ready metadata=unix:/);
  t.notMatch(log, /anna|token-|openpgp|"level":[56]0/);
  t.notMatch(readFileSync(join(directory, 'dovecot.log'), 'utf8'), /signal 11|Panic/, 'Dovecot liked every answer');
});
