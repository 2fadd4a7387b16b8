import t from 'tap';
import { parseRetryAfter } from '../../src/providers/retry-after.ts';

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);

t.test('Retry-After', async (t) => {
  const rows: [value: string, ms: number | undefined, reason: string][] = [
    ['120', 120_000, 'seconds'],
    ['0', 0, 'at once'],
    [' 5 ', 5000, 'blanks around it'],
    ['9999999999', 86_400_000, 'at most a day'],
    ['Sun, 22 Nov 2026 12:01:00 GMT', 60_000, 'a date'],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0, 'a date in the past'],
    ['-1', undefined, 'negative'],
    ['1.5', undefined, 'a fraction'],
    ['2027', 2_027_000, 'a number is seconds, never a year'],
    ['soon', undefined, 'a word'],
    ['99999999999999999999', undefined, 'too many digits'],
    ['Xxx, 99 Xxx 2026 99:99:99 GMT', undefined, 'no date'],
    ['', undefined, 'empty'],
  ];
  for (const [value, ms, reason] of rows) t.equal(parseRetryAfter(value, NOW), ms, reason);
});
