/**
 * The rule for full mailboxes: oldest messages first, down to a size, never the last 24 hours. Pure. Which second is the last
 * to go is found from sums by period, in memory that does not depend on the number of messages; they are therefore looked
 * at again for each of four steps. Which of those of one second go is left to the order they are found in.
 *
 * Whoever renames messages (Dovecot does, for every flag) makes one be found twice, or not at all, by whoever reads the
 * directory meanwhile. Nothing is therefore removed on the word of a single count.
 */

import { type Message, QUOTA_PROTECTED_MS, type RunClock } from './plan.ts';

const SECOND_MS = 1000;
/** A mailbox of 20 days has some 30 of these periods, and each of them 65,536 seconds: that many sums at most. */
const COARSE_PERIOD_MS = 65_536 * SECOND_MS;

/** How often a mailbox that changes is counted: a delivery or two may come in between. */
const MAX_ATTEMPTS = 3;

/**
 * Shows all messages. Returns a stamp: two calls return the same only when no message came, went or was renamed from the
 * start of the first to the end of the second.
 */
export type ForEachMessage = (visit: (message: Message) => void) => string;

/** Where removing from the oldest on comes to its end. */
interface End {
  /** All older messages go. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Of those from `fromMs` on and before `toMs`, so many bytes at least. */
  readonly bytes: number;
}

/** Nothing is to go. */
const NOTHING: End = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.NEGATIVE_INFINITY, bytes: 0 };
/** It is never enough: all go that may. */
const ALL: End = { fromMs: Number.POSITIVE_INFINITY, toMs: Number.POSITIVE_INFINITY, bytes: 0 };

/** Brings one mailbox down to a size, or as near as the protected messages allow. */
export class SpaceRule {
  readonly #targetBytes: number;
  readonly #youngestMs: number;
  #bytes = 0;

  constructor(targetBytes: number, clock: RunClock) {
    this.#targetBytes = Math.floor(targetBytes);
    this.#youngestMs = clock.nowMs - QUOTA_PROTECTED_MS;
  }

  /** Counts a message that is there and that no other rule removes: only to see whether it is worth counting exactly. */
  count(message: Message): void {
    if (isInQuota(message)) this.#bytes += message.bytes;
  }

  /**
   * Removes what is too much, when everything has been counted.
   *
   * @param forEach shows the messages that were counted
   * @returns false when the mailbox changed during every attempt to count it: nothing was removed
   */
  removeOldest(forEach: ForEachMessage, remove: (message: Message) => void): boolean {
    if (this.#bytes <= this.#targetBytes) return true;
    let end: End | undefined;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && !end; attempt++) end = this.#findEnd(forEach);
    if (!end) return false;
    if (end === NOTHING) return true;
    const { fromMs, toMs } = end;
    let missing = end.bytes;
    // From here on renames do no harm: who is found under an old name is not removed, but counts as if.
    forEach((message) => {
      if (!this.#mayGo(message)) return;
      if (message.arrivedAtMs >= fromMs) {
        if (message.arrivedAtMs >= toMs || missing <= 0) return;
        missing -= message.bytes;
      }
      remove(message);
    });
    return true;
  }

  #mayGo(message: Message): boolean {
    return isInQuota(message) && message.arrivedAtMs <= this.#youngestMs;
  }

  /** The second in which it is enough; undefined when two counts do not agree. */
  #findEnd(forEach: ForEachMessage): End | undefined {
    const periods = new PeriodSums(COARSE_PERIOD_MS);
    let bytes = 0;
    const stamp = forEach((message) => {
      if (isInQuota(message)) bytes += message.bytes;
      if (this.#mayGo(message)) periods.add(message);
    });
    const excess = bytes - this.#targetBytes;
    const coarse = excess > 0 ? (periods.endOf(excess) ?? ALL) : NOTHING;

    const seconds = new PeriodSums(SECOND_MS);
    let bytesAgain = 0;
    const stampAgain = forEach((message) => {
      if (isInQuota(message)) bytesAgain += message.bytes;
      if (!this.#mayGo(message) || message.arrivedAtMs < coarse.fromMs || message.arrivedAtMs >= coarse.toMs) return;
      seconds.add(message);
    });
    // The sums as well: the time a directory changed is only exact to some milliseconds.
    if (stamp !== stampAgain || bytes !== bytesAgain) return undefined;
    return coarse === ALL || coarse === NOTHING ? coarse : seconds.endOf(coarse.bytes);
  }
}

/** Files in tmp/ are not counted by Dovecot's quota either. */
function isInQuota(message: Message): boolean {
  return message.folder.kind !== 'tmp';
}

/** Bytes of messages by the period they arrived in. */
class PeriodSums {
  readonly #periodMs: number;
  readonly #sums = new Map<number, number>();

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  add({ arrivedAtMs, bytes }: Message): void {
    const period = Math.floor(arrivedAtMs / this.#periodMs);
    this.#sums.set(period, (this.#sums.get(period) ?? 0) + bytes);
  }

  /** The period in which the sum from the oldest on reaches `bytes`; undefined when all together do not. */
  endOf(bytes: number): End | undefined {
    let missing = bytes;
    for (const [period, sum] of [...this.#sums].sort(([a], [b]) => a - b)) {
      if (missing <= sum) {
        return { fromMs: period * this.#periodMs, toMs: (period + 1) * this.#periodMs, bytes: missing };
      }
      missing -= sum;
    }
    return undefined;
  }
}
