/**
 * Backup and restore of a relay at work: the real Dovecot, doveauth and metadata-push say whether what came back is what was
 * there. Needs root.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { lookUp } from '#dovecot-dict';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { PACKAGE_ROOT, startDaemon } from '../../packages/chatmailctl/src/demo/daemons.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';

t.setTimeout(300_000);
await ensureDependencies(() => {});
const relay = await startRelay({ gatewayUrl: 'http://127.0.0.1:9/notify' });
t.teardown(() => relay.stop());
const { sockets, ports, directories } = relay.layout;
const mail = directories.mailboxes;
const state = `${relay.directory}/state`;
const directory = mkdtempSync(join(tmpdir(), 'chatmailctl-backup-'));
t.teardown(() => rmSync(directory, { recursive: true }));

const CONFIG = ['--config', relay.configPath];
const METADATA = ['--metadata-socket', sockets.metadata];
const DOVECOT = ['--dovecot-config', `${directories.dovecotConfig}/dovecot.conf`];

function chatmailctl(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(`${PACKAGE_ROOT}/bin/chatmailctl`, words, { encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

function succeed(...words: string[]): string {
  const { code, stdout, stderr } = chatmailctl(...words);
  if (code !== 0) throw new Error(`chatmailctl ${words.join(' ')}: ${code} ${stdout}${stderr}`);
  return stdout;
}

/** An account with a message that has been read and a device. */
async function inhabit(device: string) {
  const { address, password } = JSON.parse(succeed('new', '--json', ...CONFIG, '--doveauth-socket', sockets.http));
  const login = { user: address as string, password: password as string };
  const imap = await ImapClient.open(ports.imaps, login);
  await imap.mustSucceed('APPEND INBOX (\\Seen)', encryptedMessage({ from: login.user, to: login.user }));
  await imap.mustSucceed(`SETMETADATA INBOX (/private/devicetoken "openpgp:${device}")`);
  await imap.mustSucceed('CREATE DeltaChat');
  imap.close();
  return login;
}

interface Seen {
  readonly messages: readonly string[];
  readonly uidValidity: string | undefined;
  readonly folders: number;
}

/** What a client sees. */
async function look(login: { user: string; password: string }): Promise<Seen> {
  const imap = await ImapClient.open(ports.imaps, login);
  const { untagged } = await imap.mustSucceed('SELECT INBOX');
  const fetched = await imap.mustSucceed('FETCH 1:* (UID FLAGS INTERNALDATE)');
  const listed = await imap.mustSucceed('LIST "" "*"');
  imap.close();
  return {
    messages: fetched.untagged.filter((line) => line.includes('FETCH')).map((line) => line.replace(/ ?\\Recent ?/, '')),
    uidValidity: untagged.find((line) => line.includes('UIDVALIDITY')),
    folders: listed.untagged.filter((line) => line.startsWith('LIST')).length,
  };
}

async function devices(user: string): Promise<string> {
  const key = Buffer.from(`priv/${'1'.repeat(32)}/devicetoken`);
  const [reply] = await lookUp(sockets.metadata, [{ key, user: Buffer.from(user) }], 5000);
  return reply?.kind === 'found' ? String(reply.values[0]) : '';
}

const alice = await inhabit('alice');
const bob = await inhabit('bob');
const before = { alice: await look(alice), bob: await look(bob) };
const whole = join(directory, 'whole.tar');

t.test('backup', async (t) => {
  succeed('token', 'create', '--json', ...CONFIG);
  const text = succeed('backup', whole, '--mail', ...CONFIG, ...METADATA);
  t.match(text, /whole\.tar: 2 accounts, \d+ files of mail, 1 invitations, 2 device tokens\n$/);
  t.same([statSync(whole).mode & 0o777, statSync(whole).uid], [0o600, 0]);
  t.same(readdirSync(directory), ['whole.tar'], 'and nothing beside it');
  const wrong = ['--metadata-socket', join(directory, 'none.sock')];
  t.match(chatmailctl('backup', join(directory, 'b.tar'), ...CONFIG, ...wrong), {
    code: 75,
    stderr: /--no-device-tokens/,
  });
  t.match(
    JSON.parse(succeed('backup', join(directory, 'c.tar'), '--no-device-tokens', '--json', ...CONFIG, ...wrong)),
    {
      accounts: 2,
      deviceTokens: 0,
    },
  );
  t.same(readdirSync(directory).sort(), ['c.tar', 'whole.tar'], 'what failed leaves nothing');
});

t.test('a deleted account comes back into a relay at work', async (t) => {
  succeed('account', 'delete', alice.user, '--yes', ...CONFIG, ...METADATA, ...DOVECOT);
  t.equal(await devices(alice.user), '');
  t.match(chatmailctl('restore', whole, ...CONFIG, ...METADATA), { code: 1, stderr: /not empty/ });
  const { stdout, stderr } = chatmailctl('restore', whole, '--force', ...CONFIG, ...METADATA);
  t.match(stdout, /^restored 1 accounts, 0 invitations and 1 device tokens of 20/);
  t.match(stderr, `${bob.user} exists; it was left as it is`);
  t.same(await look(alice), before.alice, 'the old password, and every message under its old number');
  t.equal(await devices(alice.user), 'openpgp:alice');
  t.equal(await devices(bob.user), 'openpgp:bob');
});

t.test('a machine that has nothing yet', async (t) => {
  const running = relay.programs.find(({ name }) => name === 'metadata-push')!;
  await running.stop();
  for (const name of readdirSync(mail)) rmSync(join(mail, name), { recursive: true });
  for (const name of readdirSync(state)) rmSync(join(state, name), { recursive: true });
  t.match(succeed('restore', whole, ...CONFIG, ...METADATA), /^restored 2 accounts, 1 invitations and 2 device tokens/);
  const owner = statSync(mail);
  for (const { user } of [alice, bob]) {
    const { uid, gid, mode } = statSync(join(mail, user));
    t.same([uid, gid, mode & 0o777], [owner.uid, owner.gid, 0o700]);
    t.equal(statSync(join(mail, user, 'password')).uid, owner.uid);
  }
  t.same(await look(bob), before.bob, 'also while metadata-push is down');
  t.match(succeed('token', 'list', ...CONFIG), /0 of 1 +20\S+Z {2}valid/);

  const listen = { metadata: sockets.metadata };
  const account = { uid: relay.mailUser.uid, gid: relay.mailUser.gid };
  const spec = { name: 'metadata-push', sockets: listen, account } as const;
  const daemon = await startDaemon(spec, relay.configPath, `${relay.directory}/log/again.log`, relay.guard);
  try {
    t.equal(await devices(alice.user), 'openpgp:alice', 'its first start finds the devices');
    t.ok(existsSync(`${state}/push.mdb`));
  } finally {
    await daemon.stop();
  }
});
