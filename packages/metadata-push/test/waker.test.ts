import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type Logger, NO_METRICS, parseAddress } from '#core';
import { Waker } from '../src/waker.ts';
import { silent } from './fixtures/store.ts';

const ANNA = parseAddress('anna@example.org')!;
const BOB = parseAddress('bob@[127.0.0.1]')!;
const AFTER_MS = 60;

/** A directory of mailboxes, how often something appeared in their `new/`, and a waker. */
function start(t: Test, log: Logger = silent) {
  const directory = mkdtempSync(join(tmpdir(), 'waker-'));
  const changes: Record<string, number> = {};
  const watchers = [ANNA, BOB].map(({ text }) => {
    for (const name of ['new', 'cur']) mkdirSync(join(directory, text, name), { recursive: true });
    changes[text] = 0;
    // Creating and unlinking are one event each.
    return watch(join(directory, text, 'new'), (type) => type === 'rename' && changes[text]!++);
  });
  t.teardown(() => {
    for (const watcher of watchers) watcher.close();
    rmSync(directory, { recursive: true });
  });
  const now = () => Date.now();
  const outcomes: string[] = [];
  const metrics = {
    ...NO_METRICS,
    counter: () => ({ inc: (labels?: Readonly<Record<string, string>>) => void outcomes.push(labels!.outcome!) }),
  };
  const waker = new Waker({ mailboxesDir: () => directory, log, metrics, now, afterMs: AFTER_MS });
  return { directory, changes, outcomes, waker };
}

t.test('a mailbox with a message is changed once, later', async (t) => {
  const { directory, changes, waker } = start(t);
  const beganMs = performance.now();
  waker.wake(ANNA);
  t.notOk(waker.isIdle());
  await sleep(AFTER_MS / 2);
  const isEarly = performance.now() - beganMs < AFTER_MS * 0.9;
  t.same([isEarly && changes[ANNA.text] !== 0, changes[BOB.text]], [false, 0], 'not at once');
  await waker.stop();
  t.ok(waker.isIdle());
  await sleep(10);
  t.equal(changes[ANNA.text]! % 2, 0);
  t.ok(changes[ANNA.text]! >= 2, 'created and removed');
  t.equal(changes[BOB.text], 0, 'nobody else is woken');
  t.same(readdirSync(join(directory, ANNA.text, 'new')), [], 'nothing is left');
});

t.test('many messages in a moment make one change', async (t) => {
  const { outcomes, waker } = start(t);
  for (let n = 0; n < 1000; n++) waker.wake(n % 2 === 0 ? ANNA : BOB);
  await sleep(AFTER_MS + 60);
  t.equal(outcomes.length < 12, true, 'a few at most, even on a machine too busy to keep times');
  await waker.stop();
});

t.test('a later message gets its own', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'waker-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  let now = 1_800_000_000_001;
  let looks = 0;
  const metrics = { ...NO_METRICS, counter: () => ({ inc: () => void looks++ }) };
  const waker = new Waker({ mailboxesDir: () => directory, log: silent, metrics, now: () => now, afterMs: AFTER_MS });
  for (const gap of [0, 40, 60, 30]) {
    now += gap;
    waker.wake(ANNA);
  }
  await waker.stop();
  t.equal(
    looks,
    2,
    'of four messages within 130 ms the second shares the look of the first, the fourth that of the third',
  );
});

t.test('what an earlier process missed', async (t) => {
  const { directory, changes, waker } = start(t);
  const anHourAgo = Date.now() / 1000 - 3600;
  utimesSync(join(directory, BOB.text, 'new'), anHourAgo, anHourAgo);
  mkdirSync(join(directory, 'carol@example.org'));
  mkdirSync(join(directory, 'not-an-address/new'), { recursive: true });
  writeFileSync(join(directory, 'dave@example.org'), '');
  await sleep(5);
  const before = { ...changes };
  await waker.wakeMissed();
  await waker.stop();
  await sleep(10);
  t.ok(changes[ANNA.text]! - before[ANNA.text]! >= 2, 'a mailbox that changed lately');
  t.equal(changes[BOB.text], before[BOB.text], 'and no other');
});

t.test('deleted accounts and other obstacles', async (t) => {
  const lines: unknown[][] = [];
  const log = { ...silent, error: (...words: unknown[]) => void lines.push(words) };
  const { directory, outcomes, waker } = start(t, log);
  rmSync(join(directory, ANNA.text), { recursive: true });
  waker.wake(ANNA);
  await waker.stop();
  t.equal(outcomes[0], 'not-needed', 'an account that is gone');
  t.same(lines, []);

  rmSync(join(directory, BOB.text, 'new'), { recursive: true });
  writeFileSync(join(directory, BOB.text, 'new'), '');
  waker.wake(BOB);
  await waker.stop();
  t.equal(outcomes.at(-1), 'failed');
  t.same(lines, [['mailboxes cannot be woken', { reason: 'ENOTDIR' }]], 'said once, without a path');
  await new Waker({
    mailboxesDir: () => join(directory, 'nowhere'),
    log,
    metrics: NO_METRICS,
    now: Date.now,
  }).wakeMissed();
  t.equal(lines.length, 1, 'no account yet is no error');
});
