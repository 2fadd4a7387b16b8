/**
 * [io] A progress bar on standard error, where that is a terminal. Elsewhere it writes nothing.
 */

import type { WriteStream } from 'node:tty';

/** Redrawn at most this often, ms. */
const REDRAW_MS = 100;
const BAR_CHARACTERS = 30;
/** Calls between two looks at the clock: a mailbox takes some 50 microseconds. */
const CALLS_PER_LOOK = 64;

export interface ProgressBar {
  /** `total` is undefined when nobody knows it. */
  update(done: number, total: number | undefined): void;
  /** Clears the line. */
  end(): void;
}

/** A bar labelled with what is counted. It stays silent when `isWanted` is false or `stream` is no terminal. */
export function createProgressBar(stream: WriteStream, unit: string, isWanted: boolean): ProgressBar {
  if (!isWanted || !stream.isTTY) return { update: () => {}, end: () => {} };
  let drawnMs = 0;
  return {
    update(done, total) {
      if (done % CALLS_PER_LOOK !== 0) return;
      const nowMs = performance.now();
      if (nowMs - drawnMs < REDRAW_MS) return;
      drawnMs = nowMs;
      stream.write(`\r${formatBar(done, total)} ${unit}\x1b[K`);
    },
    end: () => void stream.write('\r\x1b[K'),
  };
}

/** `[#####.....] 500 of 1000`, full when there is more than was expected; only the number without a total. */
export function formatBar(done: number, total: number | undefined): string {
  if (total === undefined) return String(done);
  const filled = Math.round(BAR_CHARACTERS * (total > 0 ? Math.min(done / total, 1) : 1));
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_CHARACTERS - filled)}] ${done} of ${Math.max(done, total)}`;
}
