/**
 * The rule for full mailboxes: oldest messages first, down to a size, never the last 24 hours. Pure. Which second is the last
 * to go is found from sums by period, in memory that does not depend on the number of messages; they are therefore looked
 * at again for each of three steps. Which of those of one second go is left to the order they are found in.
 */

import { type Message, QUOTA_PROTECTED_MS, type RunClock } from './plan.ts';

const SECOND_MS = 1000;
/** A mailbox of 20 days has some 30 of these periods, and each of them 65,536 seconds: that many sums at most. */
const COARSE_PERIOD_MS = 65_536 * SECOND_MS;

/** Shows messages, the same at every call but for those that went in between. */
export type ForEachMessage = (visit: (message: Message) => void) => void;

/** Where removing from the oldest on comes to its end. */
interface End {
  /** All older messages go. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Of those from `fromMs` on and before `toMs`, so many bytes at least. */
  readonly bytes: number;
}

/** Brings one mailbox down to a size, or as near as the protected messages allow. */
export class SpaceRule {
  readonly #youngestMs: number;
  readonly #removable = new PeriodSums(COARSE_PERIOD_MS);
  #excess: number;

  constructor(targetBytes: number, clock: RunClock) {
    this.#excess = -Math.floor(targetBytes);
    this.#youngestMs = clock.nowMs - QUOTA_PROTECTED_MS;
  }

  /** Counts a message that is there and that no other rule removes. */
  count(message: Message): void {
    // Files in tmp/ are not counted by Dovecot's quota either.
    if (message.folder.kind === 'tmp') return;
    this.#excess += message.bytes;
    if (this.#mayGo(message)) this.#removable.add(message);
  }

  /**
   * Removes what is too much, when everything has been counted.
   *
   * @param forEach shows the messages that were counted
   */
  removeOldest(forEach: ForEachMessage, remove: (message: Message) => void): void {
    if (this.#excess <= 0) return;
    const end = this.#findEnd(forEach);
    let missing = end?.bytes ?? 0;
    forEach((message) => {
      if (!this.#mayGo(message)) return;
      if (end && message.arrivedAtMs >= end.fromMs) {
        if (message.arrivedAtMs >= end.toMs || missing <= 0) return;
        missing -= message.bytes;
      }
      remove(message);
    });
  }

  #mayGo(message: Message): boolean {
    return message.folder.kind !== 'tmp' && message.arrivedAtMs <= this.#youngestMs;
  }

  /** The second in which it is enough; undefined when it never is, and all must go that may. */
  #findEnd(forEach: ForEachMessage): End | undefined {
    const coarse = this.#removable.endOf(this.#excess);
    if (!coarse) return undefined;
    const seconds = new PeriodSums(SECOND_MS);
    forEach((message) => {
      if (!this.#mayGo(message) || message.arrivedAtMs < coarse.fromMs || message.arrivedAtMs >= coarse.toMs) return;
      seconds.add(message);
    });
    // Without an end: some have vanished since they were counted.
    return seconds.endOf(coarse.bytes) ?? { fromMs: coarse.toMs, toMs: coarse.toMs, bytes: 0 };
  }
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
