/**
 * doveauth behind a real Dovecot 2.3 of our own, over the dict socket: accounts by logging in over IMAP and `doveadm auth
 * test`, wrong and blocked ones, delivery to known and unknown ones, listing, last logins, and what the logs say of all that.
 * Needs root.
 */

import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { hashPassword } from '../../packages/doveauth/src/sha512-crypt.ts';
import {
  checkAuthTest,
  checkConcurrency,
  checkDelivery,
  checkLogs,
  checkPasswords,
  checkRefusals,
  DOMAIN,
  PASSWORDS,
  startFront,
} from './account-front.ts';
import { run } from './dict-dovecot.ts';

t.setTimeout(120_000);
const KNOWN = `plain0000@${DOMAIN}`;
const front = await startFront();
t.teardown(() => front.end());
await front.startDoveauth();

t.test('passwords', async (t) => checkPasswords(t, front));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('refusals', async (t) => checkRefusals(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));
t.test('30 first logins at once', async (t) => checkConcurrency(t, front));

t.test('files belong to the mail user, and nobody else can read them', async (t) => {
  const { uid, gid } = statSync(front.mail);
  for (const name of ['', 'password', 'enforceE2EEincoming']) {
    const stat = statSync(join(front.mail, KNOWN, name));
    t.same([stat.uid, stat.gid, stat.mode & 0o777], [uid, gid, name === '' ? 0o700 : 0o600], name);
  }
});

t.test('doveadm user', async (t) => {
  const { stdout } = await front.doveadm('user', '*');
  const expected = [...PASSWORDS.map(([name]) => name), 'abc123xyz', 'together0', 'together1'];
  t.same(
    stdout.trim().split('\n').sort(),
    expected.map((name) => `${name}@${DOMAIN}`).sort(),
    'all but the blocked one',
  );
  const { uid, gid } = statSync(front.mail);
  const one = await front.doveadm('user', KNOWN);
  const fields = Object.fromEntries(
    one.stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')),
  );
  t.match(fields, { uid: String(uid), gid: String(gid), home: join(front.mail, KNOWN) });
});

t.test('a login is recorded, to the day', async (t) => {
  utimesSync(front.passwordFile(KNOWN), 86_400, 86_400);
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a OK/);
  const today = Math.floor(Date.now() / 86_400_000) * 86_400_000;
  for (let tries = 0; tries < 100 && statSync(front.passwordFile(KNOWN)).mtimeMs !== today; tries++) await sleep(20);
  t.equal(statSync(front.passwordFile(KNOWN)).mtimeMs, today);
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));

t.test('doveadm pw agrees with our hashes', async (t) => {
  for (const [, password, reason] of PASSWORDS) {
    if (password.length > 511 || Buffer.isBuffer(password)) continue;
    const hash = hashPassword(Buffer.from(password), 'abcdefgh');
    t.match((await run('doveadm', ['pw', '-t', hash, '-p', password])).stdout, /\(verified\)/, reason);
  }
});
