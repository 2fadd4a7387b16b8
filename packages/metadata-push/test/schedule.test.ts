import fc from 'fast-check';
import t from 'tap';
import {
  FOLLOW_UP_MS,
  isExpired,
  JITTER,
  joinPush,
  MAX_AGE_MS,
  newPush,
  nextPush,
  type PushItem,
  rebasePush,
  retryPush,
} from '../src/schedule.ts';

const NOW = 1_800_000_000_000;
const noJitter = () => 0;
const MINUTE = 60_000;

t.test('failures are 8, 64, 512 and 4096 s apart, then the push is given up', async (t) => {
  let item: PushItem | undefined = newPush(NOW);
  let now = NOW;
  const waits: number[] = [];
  while (item) {
    now = item.dueAt;
    item = retryPush(item, now, noJitter, undefined);
    if (item) waits.push((item.dueAt - now) / 1000);
  }
  t.same(waits, [8, 64, 512, 4096]);
});

t.test('retries', async (t) => {
  const item = newPush(NOW);
  const rows: [now: number, afterMs: number | undefined, waitMs: number | undefined, reason: string][] = [
    [NOW, undefined, 8000, 'the first'],
    [NOW, 1000, 8000, 'a Retry-After below the back-off'],
    [NOW, 120_000, 120_000, 'a Retry-After above the back-off'],
    [NOW, 0, 8000, 'a Retry-After in the past'],
    [NOW, MAX_AGE_MS, MAX_AGE_MS, 'a Retry-After up to the last moment'],
    [NOW, MAX_AGE_MS + 1, undefined, 'a Retry-After beyond the five hours'],
    [NOW + MAX_AGE_MS - 8000, undefined, 8000, 'just in time'],
    [NOW + MAX_AGE_MS - 7999, undefined, undefined, 'the next try would be too late'],
  ];
  for (const [now, afterMs, waitMs, reason] of rows) {
    const retried = retryPush(item, now, noJitter, afterMs);
    t.equal(retried && retried.dueAt - now, waitMs, reason);
  }
  t.equal(retryPush(item, NOW, () => 1, undefined)!.dueAt, NOW + 8000 * (1 + JITTER), 'jitter only adds');
});

t.test('a further message joins the pending push', async (t) => {
  const fresh = newPush(NOW);
  t.equal(joinPush(fresh, NOW + 500, noJitter), fresh, 'in a moment: nothing to write');
  t.same(
    joinPush(fresh, NOW + MINUTE, noJitter),
    { ...fresh, expiresAt: NOW + MINUTE + MAX_AGE_MS },
    'a backlog of a minute: it lives five hours from the newest message',
  );
  const failed: PushItem = { ...fresh, attempts: 4, dueAt: NOW + 4_000_000 };
  t.match(
    joinPush(failed, NOW + MINUTE, noJitter),
    { attempts: 1, dueAt: NOW + MINUTE + 8000, queuedAt: NOW },
    'after failures: tried again soon',
  );
  const asked: PushItem = { ...failed, notBefore: NOW + 3_000_000 };
  t.match(joinPush(asked, NOW + MINUTE, noJitter), { dueAt: NOW + 3_000_000 }, 'but a Retry-After holds');
  const soon: PushItem = { ...failed, attempts: 1, dueAt: NOW + 2000 };
  t.same(
    joinPush(soon, NOW + 1000, noJitter),
    { ...soon, expiresAt: NOW + 1000 + MAX_AGE_MS },
    'one that is due anyway is not put off, and is no repetition of what failed',
  );
  t.equal(joinPush(soon, NOW, noJitter), soon, 'nothing to write');
});

