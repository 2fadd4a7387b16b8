import { generateKeyPairSync } from 'node:crypto';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createInvitation, ExitError, invitationUsesPath, listInvitations, parseConfig } from '#core';
import { ArchiveWriter } from '../../src/backup/archive.ts';
import { backUp } from '../../src/backup/back-up.ts';
import { type RestoreOptions, restore } from '../../src/backup/restore.ts';
import { run } from '../../src/run.ts';

const root = mkdtempSync(join(tmpdir(), 'backup-'));
t.teardown(() => rmSync(root, { recursive: true }));
const DKIM_KEY = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
}) as string;
const HASH = '{SHA512-CRYPT}$6$salt$digest';
const notes: string[] = [];
const note = (line: string) => void notes.push(line);
const signal = new AbortController().signal;
let count = 0;

/** A machine in a directory, with a relay of no mail yet. */
function machine(ini = 'mail_domain = 203.0.113.7\n') {
  const directory = join(root, `machine${++count}`);
  const at = (path: string) => join(directory, path);
  const config = { mail: at('home/vmail/mail/[203.0.113.7]'), state: at('state'), path: at('chatmail.ini') };
  const text = `[params]\n${ini}mailboxes_dir = ${config.mail}\nstate_dir = ${config.state}\ndkim_key = ${at('dkim/key')}\n`;
  mkdirSync(config.mail, { recursive: true });
  mkdirSync(config.state);
  mkdirSync(at('dkim'));
  return { ...config, text, at, relay: () => ({ config: parseConfig(text), configPath: config.path, ...sockets(at) }) };
}

const sockets = (at: (path: string) => string) => ({
  doveauthSocket: at('none'),
  metadataSocket: at('none'),
  dovecotConfig: undefined,
});

type Machine = ReturnType<typeof machine>;

function account(at: Machine, name: string, day: number, files: Record<string, string> = {}): string {
  const mailbox = join(at.mail, `${name}@[203.0.113.7]`);
  for (const folder of ['cur', 'new', 'tmp']) mkdirSync(join(mailbox, folder), { recursive: true });
  writeFileSync(join(mailbox, 'password'), HASH);
  utimesSync(join(mailbox, 'password'), day * 86_400, day * 86_400);
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(join(mailbox, file, '..'), { recursive: true });
    writeFileSync(join(mailbox, file), text);
    utimesSync(join(mailbox, file), 1_700_000_000, 1_700_000_000);
  }
  return mailbox;
}

/** Where the configuration of a backup says, which is what the machine had. */
const restoreOptions = (configPath: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  host: { root: '', portOwners: async () => [], pause: async () => {}, run: (program, words) => run(program, words) },
  configPath,
  metadataSocket: '/nowhere',
  isForced: false,
  signal,
  note,
  ...more,
});

/** All files below a directory with contents and times. */
function contentsOf(directory: string): Record<string, [text: string, mtime: number, mode: number]> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => {
        const { mtimeMs, mode } = statSync(path);
        return [path, [readFileSync(path, 'latin1'), mtimeMs, mode & 0o777]];
      }),
  );
}

const backUpTo = (at: Machine, file: string, withMail = true) =>
  backUp(at.relay(), file, { withMail, withDeviceTokens: true, signal, note });

