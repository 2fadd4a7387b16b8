/**
 * doveauth behind a real Dovecot 2.3 of our own, over the Lua script made for 2.4: in 2.3 it speaks HTTP over TCP. Needs root.
 */

import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
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
import { aptInstall } from './debian13.ts';
import { freePort } from './dict-dovecot.ts';

t.setTimeout(120_000);
const KNOWN = `plain0000@${DOMAIN}`;
const SCRIPT = join(import.meta.dirname, '../../lua/chatmail-auth.lua');

if (!existsSync('/usr/lib/dovecot/modules/auth/libauthdb_lua.so')) await aptInstall('dovecot-auth-lua');
const port = await freePort();
// Dovecot's auth process cannot read a checkout in root's own directory.
const directory = mkdtempSync(join(tmpdir(), 'doveauth-lua-'));
t.teardown(() => rmSync(directory, { recursive: true }));
chmodSync(directory, 0o755);
const script = join(directory, 'chatmail-auth.lua');
copyFileSync(SCRIPT, script);
const front = await startFront(({ mail }) => ({
  sections: `passdb {
  driver = lua
  args = file=${script} blocking=yes
}
userdb {
  driver = lua
  args = file=${script} blocking=yes
  default_fields = uid=mail gid=mail
}`,
  environment: { DOVEAUTH_MAILBOXES: mail, DOVEAUTH_URL: `http://127.0.0.1:${port}` },
}));
t.teardown(() => front.end());
await front.startDoveauth(undefined, `inet:127.0.0.1:${port}`);

t.test('passwords', async (t) => checkPasswords(t, front));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('refusals', async (t) => checkRefusals(t, front));
t.test('damaged hashes', async (t) => checkDamagedHash(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));

t.test('doveadm user', async (t) => {
  t.match((await front.doveadm('user', '*')).stdout, KNOWN);
});

t.test('while doveauth is down', async (t) => {
  await front.stopDoveauth();
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a OK/, 'who exists logs in');
  t.match(await front.imapLogin(`newcomer1@${DOMAIN}`, 'password1'), /^a NO \[UNAVAILABLE\]/, 'a newcomer waits');
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));
