/**
 * doveauth behind a real Dovecot 2.3 of our own, over checkpassword: a process for every login. Needs root.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
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
const REPLY = '/usr/lib/dovecot/checkpassword-reply';
const PROGRAM = join(import.meta.dirname, '../../bin/doveauth-checkpassword');
/** Dovecot leaves 512 bytes for name, password and three NULs. */
const MAX_PASSWORD_BYTES = 512 - 3 - KNOWN.length;

const [uid, gid] = await Promise.all(
  ['-u', '-g'].map(async (which) => Number((await run('id', [which, 'dovecot'])).stdout)),
);
/** Whom the program runs as: Dovecot's own user as everywhere, unless that cannot read this checkout. */
const runner = (await canReadCheckout({ uid: uid!, gid: gid! })) ? 'dovecot' : 'root';
const runnerUid = runner === 'root' ? 0 : uid!;

/** A Dovecot that runs doveauth-checkpassword, with more words before its reply program. */
const databases = (auth: string, ...words: string[]) => {
  const args = [PROGRAM, '--socket', auth, ...words].join(' ');
  return {
    sections: `passdb {
  driver = checkpassword
  args = ${args}
}
userdb {
  driver = prefetch
}
userdb {
  driver = checkpassword
  args = ${args}
}
service auth {
  # Node reserves more address space than the default lets it.
  vsz_limit = 0
  user = ${runner}
}`,
  };
};

const front = await startFront(({ sockets }) => databases(sockets.auth));
t.teardown(() => front.end());
await front.startDoveauth(uid);

t.test('passwords', async (t) => checkPasswords(t, front, MAX_PASSWORD_BYTES));
t.test('doveadm auth test', async (t) => checkAuthTest(t, front));
t.test('refusals', async (t) => checkRefusals(t, front));
t.test('damaged hashes', async (t) => checkDamagedHash(t, front));
t.test('delivery', async (t) => checkDelivery(t, front));

/** A program between ours and Dovecot's: it adds a field, and what it is told can be read. */
function writeWrapper(directory: string): string {
  const wrapper = join(directory, 'wrapper');
  writeFileSync(wrapper, '#!/bin/sh\nexport userdb_note=wrapped EXTRA="$EXTRA userdb_note"\nexec "$@"\n');
  chmodSync(wrapper, 0o755);
  return wrapper;
}

/** Runs our program as Dovecot does; resolves with its exit code and what it wrote to descriptor 4. */
async function ask(words: readonly string[], credentials: string, environment: Record<string, string> = {}) {
  const child = spawn(PROGRAM, ['--socket', front.sockets.auth, ...words], {
    cwd: '/',
    uid: runnerUid,
    env: { ORIG_UID: String(runnerUid), PROTO: 'TCP', SERVICE: 'imap', ...environment },
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  (child.stdio[3] as Duplex).end(Buffer.from(credentials));
  const [reply, [code]] = await Promise.all([buffer(child.stdio[4] as Duplex), once(child, 'exit')]);
  return { code, reply: String(reply) };
}

t.test("Dovecot's reply program, named directly and behind a program of somebody else's", async (t) => {
  const wrapper = writeWrapper(front.directory);
  const rows: [credentials: string, environment: Record<string, string>, code: number, reason: string][] = [
    [`${KNOWN}\0password1\0\0`, {}, 0, 'the right password'],
    [`${KNOWN}\0password2\0\0`, {}, 1, 'a wrong one'],
    [`${KNOWN}\0\0\0`, {}, 1, 'none'],
    [`${KNOWN}\0\0\0`, { AUTHORIZED: '1' }, 2, 'a look-up'],
    [`nobody000@${DOMAIN}\0\0\0`, { AUTHORIZED: '1' }, 3, 'a look-up of nobody'],
    [`${KNOWN}\0password1`, {}, 111, 'cut off'],
  ];
  const fields = (reply: string) => reply.split('\t').sort();
  for (const [credentials, environment, code, reason] of rows) {
    const direct = await ask([REPLY], credentials, environment);
    t.equal(direct.code, code, reason);
    t.equal(direct.reply !== '', code === 0 || code === 2, `${reason}: a reply only where there is an account`);
    // env(1) has no other name for it, and changes nothing.
    const real = await ask(['env', REPLY], credentials, environment);
    t.same([real.code, fields(real.reply)], [code, fields(direct.reply)], `${reason}: Dovecot's own says the same`);
    const wrapped = await ask([wrapper, REPLY], credentials, environment);
    const added = direct.reply === '' ? '' : `${direct.reply}userdb_note=wrapped\t`;
    t.same([wrapped.code, fields(wrapped.reply)], [code, fields(added)], `${reason}: and with a field more`);
  }
  for (const code of [1, 3, 111]) {
    const { code: passed } = await ask(['sh', '-c', `exit ${code}`], `${KNOWN}\0password1\0\0`);
    t.equal(passed, code, `a program that ends with ${code}`);
  }
  const killed = await ask(['sh', '-c', 'kill -9 $$'], `${KNOWN}\0password1\0\0`);
  t.equal(killed.code, 111, 'one that is killed');
  t.equal((await ask(['/nowhere'], `${KNOWN}\0password1\0\0`)).code, 111, 'one that is not there');
});

t.test('a Dovecot with a program in between', async (t) => {
  const wrapped = await startFront(({ sockets, directory }) => databases(sockets.auth, writeWrapper(directory)));
  t.teardown(() => wrapped.end());
  await wrapped.startDoveauth(uid);
  await checkAuthTest(t, wrapped);
  t.match(await wrapped.imapLogin(KNOWN, 'password1'), /^a OK/, 'IMAP');
  await checkDelivery(t, wrapped);
  t.match((await wrapped.doveadm('user', KNOWN)).stdout, /^note\twrapped$/m, 'its field arrives');
  t.match(await wrapped.lmtp(`nobody000@${DOMAIN}`), /^550 /, 'unknown');
});

t.test('while doveauth is down, everybody waits', async (t) => {
  await front.stopDoveauth();
  t.match(await front.imapLogin(KNOWN, 'password1'), /^a NO \[UNAVAILABLE\]/, 'no wrong password');
  t.match(await front.lmtp(KNOWN), /^451 /, 'and no unknown user');
});

t.test('no log names anybody or shows a password', async (t) => checkLogs(t, front));
