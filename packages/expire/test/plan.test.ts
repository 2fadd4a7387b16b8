import fc from 'fast-check';
import t from 'tap';
import {
  type ExpiryRules,
  type FolderKind,
  isInFuture,
  judgeAccount,
  LARGE_MESSAGE_BYTES,
  type LastLogin,
  type Message,
  mayDeleteAccounts,
  type RemovalReason,
  type RunClock,
  reasonOfAge,
} from '../src/plan.ts';
import { SpaceRule } from '../src/space.ts';

const SECOND = 1000;
const HOUR = 3_600_000;
const DAY = 86_400_000;
const NOW = Date.UTC(2026, 8, 20, 0, 2);
const CLOCK = { nowMs: NOW, realNowMs: NOW };
const RULES: ExpiryRules = {
  delete_mails_after: 20,
  delete_large_after: 7,
  delete_inactive_users_after: 90,
  max_mailbox_size: 1_000_000_000,
  expire_max_accounts_percent: 25,
};
const LARGE = LARGE_MESSAGE_BYTES + 1;

let serial = 0;
function message(ageMs: number, bytes = 1000, kind: FolderKind = 'cur', nowMs = NOW): Message {
  return { folder: { path: `/m/${kind}`, kind }, name: `name${serial++}`, arrivedAtMs: nowMs - ageMs, bytes };
}

function showAll(messages: readonly Message[], visit: (message: Message) => void): string {
  messages.forEach(visit);
  return 'unchanged';
}

interface Removal {
  readonly message: Message;
  readonly reason: RemovalReason;
}

function planQuota(messages: readonly Message[], targetBytes: number, clock: RunClock): Removal[] {
  const removals: Removal[] = [];
  const space = new SpaceRule(targetBytes, clock);
  for (const each of messages) space.count(each);
  space.removeOldest(
    (visit) => showAll(messages, visit),
    (each) => removals.push({ message: each, reason: 'quota' }),
  );
  return removals;
}

/** The rules in the order in which a mailbox meets them. */
function planMessages(messages: readonly Message[], rules: ExpiryRules, clock: RunClock): Removal[] {
  const removals: Removal[] = [];
  const kept = messages.filter((each) => {
    const reason = reasonOfAge(each, rules, clock);
    if (reason) removals.push({ message: each, reason });
    return !reason;
  });
  return [...removals, ...planQuota(kept, rules.max_mailbox_size * 0.7, clock)];
}

t.test('messages expire by age and by size', async (t) => {
  const rows: [ageMs: number, bytes: number, kind: FolderKind, reason: string | undefined, why: string][] = [
    [20 * DAY + 1, 1, 'cur', 'age', 'just over the limit'],
    [20 * DAY, 1, 'cur', undefined, 'exactly the limit stays'],
    [20 * DAY - 1, 1, 'cur', undefined, 'just under the limit'],
    [20 * DAY + 1, 1, 'new', 'age', 'unseen mail ages as well'],
    [20 * DAY + 1, 1, 'tmp', 'age', 'so do broken deliveries'],
    [7 * DAY + 1, LARGE, 'cur', 'large', 'large, seen and over its limit'],
    [7 * DAY, LARGE, 'cur', undefined, 'large, exactly at its limit'],
    [7 * DAY + 1, LARGE - 1, 'cur', undefined, '200,000 bytes are not yet large'],
    [7 * DAY + 1, LARGE, 'new', undefined, 'large but never seen'],
    [7 * DAY + 1, LARGE, 'tmp', undefined, 'large but never delivered'],
    [20 * DAY + 1, LARGE, 'cur', 'age', 'age comes first'],
    [-HOUR, LARGE, 'cur', undefined, 'the future is no age'],
    [NOW, 1, 'cur', 'age', '1970 is long ago'],
  ];
  for (const [ageMs, bytes, kind, reason, why] of rows) {
    t.equal(planMessages([message(ageMs, bytes, kind)], RULES, CLOCK)[0]?.reason, reason, why);
  }
});

