/**
 * doveauth behind a real Dovecot 2.4 in a Debian 13, over PAM: pam_exec runs doveauth-checkpassword for every login. The first
 * run fetches that Debian. Needs root.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { canReadCheckout } from '../support/readable.ts';
import { AccountFront, checkAuthTest, checkDelivery, checkLogs, checkPasswords, DOMAIN } from './account-front.ts';
import { MAIL_ID } from './dict-dovecot.ts';
import { startDovecot24 } from './dovecot-2.4.ts';

t.setTimeout(300_000);
const PROGRAM = join(import.meta.dirname, '../../bin/doveauth-checkpassword');
/** pam_exec passes on 511 bytes of a longer one, so one of 511 may have been longer. */
const MAX_PASSWORD_BYTES = 510;
/** Whom Dovecot's worker, and with it our program, runs as: as on a relay, unless that cannot read this checkout. */
const user = (await canReadCheckout({ uid: MAIL_ID, gid: MAIL_ID })) ? 'mail' : 'root';
const KNOWN = `plain0000@${DOMAIN}`;

const front = new AccountFront();
t.teardown(() => front.end());
const service =
  `auth required pam_exec.so expose_authtok quiet ${PROGRAM} --socket ${front.sockets.auth} --pam\n` +
  'account required pam_permit.so\n';
front.dovecot = await startDovecot24(front.directory, front.sockets, { service, user });
front.configure();
await front.startDoveauth();

t.test('passwords', async (t) => checkPasswords(t, front, MAX_PASSWORD_BYTES));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));

t.test('a password that would be cut off creates nobody', async (t) => {
  const stranger = `toolong00@${DOMAIN}`;
  for (const length of [511, 512, 513, 600, 1024]) {
    t.match(await front.imapLogin(stranger, 'x'.repeat(length)), /^a NO /, `${length} bytes`);
    t.notOk(existsSync(front.passwordFile(stranger)));
  }
  t.match(await front.imapLogin(stranger, 'x'.repeat(MAX_PASSWORD_BYTES)), /^a OK/, 'the longest that is whole');
  t.match(await front.imapLogin(stranger, 'x'.repeat(600)), /^a NO /, 'and none that begins with it');
});

t.test('while doveauth is down nobody gets in', async (t) => {
  await front.stopDoveauth();
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a NO \[AUTHENTICATIONFAILED\]/, 'PAM knows no other refusal');
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));
