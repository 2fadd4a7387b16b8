import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseConfig, UsageError } from '#core';
import {
  blockAccount,
  listAccounts,
  readAccount,
  readAccountDetails,
  unblockAccount,
} from '../../src/accounts/account-files.ts';
import { deleteAccount, setAside } from '../../src/accounts/delete-account.ts';
import { formatAccount, formatBytes } from '../../src/accounts/format.ts';
import { relayAddress } from '../../src/accounts/relay-access.ts';

const root = mkdtempSync(join(tmpdir(), 'account-files-'));
t.teardown(() => rmSync(root, { recursive: true }));
let count = 0;
const HASH = '{SHA512-CRYPT}$6$salt$digest';
const DAY = new Date('2026-01-02T00:00:00Z');

function setUp(name = 'abcdefghi') {
  const mail = join(root, `mail${++count}`);
  const address = parseAddress(`${name}@x.org`)!;
  const mailbox = join(mail, address.text);
  mkdirSync(mailbox, { recursive: true });
  writeFileSync(join(mailbox, 'password'), HASH);
  utimesSync(join(mailbox, 'password'), DAY, DAY);
  return { mail, address, mailbox, password: join(mailbox, 'password') };
}

async function namesOf(mail: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { address } of listAccounts(mail, new AbortController().signal)) names.push(address);
  return names.sort();
}

t.test('what is an account, and what is not', async (t) => {
  const { mail, mailbox, address } = setUp();
  for (const name of ['.doveauth/x', '.expired/run-1/old@x.org', 'late@x.org', 'ABC@x.org', 'lost+found']) {
    mkdirSync(join(mail, name), { recursive: true });
  }
  writeFileSync(join(mail, 'ABC@x.org/password'), HASH);
  mkdirSync(join(mail, 'odd@x.org/password'), { recursive: true });
  writeFileSync(join(mail, 'file@x.org'), '');
  symlinkSync(mailbox, join(mail, 'linked@x.org'));
  mkdirSync(join(mail, 'blocked@x.org'));
  writeFileSync(join(mail, 'blocked@x.org/password'), '');
  t.same(await namesOf(mail), [address.text, 'blocked@x.org']);
  t.equal(readAccount(mail, parseAddress('late@x.org')!), undefined, 'Dovecot made a directory late');

  for (const folder of ['cur', 'new', 'tmp', '.DeltaChat/cur', 'not-a-folder/cur']) {
    mkdirSync(join(mailbox, folder), { recursive: true });
  }
  const sizes = ['cur/1.M1.h,S=1000,W=1010:2,S', 'new/2.M1.h,S=24', '.DeltaChat/cur/3.h,S=1:2,', 'cur/4.h:2,'];
  for (const name of [...sizes, 'tmp/5.h,S=999', 'new/..wake', 'not-a-folder/cur/6.h,S=9']) {
    writeFileSync(join(mailbox, name), 'gzip!');
  }
  t.same(readAccount(mail, address), {
    address: address.text,
    isBlocked: false,
    lastLogin: '2026-01-02',
    messages: 4,
    bytes: 1000 + 24 + 1 + 5,
  });
});

t.test('blocked and unblocked, interrupted and repeated', async (t) => {
  const { mail, address, mailbox, password } = setUp();
  t.equal(await blockAccount(mail, address), true);
  t.match(statSync(password), { size: 0, mtime: DAY });
  t.equal(statSync(password).mode & 0o777, 0o600);
  t.equal(readFileSync(join(mailbox, 'password.blocked'), 'utf8'), HASH);
  t.match(readAccountDetails(mail, address), { isBlocked: true, hasPassword: true });
  t.equal(await blockAccount(mail, address), false, 'a second time changes nothing');
  t.equal(readFileSync(join(mailbox, 'password.blocked'), 'utf8'), HASH);
  const today = Math.floor(Date.now() / 86_400_000) * 86_400_000;
  await unblockAccount(mail, address);
  t.ok(statSync(password).mtimeMs >= today, 'not unused for long, or it would be deleted tonight');
  t.equal(statSync(password).mtimeMs % 86_400_000, 0, 'and only to the day');
  t.same(readdirSync(mailbox), ['password'], 'nothing is left over');

  writeFileSync(join(mailbox, 'password.blocked'), 'an older hash');
  writeFileSync(join(mailbox, '.password.block'), '');
  t.match(
    readAccountDetails(mail, address),
    { isBlocked: false, hasPassword: true },
    'a block that was cut short is none',
  );
  await blockAccount(mail, address);
  await unblockAccount(mail, address);
  t.equal(readFileSync(password, 'utf8'), HASH, 'and does not bring an old password back');
  const later = new Date(today + 2 * 86_400_000);
  utimesSync(password, later, later);
  await blockAccount(mail, address);
  await unblockAccount(mail, address);
  t.match(statSync(password), { mtime: later }, 'a newer date stays');

  writeFileSync(password, '');
  t.match(readAccountDetails(mail, address), { isBlocked: true, hasPassword: false }, 'blocked by hand');
});

