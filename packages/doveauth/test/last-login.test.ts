import t from 'tap';
import { planLastLogin, startOfDay } from '../src/last-login.ts';

const DAY = 86_400;
const TODAY = 20_000 * DAY;
const NOW = TODAY + 3600;

t.test('which value is recorded', async (t) => {
  const rows: [value: string, current: number, expected: number | undefined, reason: string][] = [
    [`${NOW}`, TODAY - DAY, TODAY, 'the first login of the day'],
    [`${NOW - 60}`, TODAY, undefined, 'the second login of the day'],
    [`${NOW}`, TODAY + 1800.25, TODAY, 'a record by the second becomes one by the day'],
    [`${TODAY - 1}`, TODAY, undefined, 'yesterday, reported late'],
    [`${TODAY - 1}`, TODAY - 5 * DAY, TODAY - DAY, 'yesterday is news all the same'],
    [`${NOW}`, NOW + 9 * DAY, TODAY, 'a record from the future is put right'],
    [`${NOW + 1}`, 0, undefined, 'a login in the future'],
    [`${NOW}000`, 0, undefined, 'milliseconds are a time in the future'],
    ['-1', TODAY, undefined, 'negative'],
    ['', TODAY, undefined, 'empty'],
    ['1e3', 0, undefined, 'not decimal digits'],
    ['0x10', 0, undefined, 'not decimal'],
    [' 5', 0, undefined, 'not only digits'],
    ['9'.repeat(5000), 0, undefined, 'absurdly long'],
    ['\xff', 0, undefined, 'not text'],
  ];
  for (const [value, current, expected, reason] of rows) {
    t.equal(planLastLogin(Buffer.from(value, 'latin1'), current, NOW), expected, reason);
  }
});

t.test('days begin at midnight UTC', async (t) => {
  t.equal(startOfDay(DAY * 3), DAY * 3);
  t.equal(startOfDay(DAY * 3 - 0.001), DAY * 2);
});
