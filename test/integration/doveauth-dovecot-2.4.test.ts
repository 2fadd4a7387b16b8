/**
 * doveauth behind a real Dovecot 2.4 in a Debian 13, over the Lua script we ship: logins, delivery, Postfix's SASL, listing,
 * last logins, and what goes on while doveauth is down. The first run fetches that Debian. Needs root.
 */

import { statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
  AccountFront,
  checkAuthTest,
  checkConcurrency,
  checkDamagedHash,
  checkDelivery,
  checkLogs,
  checkPasswords,
  checkRefusals,
  DOMAIN,
  PASSWORDS,
} from './account-front.ts';
import { startDovecot24 } from './dovecot-2.4.ts';
import { saslLogin, startSubmission } from './submission.ts';

t.setTimeout(300_000);
const front = new AccountFront();
t.teardown(() => front.end());
const dovecot = await startDovecot24(front.directory, front.sockets);
front.dovecot = dovecot;
front.configure();
await front.startDoveauth();
const KNOWN = `plain0000@${DOMAIN}`;

t.test('passwords', async (t) => checkPasswords(t, front));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('refusals', async (t) => checkRefusals(t, front));
t.test('damaged hashes', async (t) => checkDamagedHash(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));
t.test('30 first logins at once', async (t) => checkConcurrency(t, front));

t.test('a login is recorded, to the day', async (t) => {
  utimesSync(front.passwordFile(KNOWN), 86_400, 86_400);
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a OK/);
  const today = Math.floor(Date.now() / 86_400_000) * 86_400_000;
  for (let tries = 0; tries < 100 && statSync(front.passwordFile(KNOWN)).mtimeMs !== today; tries++) await sleep(20);
  t.equal(statSync(front.passwordFile(KNOWN)).mtimeMs, today);
});

t.test('SASL through Postfix', async (t) => {
  const submission = await startSubmission(front.directory, dovecot.saslSocket);
  t.teardown(() => submission.stop());
  const newcomer = `submit000@${DOMAIN}`;
  t.match(await saslLogin(submission.port, newcomer, 'password1'), /^235 /, 'creates');
  t.match(await saslLogin(submission.port, newcomer, 'password1'), /^235 /, 'finds');
  t.match(await saslLogin(submission.port, newcomer, 'password2'), /^535 /, 'refuses');
});

t.test('doveadm user', async (t) => {
  const one = await front.doveadm('user', KNOWN);
  t.match(one.stdout, `home\t${join(front.mail, KNOWN)}`);
  const { stdout } = await front.doveadm('user', '*');
  const expected = [...PASSWORDS.map(([name]) => name), 'abc123xyz', 'together0', 'together1', 'submit000'];
  t.same(
    stdout.trim().split('\n').sort(),
    expected.map((name) => `${name}@${DOMAIN}`).sort(),
    'all but the blocked one',
  );
});

t.test('while doveauth is down, who exists is served, and nobody is called unknown', async (t) => {
  await front.stopDoveauth();
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a OK/, 'logs in');
  t.match(await front.imapLogin(KNOWN, 'password2'), /^a NO \[AUTHENTICATIONFAILED\]/, 'a wrong password is wrong');
  t.match(await front.lmtp(KNOWN, 'Subject: x\r\n\r\nbody'), /^250 /, 'gets mail');
  t.match(await front.imapLogin(`newcomer1@${DOMAIN}`, 'password1'), /^a NO \[UNAVAILABLE\]/, 'a newcomer waits');
  t.match(await front.lmtp(`nobody000@${DOMAIN}`), /^451 /, 'mail to a stranger waits');
  t.equal((await front.doveadm('user', '*')).code, 75);
  await front.startDoveauth();
  t.match(await front.imapLogin(`newcomer1@${DOMAIN}`, 'password1'), /^a OK/, 'and is served then');
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));