t.test('a day is 86,400 seconds in leap years too', async (t) => {
  const nowMs = Date.UTC(2028, 2, 5);
  const clock = { nowMs, realNowMs: nowMs };
  const rules = { ...RULES, delete_mails_after: 5 };
  const of = (arrivedAtMs: number) => [{ ...message(0), arrivedAtMs }];
  t.equal(planMessages(of(Date.UTC(2028, 1, 29)), rules, clock).length, 0, '29 February is exactly five days ago');
  t.equal(planMessages(of(Date.UTC(2028, 1, 29) - 1), rules, clock).length, 1, 'one millisecond before that');
});

t.test('space: oldest first, down to 70 %, never the last day', async (t) => {
  const rules = { ...RULES, max_mailbox_size: 1000 };
  const sizes = (messages: Message[]) => planMessages(messages, rules, CLOCK).map((removal) => removal.message.bytes);
  t.same(sizes([message(3 * DAY, 300), message(2 * DAY, 400)]), [], '700 of 1000 is the target');
  t.same(sizes([message(3 * DAY, 301), message(2 * DAY, 400)]), [301], 'one byte more takes the oldest');
  t.same(sizes([message(2 * DAY, 400), message(3 * DAY, 301)]), [301], 'whatever order they are found in');
  t.same(sizes([message(DAY, 701)]), [701], 'exactly a day old may go');
  t.same(sizes([message(DAY - 1, 5000)]), [], 'younger may not, however full it is');
  t.same(sizes([message(9 * DAY, 5000, 'tmp')]), [], 'tmp/ is not counted');
  t.same(sizes([message(9 * DAY, 600, 'new'), message(8 * DAY, 600)]), [600], 'unseen mail counts and goes');
  t.same(sizes([message(21 * DAY, 900), message(2 * DAY, 600)]), [900], 'what age removes no longer counts');
  t.same(sizes([message(-DAY, 900), message(2 * DAY, 100)]), [100], 'the future counts and stays');
});

t.test('space: exact to the second, however far the messages are apart', async (t) => {
  const at = (arrivedAtMs: number, bytes = 100) => ({ ...message(0, bytes), arrivedAtMs });
  const start = Math.floor((NOW - 19 * DAY) / 65_536_000) * 65_536_000;
  const times = [0, SECOND, start - SECOND, start, start + 65_535 * SECOND, start + 65_536 * SECOND, NOW - 2 * DAY];
  for (let count = 0; count <= times.length; count++) {
    const removed = planQuota(times.map((time) => at(time)).reverse(), (times.length - count) * 100, CLOCK);
    const expected = times.slice(0, count).reverse();
    t.same(
      removed.map((each) => each.message.arrivedAtMs),
      expected,
      `the ${count} oldest`,
    );
  }
  const together = Array.from({ length: 5 }, () => at(start));
  t.equal(planQuota(together, 250, CLOCK).length, 3, 'of one second as many as it takes');
  t.equal(planQuota(together, 250.9, CLOCK).length, 3, 'a part of a byte is none');
});

t.test('space: messages that vanish between counting and removing', async (t) => {
  const space = new SpaceRule(100, CLOCK);
  const messages = [message(9 * DAY, 100), message(8 * DAY, 100), message(3 * DAY, 100)];
  for (const each of messages) space.count(each);
  const removed: Message[] = [];
  const left = messages.slice(2);
  space.removeOldest(
    (visit) => showAll(left, visit),
    (each) => removed.push(each),
  );
  t.same(removed, [], 'the youngest does not go in their place');
});