t.test('everything comes back as it was', async (t) => {
  const at = machine();
  writeFileSync(at.path, at.text);
  const mailbox = account(at, 'alice0000', 20_000, {
    enforceE2EEincoming: '',
    'cur/1700000000.M1P1.h,S=4,W=5:2,S': 'mail',
    'new/1700000001.M1P1.h,S=4,W=5': 'more',
    '.DeltaChat/cur/1700000002.M1P1.h,S=4,W=5:2,': 'there',
    'dovecot-uidlist': '3 V1 N2\n1 :1700000000.M1P1.h,S=4,W=5\n',
    subscriptions: 'V\t2\n',
  });
  const blocked = account(at, 'blocked00', 20_001);
  linkSync(join(blocked, 'password'), join(blocked, 'password.blocked'));
  writeFileSync(join(at.mail, 'not-an-account'), '');
  mkdirSync(join(at.mail, 'late00000@[203.0.113.7]/new'), { recursive: true });
  await createInvitation(at.state, { uses: 3, created: 1, expires: 4_000_000_000 });
  const [invitation] = await listInvitations(at.state);
  writeFileSync(invitationUsesPath(at.state, invitation!.id), '.', { mode: 0o600 });
  const before = contentsOf(at.mail);
  symlinkSync('/etc', join(mailbox, '.evil'));
  symlinkSync('/etc/passwd', join(mailbox, 'cur/evil'));
  const left = { 'dovecot.index.log': 'x', maildirsize: 'x', 'tmp/half': 'x', 'metadata.json': 'x' };
  for (const [name, text] of Object.entries(left)) writeFileSync(join(mailbox, name), text);

  const file = join(root, 'whole.tar');
  const manifest = await backUpTo(at, file);
  t.match(manifest, { format: 1, accounts: 2, mailFiles: 5, invitations: 1, deviceTokens: 0, withMail: true });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notOk(readFileSync(file, 'latin1').includes('root:'), 'no link was followed');
  await t.rejects(backUpTo(at, file), { exitCode: 64, message: /exists already/ });

  rmSync(at.at(''), { recursive: true });
  mkdirSync(at.mail, { recursive: true });
  mkdirSync(at.state);
  const summary = await restore(file, restoreOptions(at.path));
  t.match(summary, { accounts: 2, kept: [], invitations: 1 });
  const expected = Object.fromEntries(
    Object.entries(before)
      .filter(([path]) => !/not-an-account/.test(path))
      .map(([path, [text, mtime]]) => [path, [text, mtime, 0o600]]),
  );
  t.same(contentsOf(at.mail), expected);
  t.equal(readFileSync(at.path, 'utf8'), at.text);
  t.ok(existsSync(join(mailbox, 'tmp')), 'a complete maildir');
  t.same(await listInvitations(at.state), [{ ...invitation, used: 1 }]);
  t.same(readdirSync(at.mail).sort(), ['alice0000@[203.0.113.7]', 'blocked00@[203.0.113.7]'], 'nothing else is left');
});

t.test('without --mail there is none of it', async (t) => {
  const at = machine();
  writeFileSync(at.path, at.text);
  account(at, 'alice0000', 1, { 'cur/1:2,': 'mail', enforceE2EEincoming: '' });
  const file = join(root, 'small.tar');
  t.match(await backUpTo(at, file, false), { accounts: 1, mailFiles: 0, withMail: false });
  rmSync(join(at.mail, 'alice0000@[203.0.113.7]'), { recursive: true });
  await restore(file, restoreOptions(at.path));
  t.same(readdirSync(join(at.mail, 'alice0000@[203.0.113.7]')).sort(), ['enforceE2EEincoming', 'password']);
});

t.test('a relay that is not empty', async (t) => {
  const at = machine();
  writeFileSync(at.path, at.text);
  account(at, 'alice0000', 1);
  account(at, 'bob000000', 1);
  const file = join(root, 'force.tar');
  await backUpTo(at, file);
  rmSync(join(at.mail, 'bob000000@[203.0.113.7]'), { recursive: true });
  writeFileSync(join(at.mail, 'alice0000@[203.0.113.7]/password'), 'new');
  writeFileSync(at.path, `${at.text}# changed\n`);
  const before = contentsOf(at.at(''));
  const message = /not empty: .*chatmail\.ini is another one, .* has accounts; --force/;
  await t.rejects(restore(file, restoreOptions(at.path)), { exitCode: 1, message });
  t.same(contentsOf(at.at('')), before, 'nothing has happened');

  const { accounts, kept } = await restore(file, restoreOptions(at.path, { isForced: true }));
  t.same([accounts, kept], [1, ['alice0000@[203.0.113.7]']]);
  t.equal(readFileSync(join(at.mail, 'alice0000@[203.0.113.7]/password'), 'utf8'), 'new', 'what exists stays');
  t.equal(readFileSync(at.path, 'utf8'), at.text);
  t.equal(readFileSync(`${at.path}.before-restore`, 'utf8'), `${at.text}# changed\n`);

  writeFileSync(at.path, '[params]\nmail_domain = 203.0.113.8\n');
  await t.rejects(restore(file, restoreOptions(at.path, { isForced: true })), {
    exitCode: 78,
    message: /of 203\.0\.113\.8/,
  });
});

