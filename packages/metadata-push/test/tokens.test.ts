import fc from 'fast-check';
import t from 'tap';
import {
  addToken,
  type DeviceToken,
  isLive,
  liveTokens,
  MAX_TOKENS_PER_ACCOUNT,
  parseToken,
  REFRESH_AFTER_MS,
  TOKEN_LIFETIME_MS,
  tokenId,
} from '../src/tokens.ts';

const NOW = 1_800_000_000_000;
const DAY = 24 * 60 * 60 * 1000;

t.test('what is a token', async (t) => {
  const rows: [value: string | Buffer, isToken: boolean, reason: string][] = [
    ['openpgp:wVQGIQdErtwEO31W/8g+EOf/78==', true, 'what clients send'],
    ['fcm-chat.delta:abc_-:1', true, 'a plain token of older clients'],
    ['webpush:https://push.example/x|BNc|a2', true, 'a Web Push subscription'],
    ['x', true, 'one character'],
    ['x'.repeat(4096), true, 'as long as allowed'],
    ['x'.repeat(4097), false, 'one byte too long'],
    ['', false, 'empty'],
    ['a b', false, 'a blank separates tokens when they are read'],
    ['a\nb', false, 'a line feed'],
    ['a\n', false, 'a line feed at the end'],
    ['a\0', false, 'NUL'],
    ['tokén', false, 'not ASCII'],
    [Buffer.from([0x61, 0xff]), false, 'not text'],
    ['a\x7f', false, 'DEL'],
  ];
  for (const [value, isToken, reason] of rows) {
    t.equal(parseToken(Buffer.from(value as string)) !== undefined, isToken, reason);
  }
});

t.test('how long a token lives', async (t) => {
  const rows: [setAt: number, live: boolean, reason: string][] = [
    [NOW, true, 'just set'],
    [NOW - 90 * DAY + 1, true, 'the last moment of its 90 days'],
    [NOW - 90 * DAY, false, '90 days'],
    [NOW + 60_000, true, 'a clock that differs by a minute'],
    [NOW + DAY, true, 'the clock was set back since'],
  ];
  for (const [setAt, live, reason] of rows) t.equal(isLive({ token: 'x', setAt }, NOW), live, reason);
});

t.test('adding', async (t) => {
  const list = (...entries: [string, number][]): DeviceToken[] => entries.map(([token, setAt]) => ({ token, setAt }));
  t.same(addToken([], 'a', NOW), list(['a', NOW]), 'the first');
  t.same(addToken(list(['a', NOW - DAY]), 'b', NOW), list(['a', NOW - DAY], ['b', NOW]), 'another device');
  t.same(addToken(list(['a', NOW - DAY]), 'a', NOW), list(['a', NOW]), 'set again: refreshed');
  const fresh = list(['a', NOW - REFRESH_AFTER_MS + 1]);
  t.equal(addToken(fresh, 'a', NOW), fresh, 'set again within the hour: nothing to write');
  t.same(addToken(list(['a', NOW - REFRESH_AFTER_MS]), 'a', NOW), list(['a', NOW]), 'set again after an hour');
  t.same(addToken(list(['old', NOW - 90 * DAY], ['a', NOW]), 'a', NOW), list(['a', NOW]), 'aged ones go');
  t.same(
    addToken(list(['f', NOW + DAY]), 'a', NOW),
    list(['f', NOW], ['a', NOW]),
    'those of a wrong clock are dated anew',
  );
  t.same(
    addToken(list(['f', NOW + DAY], ['a', NOW]), 'a', NOW),
    list(['f', NOW], ['a', NOW]),
    'also when nothing else changes',
  );
  t.same(addToken(list(['a', NOW + DAY]), 'a', NOW), list(['a', NOW]), 'also when it is the one set again');
  const full = Array.from({ length: 20 }, (_, index) => ({ token: `t${index}`, setAt: NOW - DAY - index }));
  t.same(
    new Set(addToken(full, 'new', NOW).map(({ token }) => token)),
    new Set([...full.slice(0, 19).map(({ token }) => token), 'new']),
    'the 21st replaces the one set longest ago',
  );
});

const tokens = fc.constantFrom(...Array.from({ length: 30 }, (_, index) => `t${index}`));
const steps = fc.array(fc.tuple(tokens, fc.integer({ min: 0, max: 40 * DAY })), { maxLength: 60 });

t.test('any history of adding keeps the rules', async (t) => {
  const property = fc.property(steps, (history) => {
    let list: readonly DeviceToken[] = [];
    let now = NOW;
    const lastSet = new Map<string, number>();
    for (const [token, later] of history) {
      now += later;
      list = addToken(list, token, now);
      lastSet.set(token, now);
      const names = list.map((entry) => entry.token);
      const precise = list.every((entry) => lastSet.get(entry.token)! - entry.setAt < REFRESH_AFTER_MS);
      const live = liveTokens(list, now).length === list.length;
      const isValid = names.includes(token) && new Set(names).size === names.length && precise && live;
      if (!isValid || names.length > MAX_TOKENS_PER_ACCOUNT) return false;
    }
    // What is gone is aged, or was set before everything that stayed.
    const oldest = Math.min(...list.map((entry) => entry.setAt));
    return [...lastSet].every(([token, setAt]) => {
      const stayed = list.some((entry) => entry.token === token);
      return stayed || now - setAt >= TOKEN_LIFETIME_MS - REFRESH_AFTER_MS || setAt <= oldest + REFRESH_AFTER_MS;
    });
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 200 }));
});

t.test('a token id is short, stable and another one for another token', async (t) => {
  t.match(tokenId('x'.repeat(4096)), /^[\w-]{22}$/);
  t.equal(tokenId('a'), tokenId('a'));
  t.not(tokenId('a'), tokenId('b'));
});