t.test('space: messages that are found twice, or not at all, while a mailbox changes', async (t) => {
  const messages = [9, 8, 7, 6].map((days) => message(days * DAY, 100));
  const [oldest, second] = messages as [Message, Message];
  const twice = [...messages, ...messages];
  const missed = messages.slice(2);
  type Walk = [stamp: string, shown: readonly Message[]];
  const rows: [targetBytes: number, walks: Walk[], isDone: boolean, removed: Message[], why: string][] = [
    [
      400,
      [
        ['a', messages],
        ['a', messages],
      ],
      true,
      [],
      'only the first count found some twice',
    ],
    [
      400,
      [
        ['a', twice],
        ['b', twice],
      ],
      false,
      [],
      'every count does',
    ],
    [
      400,
      [
        ['a', twice],
        ['a', messages],
      ],
      false,
      [],
      'a change that does not show in the stamp',
    ],
    [
      300,
      [
        ['a', twice],
        ['b', messages],
        ['b', messages],
        ['b', messages],
      ],
      true,
      [oldest],
      'until two agree',
    ],
    [
      300,
      [
        ['a', messages],
        ['b', missed],
      ],
      false,
      [],
      'the second of two missed some: more would go',
    ],
    [
      200,
      [
        ['a', messages],
        ['a', messages],
      ],
      true,
      [oldest, second],
      'a mailbox in peace',
    ],
  ];
  for (const [targetBytes, walks, isDone, expected, why] of rows) {
    const space = new SpaceRule(targetBytes, CLOCK);
    for (const each of twice) space.count(each);
    const removed: Message[] = [];
    let walk = 0;
    const forEach = (visit: (each: Message) => void) => {
      // As if it went on like that.
      const [stamp, shown] = walks[walk++ % walks.length]!;
      shown.forEach(visit);
      return stamp;
    };
    t.equal(
      space.removeOldest(forEach, (each) => removed.push(each)),
      isDone,
      why,
    );
    t.same(removed, expected, why);
  }
});

t.test('accounts', async (t) => {
  const rows: [login: LastLogin, verdict: string, why: string][] = [
    [{ kind: 'known', atMs: NOW - 90 * DAY - 1 }, 'unused', 'just over the limit'],
    [{ kind: 'known', atMs: NOW - 90 * DAY }, 'keep', 'exactly the limit stays'],
    [{ kind: 'known', atMs: NOW }, 'keep', 'this moment'],
    [{ kind: 'known', atMs: NOW + 60 * SECOND }, 'keep', 'a clock that was stepped back a little'],
    [{ kind: 'known', atMs: NOW + 60 * SECOND + 1 }, 'unsure', 'the future'],
    [{ kind: 'known', atMs: 0 }, 'unused', '1970: the guard is what saves a backup without times'],
    [{ kind: 'unreadable' }, 'unsure', 'no date'],
    [{ kind: 'none' }, 'leftover', 'no account'],
  ];
  for (const [login, verdict, why] of rows) t.equal(judgeAccount(login, RULES, CLOCK), verdict, why);
});

t.test('the clock of --days moves ages, not the future', async (t) => {
  const clock = { nowMs: NOW - 30 * DAY, realNowMs: NOW };
  const login = (ageMs: number): LastLogin => ({ kind: 'known', atMs: NOW - ageMs });
  t.equal(judgeAccount(login(DAY), RULES, clock), 'keep', 'after the assumed day, not after today');
  t.equal(judgeAccount(login(119 * DAY), RULES, clock), 'keep', '89 days before the assumed day');
  t.equal(judgeAccount(login(121 * DAY), RULES, clock), 'unused', '91 days before the assumed day');
  t.equal(isInFuture(NOW - DAY, clock), false, 'yesterday is never the future');
});