t.test('interrupted, and begun anew', async (t) => {
  const at = machine();
  writeFileSync(at.path, at.text);
  for (let index = 0; index < 300; index++) account(at, `u${String(index).padStart(8, '0')}`, index);
  const ended = AbortSignal.abort();
  const file = join(root, 'interrupted.tar');
  const options = { withMail: true, withDeviceTokens: true, note };
  await t.rejects(backUp(at.relay(), file, { ...options, signal: ended }), {
    exitCode: 75,
    message: /no file was kept/,
  });
  t.same(
    readdirSync(root).filter((name) => name.startsWith('interrupted')),
    [],
    'no half of a file',
  );
  await backUpTo(at, file);

  rmSync(at.mail, { recursive: true });
  mkdirSync(at.mail);
  await t.rejects(restore(file, restoreOptions(at.path, { signal: ended })), {
    exitCode: 75,
    message: /no account was/,
  });
  t.same(readdirSync(at.mail), [], 'no half of an account');
  // What a killed run leaves: some accounts, and some that are not yet in place.
  mkdirSync(join(at.mail, '.restore-abc/u00000001@[203.0.113.7]'), { recursive: true });
  account(at, 'u00000000', 7);
  const { accounts, kept } = await restore(file, restoreOptions(at.path, { isForced: true }));
  t.same([accounts, kept.length, readdirSync(at.mail).length], [299, 1, 300]);
});

t.test('the DKIM key of a relay with a name', async (t) => {
  const at = machine('mail_domain = x.org\n');
  writeFileSync(at.path, at.text);
  writeFileSync(at.at('dkim/key'), DKIM_KEY, { mode: 0o600 });
  const file = join(root, 'dkim.tar');
  await backUpTo(at, file);
  rmSync(at.at('dkim'), { recursive: true });
  await restore(file, restoreOptions(at.path));
  t.equal(readFileSync(at.at('dkim/key'), 'utf8'), DKIM_KEY);
  t.equal(statSync(at.at('dkim/key')).mode & 0o777, 0o600);
  writeFileSync(at.at('dkim/key'), 'another');
  await t.rejects(restore(file, restoreOptions(at.path)), { message: /dkim\/key is another one/ });
  const message = /dkim\/key: the DKIM key is not just PEM/;
  await t.rejects(backUpTo(at, join(root, 'never.tar')), { exitCode: 75, message }, 'it could not be restored');
});

type Entry = [path: string, type: 'file' | 'directory', text?: string];

/** An archive of whatever entries, with a manifest that fits them. */
function write(entries: Entry[], manifest: object = {}): string {
  const file = join(root, `made${++count}.tar`);
  const fd = openSync(file, 'w');
  const writer = new ArchiveWriter(fd);
  for (const [path, type, text = ''] of entries) writer.add({ path, type, mode: 0o777, mtime: 0 }, Buffer.from(text));
  const accounts = new Set(entries.filter(([, type]) => type === 'directory').map(([path]) => path)).size;
  writer.finish(0, (sha256) =>
    JSON.stringify({ format: 1, mailDomain: '203.0.113.7', accounts, sha256, mailFiles: 0, ...manifest }),
  );
  closeSync(fd);
  return file;
}

