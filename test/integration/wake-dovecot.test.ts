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
/** A machine that is busier than that proves nothing: the same again. */
const ATTEMPTS = 3;
/** What is announced later counts as never. */
const PATIENCE_MS = 10_000;

// The first time a Debian 13 has to be made.
t.setTimeout(600_000);

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
  const deadline = performance.now() + PATIENCE_MS;
  const isWaiting = () => clients.some(({ announcedAt }) => announcedAt.length < MESSAGES);
  while (isWaiting() && performance.now() < deadline) await sleep(50);
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
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const trouble = await announcementTrouble(t, relay, attempt);
    if (trouble.length === 0) break;
    t.comment(`attempt ${attempt}: ${trouble.join('; ')}`);
    if (attempt === ATTEMPTS) t.same(trouble, []);
  }
}

/** What is not as it should be, in mailboxes nobody has used yet. */
async function announcementTrouble(t: Test, relay: WakeRelay, attempt: number): Promise<string[]> {
  const ofOthers = Array.from({ length: MAILBOXES / 2 }, (_, n) =>
    delays(relay, addressOf(`user${attempt}x${n}`), () => undefined),
  );
  const own = Array.from({ length: MAILBOXES / 2 }, (_, n) => {
    const user = addressOf(`own${attempt}x${n}`);
    return delays(relay, user, () => user);
  });
  const trouble: string[] = [];
  for (const [name, work] of [
    ['messages of others', ofOthers],
    ['own messages', own],
  ] as const) {
    const all = (await Promise.all(work)).flat();
    t.equal(all.length, (MAILBOXES / 2) * SESSIONS * MESSAGES);
    const late = all.filter((ms) => ms >= LIMIT_MS);
    if (late.length > 0) {
      const ms = late.map((each) => each.toFixed(0));
      trouble.push(`${name}: ${late.length} of ${all.length} are announced late or never (${ms} ms)`);
    }
    const soon = all.filter((ms) => ms < 250);
    if (soon.length <= all.length / 4) trouble.push(`${name}: only ${soon.length} are announced at once`);
  }
  return trouble;
}
