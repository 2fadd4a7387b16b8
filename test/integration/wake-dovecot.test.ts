/**
 * Idling sessions on stock Dovecot, configured as we ship it, hear of every message in time: several sessions per mailbox,
 * messages at random gaps, own messages to other devices among them. A short version of bench/wake.ts. Needs root.
 */

import { mkdtempSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { addressOf, IdleClient, Postman, startWakeRelay, type WakeRelay } from './wake-relay.ts';

const MAILBOXES = 8;
const SESSIONS = 3;
const MESSAGES = 8;
/** The limit is 700 ms; what a machine with two busy cores adds is not Dovecot's. */
const LIMIT_MS = 1500;

// The first time a Debian 13 has to be made.
t.setTimeout(400_000);

/** Sends messages and returns how late each session heard of each, ms. */
async function delays(relay: WakeRelay, user: string, senderOf: (n: number) => string | undefined): Promise<number[]> {
  const clients: IdleClient[] = [];
  for (let n = 0; n < SESSIONS; n++) {
    // Sessions that hibernate at different times.
    await sleep(Math.random() * 700);
    clients.push(await IdleClient.open(relay, user, 'fetch'));
  }
  const postman = await Postman.connect(relay);
  const savedAt: number[] = [];
  for (let n = 0; n < MESSAGES; n++) {
    await sleep(Math.random() * 3000);
    savedAt.push(await postman.deliver(user, senderOf(n)));
  }
  await sleep(LIMIT_MS);
  for (const client of clients) client.close();
  await postman.close();
  return clients.flatMap(({ announcedAt }) =>
    savedAt.map((at, n) => Math.max((announcedAt[n] ?? Number.POSITIVE_INFINITY) - at, 0)),
  );
}

for (const version of ['2.3', '2.4'] as const) {
  t.test(`Dovecot ${version}`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'wake-dovecot-'));
    const guard = new Guard(directory);
    t.teardown(() => guard.finish());
    const relay = await startWakeRelay(directory, guard, undefined, version);
    t.teardown(() => relay.stop());
    await checkAnnouncements(t, relay);
    for (const name of await readdir(relay.layout.directories.mailboxes)) {
      if (!name.includes('@')) continue;
      const files = await readdir(join(relay.layout.directories.mailboxes, name, 'new'));
      t.same(
        files.filter((file) => file.startsWith('.')),
        [],
        'nothing is left in the mailboxes',
      );
    }
  });
}

async function checkAnnouncements(t: Test, relay: WakeRelay): Promise<void> {
  const ofOthers = Array.from({ length: MAILBOXES / 2 }, (_, n) =>
    delays(relay, addressOf(`user${n}`), () => undefined),
  );
  const own = Array.from({ length: MAILBOXES / 2 }, (_, n) => {
    const user = addressOf(`own${n}`);
    return delays(relay, user, () => user);
  });
  for (const [name, work] of [
    ['messages of others', ofOthers],
    ['own messages', own],
  ] as const) {
    const all = (await Promise.all(work)).flat();
    t.equal(all.length, (MAILBOXES / 2) * SESSIONS * MESSAGES);
    t.ok(Math.max(...all) < LIMIT_MS, `${name}: none is announced late or never`);
    t.ok(all.filter((ms) => ms < 250).length > all.length / 4, `${name}: many are announced at once`);
  }
}