t.test('more device tokens than a buffer holds', async (t) => {
  const at = machine();
  const entries: Entry[] = [['chatmail.ini', 'file', at.text]];
  const lines: string[] = [];
  for (let index = 0; index < 800; index++) {
    const account = `u${String(index).padStart(8, '0')}@[203.0.113.7]`;
    entries.push([`accounts/${account}`, 'directory'], [`accounts/${account}/password`, 'file', HASH]);
    const token = String(index).padStart(4, '0');
    lines.push(`${JSON.stringify({ account, tokens: [token.repeat(700)] })}\n`);
  }
  const tokens = lines.join('');
  t.ok(tokens.length > 2 ** 21);
  const summary = await restore(write([...entries, ['device-tokens.jsonl', 'file', tokens]]), restoreOptions(at.path));
  t.match(summary, { accounts: 800, deviceTokens: 800 });
});

t.test('hostile archives change nothing', async (t) => {
  const at = machine();
  const A = 'accounts/a00000000@[203.0.113.7]';
  const ini: Entry = ['chatmail.ini', 'file', at.text];
  const good: Entry[] = [ini, [A, 'directory'], [`${A}/password`, 'file', HASH]];
  const rows: [entries: Entry[], message: RegExp, reason: string, manifest?: object][] = [
    [[...good, ['../../evil', 'file']], /no part of a backup/, 'out of the tree'],
    [[...good, ['/etc/evil', 'file']], /no part of a backup/, 'an absolute path'],
    [[...good, [`${A}/../x`, 'file']], /no part of a backup/, 'up from an account'],
    [[...good, [`${A}/cur/1`, 'file']], /no directory/, 'a file in a directory that is not there'],
    [[ini, [`${A}/password`, 'file', HASH]], /outside of its account/, 'no account directory'],
    [[...good, [`${A}/password`, 'file', HASH]], /twice/, 'a file twice'],
    [[...good, [A, 'directory'], [`${A}/password`, 'file', HASH]], /twice/, 'an account twice', { accounts: 1 }],
    [[ini, [A, 'directory']], /no password/, 'an account without password'],
    [[ini, [A, 'directory'], [`${A}/password`, 'file', 'a\nb']], /damaged/, 'two lines for a password'],
    [
      [ini, ['accounts/a@evil.org', 'directory'], ['accounts/a@evil.org/password', 'file']],
      /two relays/,
      'a foreign account',
    ],
    [good, /fewer accounts/, 'another number', { accounts: 2 }],
    [good, /checksum/, 'another checksum', { sha256: '0'.repeat(64) }],
    [good, /format 2/, 'a newer format', { format: 2 }],
    [good.slice(1), /no chatmail\.ini/, 'no configuration'],
    [[['chatmail.ini', 'file', 'x'], ...good.slice(1)], /chatmail\.ini of the archive/, 'a configuration that is none'],
    [
      [...good, ['device-tokens.jsonl', 'file', '{"account":"b@x.org","tokens":["a"]}\n']],
      /does not have/,
      'tokens of a stranger',
    ],
    [[...good, ['dkim.private', 'file', '* * * * * root id\n']], /DKIM key is not just PEM/, 'no key'],
    [[...good, ['dkim.private', 'file', `* * * * * root id\n${DKIM_KEY}`]], /not just PEM/, 'a line before a key'],
    [[...good, ['dkim.private', 'file', `${DKIM_KEY}root::0:0`]], /not just PEM/, 'text behind a key'],
    [[...good, ['dkim.private', 'file', DKIM_KEY.replace(/\n.{9}/, '\n')]], /cannot be parsed/, 'half of a key'],
    [[...good, ['tls/self-signed.key', 'file', 'x']], /key of the certificate is not just/, 'no TLS key'],
    [[...good, ['tls/self-signed.pem', 'file', DKIM_KEY]], /the certificate is not just/, 'no certificate'],
  ];
  for (const [entries, message, reason, manifest] of rows) {
    const error = await restore(write(entries, manifest), restoreOptions(at.path)).catch((error) => error);
    t.match(error, { constructor: ExitError, exitCode: 64 }, reason);
    t.match(error.message, message, reason);
  }
  const file = write(good);
  const bytes = readFileSync(file);
  bytes[700] = bytes[700]! ^ 1;
  writeFileSync(file, bytes);
  await t.rejects(restore(file, restoreOptions(at.path)), { exitCode: 64, message: /checksum/ }, 'one bit');
  t.same([readdirSync(at.mail), readdirSync(at.state), existsSync(at.path)], [[], [], false], 'nothing was written');

  const { accounts } = await restore(write(good), restoreOptions(at.path));
  t.equal(accounts, 1);
  t.equal(statSync(join(at.mail, 'a00000000@[203.0.113.7]/password')).mode & 0o777, 0o600, 'modes are ours');
});