t.test('what becomes of a push after an attempt', async (t) => {
  const item = newPush(NOW);
  const delivered = { kind: 'delivered' } as const;
  const failed = { kind: 'retry', reason: 'timeout' } as const;
  const now = NOW + 100;
  t.same(nextPush(item, delivered, undefined, now, noJitter), { next: undefined, isGivenUp: false }, 'done');
  t.same(nextPush(item, 'expired', undefined, now, noJitter), { next: undefined, isGivenUp: true }, 'too old');
  t.match(
    nextPush(item, delivered, NOW + 50, now, noJitter).next,
    { queuedAt: NOW + 50, dueAt: now + FOLLOW_UP_MS, attempts: 0 },
    'a message came meanwhile: once more, when the gateway will not swallow it',
  );
  t.match(nextPush(item, failed, undefined, now, noJitter), { next: { attempts: 1 }, isGivenUp: false });
  t.match(nextPush(item, failed, NOW + 50, now, noJitter), { next: { attempts: 1, dueAt: now + 8000 } });
  for (const reason of ['paused', 'busy'] as const) {
    t.match(
      nextPush(item, { kind: 'retry', reason }, undefined, now, noJitter),
      { next: { attempts: 0, dueAt: now + 8000 }, isGivenUp: false },
      `${reason}: what was not sent has cost no attempt`,
    );
    t.match(
      nextPush({ ...item, attempts: 4 }, { kind: 'retry', reason, afterMs: MINUTE }, undefined, now, noJitter),
      { next: { attempts: 4, dueAt: now + MINUTE }, isGivenUp: false },
      `${reason}: and waits as long as was asked`,
    );
    t.same(
      nextPush(item, { kind: 'retry', reason, afterMs: MINUTE }, undefined, NOW + MAX_AGE_MS - 1000, noJitter),
      { next: undefined, isGivenUp: true },
      `${reason}: but not beyond its five hours`,
    );
  }
  const last: PushItem = { ...item, attempts: 4 };
  t.same(nextPush(last, failed, undefined, now, noJitter), { next: undefined, isGivenUp: true }, 'tried enough');
  t.match(
    nextPush(last, failed, NOW + 50, now, noJitter),
    { next: { queuedAt: NOW + 50, attempts: 0 }, isGivenUp: true },
    'given up, but a new message starts anew',
  );
  const asked = { ...failed, afterMs: 10 * MINUTE } as const;
  t.match(
    nextPush(last, asked, NOW + 50, now, noJitter),
    { next: { dueAt: now + 10 * MINUTE, notBefore: now + 10 * MINUTE, attempts: 0 }, isGivenUp: true },
    'and is not before the Retry-After of the last attempt is over',
  );
  t.match(
    nextPush({ ...last, notBefore: NOW + MINUTE }, failed, NOW + 50, now, noJitter),
    { next: { dueAt: NOW + MINUTE, notBefore: NOW + MINUTE } },
    'nor before one that was asked for earlier',
  );
  t.same(
    nextPush(last, { ...failed, afterMs: 2 * MAX_AGE_MS }, NOW + 50, now, noJitter),
    { next: undefined, isGivenUp: true },
    'one beyond the five hours of the new message leaves nothing to send',
  );
});

t.test('a clock set back does not hold pushes up', async (t) => {
  const item = { ...newPush(NOW), dueAt: NOW + 8000, attempts: 1 };
  t.equal(rebasePush(item, NOW - MINUTE), item, 'a small step');
  t.same(
    rebasePush(item, NOW - 10 * MINUTE),
    { ...newPush(NOW - 10 * MINUTE), dueAt: NOW - 10 * MINUTE + 8000, attempts: 1 },
    'a large one: as if queued now',
  );
});

const events = fc.array(
  fc.record({
    kind: fc.constantFrom('message', 'fail', 'fail-after'),
    waitMs: fc.integer({ min: 0, max: 3_600_000 }),
    afterMs: fc.integer({ min: 0, max: 7_200_000 }),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  }),
  { maxLength: 40 },
);

t.test('any history of messages and failures keeps the rules', async (t) => {
  const property = fc.property(events, (history) => {
    let now = NOW;
    let newest = NOW;
    let item: PushItem | undefined = newPush(now);
    for (const { kind, waitMs, afterMs, random } of history) {
      if (!item) return true;
      const before: PushItem = item;
      if (kind === 'message') {
        now += waitMs;
        newest = now;
        item = joinPush(before, now, () => random);
        // Joining never delays, never breaks a Retry-After, and leaves no message without its five hours.
        if (item.dueAt > before.dueAt || item.dueAt < before.notBefore) return false;
        if (item.attempts > 0 && item.dueAt > Math.max(item.notBefore, now + 8000 * (1 + JITTER))) return false;
      } else {
        now = Math.max(now, before.dueAt);
        const asked = kind === 'fail-after' ? afterMs : undefined;
        item = retryPush(before, now, () => random, asked);
        if (item && (item.dueAt < now + 8000 || item.dueAt < now + (asked ?? 0))) return false;
        if (item && (item.attempts > 4 || item.dueAt > newest + MAX_AGE_MS)) return false;
      }
      if (item && (item.expiresAt < newest + MAX_AGE_MS - MINUTE || item.expiresAt > newest + MAX_AGE_MS)) return false;
      if (item && (item.queuedAt !== NOW || !isExpired(item, item.expiresAt))) return false;
    }
    return true;
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }));
});
