/**
 * Deliveries that fill a mailbox fire Dovecot's quota warning, which runs chatmail-quota-expire, which makes room: with a real
 * Dovecot 2.3 and a real 2.4. Needs root.
 */

import { chownSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { debian13 } from './debian13.ts';
import { MAIL_ID, startQuotaDovecot } from './quota-dovecot.ts';

const QUOTA_EXPIRE = join(import.meta.dirname, '../../bin/chatmail-quota-expire');
const MIB = 1_048_576;
const DAY = 86_400;

// The first run on a machine makes the Debian 13, which takes minutes on a slow line.
t.setTimeout(600_000);
await debian13();

for (const version of ['2.3', '2.4'] as const) {
  t.test(`Dovecot ${version}: deliveries fire the quota warning, which makes room`, async (t) => {
    const dovecot = await startQuotaDovecot(10 * MIB, `${QUOTA_EXPIRE} 7`, version);
    t.teardown(() => dovecot.stop());
    const mailbox = (user: string) => join(dovecot.mailboxesDir, user);
    const user = 'full@x.org';
    await (await dovecot.openInbox(user)).close();
    const second = Math.floor(Date.now() / 1000) - 3 * DAY;
    for (let index = 0; index < 78; index++) {
      const path = join(mailbox(user), 'cur', `${second + index}.M${index}P1.mx,S=100000,W=100000:2,S`);
      writeFileSync(path, 'x'.repeat(100_000));
      chownSync(path, MAIL_ID, MAIL_ID);
    }
    const messages = () =>
      readdirSync(join(mailbox(user), 'cur')).filter((name) => name.includes('M') && /P1\.mx/.test(name));
    for (let count = 1; count <= 12; count++) {
      t.match(await dovecot.deliver(user, 100_000), /^250/m, `delivery ${count}`);
      // 78 and 1 messages are 75.4 %, so this one fires it; then there is room for five more.
      if (count === 1) for (let tries = 0; tries < 1500 && messages().length === 78; tries++) await sleep(20);
    }
    for (let tries = 0; tries < 1500 && messages().length > 66; tries++) await sleep(20);
    const client = await dovecot.openInbox(user);
    const used = storageUsed(await client.say('q1 GETQUOTAROOT INBOX', /^q1 OK/));
    await client.close();
    t.ok(used <= 0.75 * 10 * 1024, `${used} KiB of 10240 are under the warning`);
    const left = messages().sort();
    t.ok(left.length < 78 && left.length > 55, `${left.length} of 78 old messages are left`);
    t.match(left.at(-1), `${second + 77}.`, 'the youngest of them among these');
    t.notOk(
      left.some((name) => name.startsWith(`${second}.`)),
      'the oldest not',
    );
    const log = dovecot.readLog();
    t.notMatch(log, /quota-warning.*(?:Error|Fatal)|Corrupt|Panic/i);
  });
}

function storageUsed(answer: string): number {
  return Number(/STORAGE (\d+) /.exec(answer)?.[1]);
}