t.test('a hostile archive does not choose where root writes', async (t) => {
  const at = machine('mail_domain = x.org\n');
  const archive = (key: string) => {
    const ini = at.text.replace(/dkim_key = .*/, `dkim_key = ${key}`);
    return write(
      [
        ['chatmail.ini', 'file', ini],
        ['dkim.private', 'file', DKIM_KEY],
      ],
      { mailDomain: 'x.org' },
    );
  };
  const message = /outside of \/etc\/dkimkeys and \/etc\/chatmail; nothing was written/;
  for (const key of [at.at('cron.d/job'), `/etc/dkimkeys/../..${at.at('job')}`, `/etc/chatmail-x${at.at('job')}`]) {
    await t.rejects(restore(archive(key), restoreOptions(at.path)), { exitCode: 78, message }, key);
    writeFileSync(at.path, at.text);
    const forced = restoreOptions(at.path, { isForced: true });
    await t.rejects(restore(archive(key), forced), { exitCode: 78, message }, 'nor where the relay has it elsewhere');
    rmSync(at.path);
  }
  t.same(readdirSync(at.at('')).sort(), ['dkim', 'home', 'state'], 'nothing was written');
  writeFileSync(at.path, `${at.text}# mine\n`);
  await restore(archive(at.at('dkim/key')), restoreOptions(at.path, { isForced: true }));
  t.equal(readFileSync(at.at('dkim/key'), 'utf8'), DKIM_KEY, 'where the operator says so too');
});

t.test('500 accounts in seconds', { timeout: 180_000 }, async (t) => {
  const at = machine();
  writeFileSync(at.path, at.text);
  for (let index = 0; index < 500; index++) {
    const mailbox = join(at.mail, `u${String(index).padStart(8, '0')}@[203.0.113.7]`);
    mkdirSync(mailbox);
    writeFileSync(join(mailbox, 'password'), `${HASH}${index}`);
    utimesSync(join(mailbox, 'password'), index * 86_400, index * 86_400);
    writeFileSync(join(mailbox, 'enforceE2EEincoming'), '');
  }
  const file = join(root, 'many.tar');
  const begin = performance.now();
  t.match(await backUpTo(at, file), { accounts: 500 });
  const backedUp = performance.now();
  rmSync(at.mail, { recursive: true });
  mkdirSync(at.mail);
  const restoring = performance.now();
  t.match(await restore(file, restoreOptions(at.path)), { accounts: 500 });
  const end = performance.now();
  t.comment(`backup ${Math.round(backedUp - begin)} ms, restore ${Math.round(end - restoring)} ms`);
  t.ok(end - restoring < 60_000);
  for (const index of [0, 47, 499]) {
    const path = join(at.mail, `u${String(index).padStart(8, '0')}@[203.0.113.7]/password`);
    t.same([readFileSync(path, 'utf8'), statSync(path).mtimeMs], [`${HASH}${index}`, index * 86_400_000]);
  }
});
