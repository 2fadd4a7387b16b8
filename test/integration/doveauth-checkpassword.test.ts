/**
 * doveauth behind a real Dovecot 2.3 of our own, over checkpassword: a process for every login. Needs root.
 */

import { join } from 'node:path';
import t from 'tap';
import { canReadCheckout } from '../support/readable.ts';
import {
  checkAuthTest,
  checkDamagedHash,
  checkDelivery,
  checkLogs,
  checkPasswords,
  checkRefusals,
  DOMAIN,
  startFront,
} from './account-front.ts';
import { run } from './dict-dovecot.ts';

t.setTimeout(120_000);
const KNOWN = `plain0000@${DOMAIN}`;
const PROGRAM = join(import.meta.dirname, '../../bin/doveauth-checkpassword');
/** Dovecot leaves 512 bytes for name, password and three NULs. */
const MAX_PASSWORD_BYTES = 512 - 3 - KNOWN.length;

const [uid, gid] = await Promise.all(
  ['-u', '-g'].map(async (which) => Number((await run('id', [which, 'dovecot'])).stdout)),
);
/** Whom the program runs as: Dovecot's own user as everywhere, unless that cannot read this checkout. */
const runner = (await canReadCheckout({ uid: uid!, gid: gid! })) ? 'dovecot' : 'root';

const front = await startFront(({ sockets }) => ({
  sections: `passdb {
  driver = checkpassword
  args = ${PROGRAM} --socket ${sockets.auth}
}
userdb {
  driver = prefetch
}
userdb {
  driver = checkpassword
  args = ${PROGRAM} --socket ${sockets.auth}
}
service auth {
  # Node reserves more address space than the default lets it.
  vsz_limit = 0
  user = ${runner}
}`,
}));
t.teardown(() => front.end());
await front.startDoveauth(uid);

t.test('passwords', async (t) => checkPasswords(t, front, MAX_PASSWORD_BYTES));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('refusals', async (t) => checkRefusals(t, front));
t.test('damaged hashes', async (t) => checkDamagedHash(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));

t.test('while doveauth is down, everybody waits', async (t) => {
  await front.stopDoveauth();
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a NO \[UNAVAILABLE\]/, 'no wrong password');
  t.match(await front.lmtp(KNOWN), /^451 /, 'and no unknown user');
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));
