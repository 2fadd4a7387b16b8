/**
 * The operator's commands for accounts, on a whole relay: real Dovecot, doveauth and metadata-push, with clients that are logged
 * in while the operator acts. Needs root.
 */
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { lookUp } from '#dovecot-dict';
import { ImapClient, quoted } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { PACKAGE_ROOT } from '../../packages/chatmailctl/src/demo/daemons.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { StubGateway } from '../../packages/chatmailctl/src/demo/stub-gateway.ts';

t.setTimeout(300_000);
await ensureDependencies(() => {});
const gateway = await StubGateway.start();
t.teardown(() => gateway.stop());
const relay = await startRelay({ gatewayUrl: gateway.url });
t.teardown(() => relay.stop());
const { sockets, ports, directories } = relay.layout;
const mail = directories.mailboxes;
const NOBODY = ['unknown00@[127.0.0.1]', 'password000000'] as const;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const CONFIG = ['--config', relay.configPath];
const DOVEAUTH = ['--doveauth-socket', sockets.http];
const METADATA = ['--metadata-socket', sockets.metadata];
const DOVECOT = ['--dovecot-config', `${directories.dovecotConfig}/dovecot.conf`];

function chatmailctl(...words: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(`${PACKAGE_ROOT}/bin/chatmailctl`, words, { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

function succeed(...words: string[]): string {
  const { code, stdout, stderr } = chatmailctl(...words);
  if (code !== 0) throw new Error(`chatmailctl ${words.join(' ')}: ${code} ${stdout}${stderr}`);
  return stdout;
}

interface Login {
  readonly user: string;
  readonly password: string;
}

const utcDay = () => new Date().toISOString().slice(0, 10);

function make(): Login {
  const { address, password } = JSON.parse(succeed('new', '--json', ...CONFIG, ...DOVEAUTH));
  return { user: address, password };
}

async function canLogIn(login: Login): Promise<boolean> {
  const client = await ImapClient.connect(ports.imaps);
  try {
    return (await client.command(`LOGIN ${quoted(login.user)} ${quoted(login.password)}`)).status === 'OK';
  } finally {
    client.close();
  }
}

async function setRegistration(mode: string): Promise<void> {
  appendFileSync(relay.configPath, '');
  const text = readFileSync(relay.configPath, 'utf8').replace(/^registration = .*\n/m, '');
  writeFileSync(relay.configPath, `${text}registration = ${mode}\n`);
  const doveauth = relay.programs.find(({ name }) => name === 'doveauth')!;
  const reloaded = doveauth.waitForLine(/configuration reloaded/);
  process.kill(doveauth.child.pid!, 'SIGHUP');
  await reloaded;
}

/** A client that idles until the server ends the session. */
async function idle(login: Login): Promise<{ ended: Promise<void>; close(): void }> {
  const socket = connectTls({ port: ports.imaps, host: '127.0.0.1', rejectUnauthorized: false });
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  const says = async (what: RegExp) => {
    for (let i = 0; i < 3000 && !what.test(text); i++) await sleep(10);
    if (!what.test(text)) throw new Error(`the server said ${text}`);
  };
  socket.write(`1 LOGIN ${quoted(login.user)} ${quoted(login.password)}\r\n2 SELECT INBOX\r\n3 IDLE\r\n`);
  await says(/^\+ idling/m);
  const ended = new Promise<void>((resolve) => {
    socket.on('error', () => {});
    socket.once('close', () => resolve());
  });
  return { ended, close: () => void socket.destroy() };
}

async function endsSoon(session: { ended: Promise<void> }): Promise<boolean> {
  const timer = new AbortController();
  const late = sleep(15_000, false, { signal: timer.signal }).catch(() => false);
  const isEnded = await Promise.race([session.ended.then(() => true), late]);
  timer.abort();
  return isEnded;
}

t.test('new: whoever gets the credentials is in', async (t) => {
  const text = succeed('new', ...CONFIG, ...DOVEAUTH);
  const [, user = '', password = ''] = /^address:\s+(\S+)\npassword:\s+(\S+)\n/.exec(text) ?? [];
  t.match(user, /^[a-z0-9]{9}@\[127\.0\.0\.1\]$/);
  t.match(text, `\nlog in:    dclogin:${user}?p=${password}&v=1&ih=127.0.0.1&sh=127.0.0.1&ic=3\n`);
  t.match(text, /█/, 'a QR code');
  t.ok(await canLogIn({ user, password }));
  t.notOk(await canLogIn({ user, password: 'not-the-password' }));
  const { uid, gid } = statSync(mail);
  for (const [path, mode] of [
    [`${mail}/${user}`, 0o700],
    [`${mail}/${user}/password`, 0o600],
  ] as const) {
    const stats = statSync(path);
    t.same([stats.uid, stats.gid, stats.mode & 0o777], [uid, gid, mode], path);
  }
  t.notMatch(readdirSync(`${relay.directory}/state/invitations`), /json/, 'the token is gone');
});

t.test('new: also when nobody else may make an account', async (t) => {
  for (const mode of ['closed', 'token']) {
    await setRegistration(mode);
    t.notOk(await canLogIn({ user: NOBODY[0], password: NOBODY[1] }), mode);
    t.ok(await canLogIn(make()), mode);
  }
  await setRegistration('open');
});

t.test('new: what is in the way is said', async (t) => {
  const none = ['--doveauth-socket', `${relay.directory}/run/none.sock`];
  t.match(chatmailctl('new', ...CONFIG, ...none), {
    code: 75,
    stdout: '',
    stderr: /none\.sock \(ENOENT\); is it running/,
  });
  const text = readFileSync(relay.configPath, 'utf8');
  writeFileSync(relay.configPath, text.replace(/^min_free_disk_space = 0$/m, 'min_free_disk_space = 999999G'));
  await setRegistration('open');
  t.match(chatmailctl('new', ...CONFIG, ...DOVEAUTH), { code: 75, stdout: '', stderr: /makes no account: .*full/ });
  writeFileSync(relay.configPath, text);
  await setRegistration('open');
  t.ok(await canLogIn(make()));
});

t.test('account: list and show', async (t) => {
  const before = utcDay();
  const login = make();
  const imap = await ImapClient.open(ports.imaps, login);
  await imap.mustSucceed('APPEND INBOX', encryptedMessage({ from: login.user, to: login.user }));
  await imap.mustSucceed('SETMETADATA INBOX (/private/devicetoken "openpgp:list")');
  imap.close();
  const { accounts, sum } = JSON.parse(succeed('account', 'list', '--json', ...CONFIG));
  t.equal(sum.accounts, accounts.length);
  t.equal(sum.accounts, readdirSync(mail).filter((name) => name.includes('@')).length);
  const entry = accounts.find(({ address }: { address: string }) => address === login.user);
  // It may have become another day since.
  const today = entry.lastLogin;
  t.ok(today === before || today === utcDay());
  t.match(entry, { isBlocked: false, messages: 1, lastLogin: today });
  t.ok(entry.bytes > 100);
  t.match(
    succeed('account', 'list', ...CONFIG),
    new RegExp(`^${today}\\s+1\\s+\\S+\\s+0%\\s+active\\s+${login.user.replace(/[[\].]/g, '\\$&')}$`, 'm'),
  );
  const shown = JSON.parse(succeed('account', 'show', login.user, '--json', ...CONFIG, ...METADATA));
  t.match(shown, { address: login.user, devices: 1, refusesCleartext: true, messages: 1 });
  t.match(
    succeed('account', 'show', login.user.replace(/[[\]]/g, ''), ...CONFIG, ...METADATA),
    /devices: +1 with push/,
  );
  t.match(chatmailctl('account', 'show', NOBODY[0], ...CONFIG), { code: 1, stderr: /there is no account unknown00/ });
  t.match(chatmailctl('account', 'show', '../../etc@x', ...CONFIG), { code: 64, stderr: /no mail address/ });
});

t.test('account: block and unblock', async (t) => {
  const login = make();
  const password = `${mail}/${login.user}/password`;
  const hash = readFileSync(password, 'utf8');
  const [active, hibernated] = [await idle(login), await idle(login)];
  const bystander = await idle(make());
  // Both have gone to sleep by then: Dovecot hibernates a session that idles for a second.
  await sleep(2500);
  const then = new Date('2026-01-02T00:00:00Z');
  utimesSync(password, then, then);
  t.match(succeed('account', 'block', login.user, ...CONFIG, ...DOVECOT), /is blocked\n$/);
  t.ok(await endsSoon(active), 'who is logged in is logged out');
  t.ok(await endsSoon(hibernated), 'every session of them');
  t.notOk(await canLogIn(login));
  const known = () => spawnSync('doveadm', ['-c', DOVECOT[1]!, 'user', login.user]).status === 0;
  t.notOk(known(), 'nor is there anybody to deliver to');
  t.match(statSync(password), { size: 0, mtime: then });
  t.match(succeed('account', 'show', login.user, ...CONFIG, ...METADATA), /state: +blocked\nlast login: +2026-01-02\n/);
  t.match(succeed('account', 'block', login.user, ...CONFIG, ...DOVECOT), /blocked already/);
  t.notOk(await Promise.race([bystander.ended.then(() => true), sleep(300, false)]), 'others are left alone');
  bystander.close();

  succeed('account', 'unblock', login.user, ...CONFIG);
  t.equal(readFileSync(password, 'utf8'), hash);
  t.equal(statSync(password).uid, statSync(mail).uid);
  t.ok(
    Date.now() - statSync(password).mtimeMs < 2 * 86_400_000,
    'counts as used today, or it would be deleted tonight',
  );
  t.ok(known());
  t.ok(await canLogIn(login), 'with the password they had');
  t.match(succeed('account', 'unblock', login.user, ...CONFIG), /is not blocked/);

  writeFileSync(password, '');
  t.match(chatmailctl('account', 'unblock', login.user, ...CONFIG), { code: 1, stderr: /was not kept/ });
});

t.test('account: delete', async (t) => {
  await setRegistration('closed');
  const login = make();
  const imap = await ImapClient.open(ports.imaps, login);
  await imap.mustSucceed('SETMETADATA INBOX (/private/devicetoken "openpgp:delete")');
  await imap.mustSucceed('APPEND INBOX', encryptedMessage({ from: login.user, to: login.user }));
  imap.close();
  const session = await idle(login);
  t.match(chatmailctl('account', 'delete', login.user, ...CONFIG), { code: 64, stderr: /add --yes/ });
  t.ok(await canLogIn(login), 'nothing has happened');
  succeed('account', 'delete', login.user, '--yes', ...CONFIG, ...METADATA, ...DOVECOT);
  t.ok(await endsSoon(session));
  t.notOk(existsSync(`${mail}/${login.user}`));
  t.notOk(existsSync(`${mail}/.expired`), 'nothing is left');
  t.notOk(await canLogIn(login));
  const key = Buffer.from(`priv/${'1'.repeat(32)}/devicetoken`);
  const [tokens] = await lookUp(sockets.metadata, [{ key, user: Buffer.from(login.user) }], 5000);
  t.equal(tokens!.kind, 'notFound', 'its devices are forgotten');
  t.match(chatmailctl('account', 'delete', login.user, '--yes', ...CONFIG), { code: 1, stderr: /no account/ });

  const other = make();
  const wrong = ['--metadata-socket', `${relay.directory}/run/none.sock`];
  const late = chatmailctl('account', 'delete', other.user, '--yes', ...CONFIG, ...wrong, ...DOVECOT);
  t.match(late, { code: 75, stderr: /chatmail-expire removes/ });
  t.notOk(existsSync(`${mail}/${other.user}`));
  const [run = ''] = readdirSync(`${mail}/.expired`);
  t.same(readdirSync(`${mail}/.expired/${run}`), [other.user], 'a note for chatmail-expire');
  const expire = spawnSync(`${PACKAGE_ROOT}/bin/chatmail-expire`, [relay.configPath, '--remove', ...METADATA]);
  t.equal(expire.status, 0);
  t.notOk(existsSync(`${mail}/.expired`), 'who finishes it');
  await setRegistration('open');
});

t.test('token: an invitation, from the operator to the first login', async (t) => {
  await setRegistration('token');
  const { id, token, link } = JSON.parse(succeed('token', 'create', '--uses', '2', '--json', ...CONFIG));
  t.equal(link, `https://127.0.0.1/new?t=${token}`, 'clients cannot check our certificate, browsers can be told to');
  const ask = async (): Promise<{ status: number; answer: Record<string, string> }> => {
    const { request } = await import('node:http');
    return await new Promise((resolve, reject) => {
      const options = { socketPath: sockets.http, path: `/new?t=${token}`, method: 'POST' };
      request({ ...options, headers: { 'x-real-ip': '203.0.113.9' } }, async (response) => {
        let body = '';
        for await (const chunk of response) body += chunk;
        resolve({ status: response.statusCode!, answer: JSON.parse(body) });
      })
        .on('error', reject)
        .end();
    });
  };
  const first = await ask();
  t.equal(first.status, 200);
  t.ok(await canLogIn({ user: first.answer.email!, password: first.answer.password! }));
  t.match(succeed('token', 'list', ...CONFIG), new RegExp(`^${id}  1 of 2 +20\\S+Z  valid$`, 'm'));
  succeed('token', 'revoke', id, ...CONFIG);
  t.match(await ask(), { status: 403, answer: { reason: /not valid/ } });
  t.match(chatmailctl('token', 'revoke', id, ...CONFIG), { code: 1, stderr: /no invitation/ });
  t.match(chatmailctl('token', 'create', '--uses', '0', ...CONFIG), { code: 64, stderr: /--uses 0/ });
  await setRegistration('open');
});

t.test('push: test and stats', async (t) => {
  const login = make();
  const none = chatmailctl('push', 'test', login.user, ...CONFIG, ...METADATA);
  t.match(none, { code: 1, stdout: /^no device/ });
  const imap = await ImapClient.open(ports.imaps, login);
  await imap.mustSucceed('SETMETADATA INBOX (/private/devicetoken "openpgp:push")');
  imap.close();
  // Our stub stands for the gateway: it must be able to answer while the command waits.
  const { execFile } = await import('node:child_process');
  const output = await new Promise<string>((resolve) =>
    execFile(
      `${PACKAGE_ROOT}/bin/chatmailctl`,
      ['push', 'test', login.user, ...CONFIG, ...METADATA],
      (_error, stdout) => resolve(stdout),
    ),
  );
  t.match(output, /^device 1 \(openpgp\): delivered to the push service, \d+ ms\n$/);
  t.ok(gateway.posts.some(({ body }) => body.includes('openpgp:push')));
  t.match(JSON.parse(succeed('push', 'stats', '--json', ...CONFIG, ...METADATA)), { isSilent: false, queueDepth: 0 });
  t.match(succeed('push', 'stats', ...CONFIG, ...METADATA), /since the start: .*\n {2}\S+: .*1 delivered/);
});