t.test('deleted', async (t) => {
  const { mail, address } = setUp();
  const state = join(root, `state${count}`);
  const config = parseConfig(`[params]\nmail_domain = x.org\nmailboxes_dir = ${mail}\nstate_dir = ${state}\n`);
  const metadataSocket = join(root, 'none.sock');
  const relay = { config, configPath: '', doveauthSocket: '', metadataSocket, dovecotConfig: undefined };
  const outside = join(root, 'outside');
  mkdirSync(outside, { recursive: true });
  writeFileSync(join(outside, 'password'), HASH);
  symlinkSync(outside, join(mail, address.text, 'link'));
  symlinkSync(outside, join(mail, 'linked000@x.org'));
  t.equal(await deleteAccount(relay, address), 'deleted', 'where no metadata-push ever was');
  t.same(readdirSync(mail), ['linked000@x.org'], 'with all that was set aside');
  t.ok(existsSync(join(outside, 'password')), 'what a link leads to stays');
  t.equal(await deleteAccount(relay, address), 'missing');
  t.equal(await deleteAccount(relay, parseAddress('linked000@x.org')!), 'missing', 'a link is no mailbox');

  mkdirSync(join(mail, address.text, 'cur'), { recursive: true });
  mkdirSync(state);
  t.equal(await deleteAccount(relay, address), 'forget-later');
  const [run = ''] = readdirSync(join(mail, '.expired'));
  t.same(readdirSync(join(mail, '.expired', run)), [address.text]);
  t.same(readdirSync(join(mail, '.expired', run, address.text)), [], 'its mail is gone in any case');
});

t.test('deleted while chatmail-expire clears up', async (t) => {
  const { mail, address } = setUp();
  const expired = join(mail, '.expired');
  let tries = 0;
  const aside = await setAside(mail, address, (from, to) => {
    if (++tries === 1) rmSync(expired, { recursive: true });
    renameSync(from, to);
  });
  t.equal(tries, 2);
  t.same(readdirSync(aside!.mailbox), ['password']);
  t.equal(await setAside(mail, address), undefined, 'there is no second');

  mkdirSync(join(mail, address.text, 'cur'), { recursive: true });
  const state = mkdtempSync(join(root, 'state-'));
  const metadataSocket = join(state, 'metadata.sock');
  const server = createServer((socket) => {
    rmSync(expired, { recursive: true });
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(metadataSocket, resolve));
  t.teardown(() => server.close());
  const config = parseConfig(`[params]\nmail_domain = x.org\nmailboxes_dir = ${mail}\nstate_dir = ${state}\n`);
  const relay = { config, configPath: '', doveauthSocket: '', metadataSocket, dovecotConfig: undefined };
  t.equal(await deleteAccount(relay, address), 'forget-later', 'all of it removed by the other');
});

t.test('addresses as operators type them', async (t) => {
  const ip = parseConfig('[params]\nmail_domain = 203.0.113.7\n');
  const named = parseConfig('[params]\nmail_domain = x.org\n');
  t.equal(relayAddress(ip, 'a@203.0.113.7').text, 'a@[203.0.113.7]');
  t.equal(relayAddress(ip, 'A@[203.0.113.7]').text, 'a@[203.0.113.7]');
  t.equal(relayAddress(named, 'a@X.org').text, 'a@x.org');
  for (const word of ['a', '../a@x.org', 'a/b@x.org', 'a@y.org', 'a@x.org/..', '']) {
    t.throws(() => relayAddress(named, word), UsageError, word);
  }
});

t.test('lines', async (t) => {
  for (const [bytes, text] of [
    [0, '0B'],
    [1023, '1023B'],
    [1024, '1.0K'],
    [1_258_291, '1.2M'],
    [524_288_000, '500M'],
  ] as const) {
    t.equal(formatBytes(bytes), text);
  }
  const account = { address: 'a@x.org', isBlocked: true, lastLogin: '2026-01-02', messages: 3, bytes: 250 };
  t.equal(formatAccount(account, 1000), '2026-01-02       3    250B   25%  blocked  a@x.org');
});
