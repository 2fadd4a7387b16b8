/**
 * Expiry below a running Dovecot 2.3: what IMAP sessions that are idle, hibernated or busy see of it, what becomes of quota
 * and UIDs, what happens to the sessions of a deleted account. Needs root.
 */

import { execFile } from 'node:child_process';
import { chownSync, existsSync, readdirSync, renameSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t from 'tap';
import { MAIL_ID, startQuotaDovecot } from './quota-dovecot.ts';

const BIN = join(import.meta.dirname, '../../bin');
const MIB = 1_048_576;
const DAY = 86_400;
const run = promisify(execFile);

const dovecot = await startQuotaDovecot(10 * MIB, `${BIN}/chatmail-quota-expire 7`);
const ini = join(dovecot.directory, 'chatmail.ini');
t.teardown(() => dovecot.stop());
writeFileSync(
  ini,
  `[params]\nmail_domain = x.org\nmailboxes_dir = ${dovecot.mailboxesDir}\nstate_dir = ${dovecot.directory}/none\n` +
    'expire_max_accounts_percent = 100\n',
);

function mailbox(user: string): string {
  return join(dovecot.mailboxesDir, user);
}

/** Writes the password file doveauth would have written. */
function setLastLogin(user: string, ageDays: number): void {
  const path = join(mailbox(user), 'password');
  writeFileSync(path, '{PLAIN}pass');
  chownSync(path, MAIL_ID, MAIL_ID);
  const second = Date.now() / 1000 - ageDays * DAY;
  utimesSync(path, second, second);
}

/** Makes the `count` first messages in cur/ as if they had arrived so many days ago. */
function ageMessages(user: string, count: number, ageDays: number): void {
  const directory = join(mailbox(user), 'cur');
  for (const name of readdirSync(directory).sort().slice(0, count)) {
    const [second, ...rest] = name.split('.');
    renameSync(join(directory, name), join(directory, [Number(second) - ageDays * DAY, ...rest].join('.')));
  }
}

/** A change of the mailbox that is no message. */
function touchNew(user: string): void {
  const path = join(mailbox(user), 'new/..wake');
  writeFileSync(path, '');
  unlinkSync(path);
}

async function expireNow(): Promise<{ accountsRemoved: number; messagesRemoved: Record<string, number> }> {
  const { stdout } = await run(join(BIN, 'chatmail-expire'), [
    ...[ini, '--remove', '--json', '--metadata-socket', join(dovecot.directory, 'none.socket')],
  ]);
  return JSON.parse(stdout);
}

function storageUsed(answer: string): number {
  return Number(/STORAGE (\d+) /.exec(answer)?.[1]);
}

t.test('sessions see what vanished, quota and UIDs stay right', async (t) => {
  const user = 'idle@x.org';
  for (let count = 0; count < 5; count++) await dovecot.deliver(user, 100_000);
  setLastLogin(user, 0);
  await (await dovecot.openInbox(user)).close();
  ageMessages(user, 3, 30);
  const [busy, idle] = [await dovecot.openInbox(user), await dovecot.openInbox(user)];
  const uidsOf = async (tag: string) =>
    ((await busy.say(`${tag} FETCH 1:* (UID)`, new RegExp(`^${tag} OK`))).match(/UID (\d+)/g) ?? []).map((uid) =>
      Number(uid.slice(4)),
    );
  const uidsBefore = await uidsOf('f0');
  const before = storageUsed(await busy.say('q1 GETQUOTAROOT INBOX', /^q1 OK/));
  await idle.say('i1 IDLE', /^\+/);
  // Longer than imap_hibernate_timeout: the session's process is gone when files vanish.
  await sleep(1500);

  t.equal((await expireNow()).messagesRemoved.age, 3);
  const startedMs = performance.now();
  await idle.say('', /EXPUNGE$/);
  t.ok(performance.now() - startedMs < 10_000, 'an idle client is told soon');
  // The first file that vanishes wakes the session; it may hibernate again before it has seen the others, which Dovecot then
  // tells with the next change (docs/push.md, "Instant IDLE").
  // One that comes while the session is being handed over is lost.
  const changes = setInterval(() => touchNew(user), 700);
  for (let told = 1; told < 3; told++)
    await idle.say('', /EXPUNGE$/).finally(() => told === 2 && clearInterval(changes));
  t.match(await idle.say('DONE', /^i1/), /i1 OK/);

  t.match(
    await busy.say('n1 FETCH 1:5 (BODY.PEEK[])', /^n1 /),
    /n1 OK \[EXPUNGEISSUED\]/,
    'a busy one gets what is there',
  );
  t.equal((await busy.say('n2 NOOP', /^n2 OK/)).match(/EXPUNGE/g)?.length, 3, 'and is told next');
  const after = storageUsed(await busy.say('q2 GETQUOTAROOT INBOX', /^q2 OK/));
  t.ok(after <= before * 0.45, `quota fell from ${before} to ${after}`);

  t.match(await dovecot.deliver(user, 1000), /^250/m);
  await busy.say('n3 NOOP', /^n3 OK/);
  const uidsAfter = await uidsOf('f1');
  const newUid = uidsAfter.pop() ?? 0;
  t.same(
    uidsAfter,
    uidsBefore.filter((uid) => uidsAfter.includes(uid)),
    'what stays keeps its UID',
  );
  t.equal(uidsAfter.length, 2);
  t.ok(newUid > Math.max(...uidsBefore), 'no UID is used twice');
  for (const client of [busy, idle]) await client.close();
  t.notMatch(dovecot.readLog(), /Error|Panic|Corrupt/i, 'nothing for Dovecot to complain about');
});

t.test('deleting an account ends its sessions, and only a skeleton can come back', async (t) => {
  const user = 'gone@x.org';
  await dovecot.deliver(user, 1000);
  const session = connect({ port: dovecot.imapPort, host: '127.0.0.1' });
  let heard = '';
  session.setEncoding('latin1').on('data', (text) => {
    heard += text;
  });
  session.on('error', () => {});
  session.write(`a LOGIN ${user} pass\r\nb SELECT INBOX\r\n`);
  while (!/^b OK/m.test(heard)) await sleep(10);
  setLastLogin(user, 91);
  t.equal((await expireNow()).accountsRemoved, 1);
  t.notOk(existsSync(mailbox(user)));
  session.write('c NOOP\r\n');
  for (let tries = 0; tries < 300 && !session.closed; tries++) await sleep(10);
  t.ok(session.closed, 'Dovecot ends a session whose mailbox was replaced');
  t.match(heard, /^\* BYE/m);
  const files = existsSync(mailbox(user)) ? readdirSync(mailbox(user)) : [];
  t.notOk(files.includes('password'), 'no account');
  t.same(existsSync(mailbox(user)) ? readdirSync(join(mailbox(user), 'cur')) : [], [], 'no mail');

  const second = Date.now() / 1000 - 2 * DAY;
  if (files.length > 0) utimesSync(mailbox(user), second, second);
  await expireNow();
  t.notOk(existsSync(mailbox(user)), 'what Dovecot left is removed a day later');
});
