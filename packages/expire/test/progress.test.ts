import type { WriteStream } from 'node:tty';
import t from 'tap';
import { createProgressBar, formatBar } from '../src/progress.ts';

function terminal(isTTY: boolean) {
  const written: string[] = [];
  return { written, stream: { isTTY, write: (text: string) => written.push(text) } as unknown as WriteStream };
}

t.test('formatBar', async (t) => {
  const rows: [done: number, total: number | undefined, filled: number, end: string, why: string][] = [
    [0, 1000, 0, '0 of 1000', 'the start'],
    [500, 1000, 15, '500 of 1000', 'half'],
    [1000, 1000, 30, '1000 of 1000', 'all'],
    [1200, 1000, 30, '1200 of 1200', 'more than was expected'],
    [0, 0, 30, '0 of 0', 'nothing to do'],
    [700, undefined, 0, '700', 'nobody knows how many there are'],
  ];
  for (const [done, total, filled, end, why] of rows) {
    const bar = formatBar(done, total);
    t.equal(bar.replace(/[^#]/g, '').length, filled, why);
    t.ok(bar.endsWith(end), why);
  }
});

t.test('a bar is drawn on a terminal only, now and then, and goes at the end', async (t) => {
  const { written, stream } = terminal(true);
  const bar = createProgressBar(stream, 'mailboxes', true);
  for (let done = 0; done < 1000; done++) bar.update(done, 1000);
  t.ok(written.length > 0 && written.length < 10, `${written.length} times for 1000 calls`);
  bar.end();
  t.equal(written.at(-1), '\r\x1b[K');
  for (const [isTTY, isWanted] of [
    [false, true],
    [true, false],
  ] as const) {
    const silent = terminal(isTTY);
    const none = createProgressBar(silent.stream, 'mailboxes', isWanted);
    for (let done = 0; done < 1000; done++) none.update(done, 1000);
    none.end();
    t.same(silent.written, []);
  }
});