t.test('guard against mass deletion', async (t) => {
  const rows: [unused: number, accounts: number, percent: number, allowed: boolean, why: string][] = [
    [25, 100, 25, true, 'exactly the limit'],
    [26, 100, 25, false, 'one more'],
    [0, 0, 25, true, 'no accounts at all'],
    [1, 2, 25, true, 'a single account is no mass'],
    [1, 1, 25, false, 'unless it is all there are'],
    [1, 1, 99, false, 'whatever the limit'],
    [1, 1, 100, true, 'but for this'],
    [2, 4, 25, false, 'two are'],
    [1, 1000, 0, false, '0 means never'],
    [0, 1000, 0, true, 'nothing to delete is always allowed'],
    [1000, 1000, 100, true, '100 switches it off'],
  ];
  for (const [unused, accounts, percent, allowed, why] of rows) {
    const rules = { ...RULES, expire_max_accounts_percent: percent };
    t.equal(mayDeleteAccounts(unused, accounts, rules), allowed, why);
  }
});

const anyMessages = fc.array(
  fc
    .record({
      ageMs: fc.integer({ min: -2 * DAY, max: 40 * DAY }),
      bytes: fc.oneof(fc.nat(3000), fc.integer({ min: LARGE_MESSAGE_BYTES - 2, max: LARGE_MESSAGE_BYTES + 2 })),
      kind: fc.constantFrom<FolderKind>('cur', 'new', 'tmp'),
    })
    .map(({ ageMs, bytes, kind }) => message(ageMs, bytes, kind)),
);
const anyRules = fc.record({
  delete_mails_after: fc.integer({ min: 1, max: 30 }),
  delete_large_after: fc.integer({ min: 1, max: 30 }),
  delete_inactive_users_after: fc.constant(90),
  max_mailbox_size: fc.nat(2_000_000),
  expire_max_accounts_percent: fc.constant(25),
});

t.test('property: nothing goes that no rule names, and everything goes that a rule names', async (t) => {
  fc.assert(
    fc.property(anyMessages, anyRules, (messages, rules) => {
      const removals = planMessages(messages, rules, CLOCK);
      const removed = new Set(removals.map((removal) => removal.message));
      const total = (set: Message[]) =>
        set.reduce((sum, each) => sum + (each.folder.kind === 'tmp' ? 0 : each.bytes), 0);
      const target = rules.max_mailbox_size * 0.7;
      const kept = messages.filter((each) => !removed.has(each));
      for (const each of messages) {
        const ageMs = NOW - each.arrivedAtMs;
        const isOld = ageMs > rules.delete_mails_after * DAY;
        const isLarge = ageMs > rules.delete_large_after * DAY && each.bytes > 200_000 && each.folder.kind === 'cur';
        if (
          (isOld || isLarge) !== (removed.has(each) && removals.find((r) => r.message === each)?.reason !== 'quota')
        ) {
          return false;
        }
      }
      const forSpace = removals.filter((removal) => removal.reason === 'quota').map((removal) => removal.message);
      // To the second: which of those of one second go is not said.
      const second = ({ arrivedAtMs }: Message) => Math.floor(arrivedAtMs / SECOND);
      const latest = Math.max(...forSpace.map(second));
      const last = forSpace.findLast((each) => second(each) === latest);
      // Space: needed up to the last one, nothing from today, nothing younger than what stays and could have gone.
      if (last && total([...kept, last]) <= target) return false;
      if (forSpace.some((each) => NOW - each.arrivedAtMs < DAY || each.folder.kind === 'tmp')) return false;
      const spared = kept.filter((each) => NOW - each.arrivedAtMs >= DAY && each.folder.kind !== 'tmp');
      if (total(kept) > target && spared.length > 0) return false;
      return spared.every((each) => forSpace.every((gone) => second(gone) <= second(each)));
    }),
  );
  t.pass('fast-check throws on a counterexample');
});

t.test('property: running twice is running once', async (t) => {
  fc.assert(
    fc.property(anyMessages, anyRules, (messages, rules) => {
      const removed = new Set(planMessages(messages, rules, CLOCK).map((removal) => removal.message));
      const kept = messages.filter((each) => !removed.has(each));
      return (
        planMessages(kept, rules, CLOCK).length === 0 && planQuota(kept, rules.max_mailbox_size, CLOCK).length === 0
      );
    }),
  );
  t.pass('fast-check throws on a counterexample');
});
