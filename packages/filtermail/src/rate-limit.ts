/**
 * How much an account may send: GCRA, the "virtual scheduling" form (ITU-T I.371), one number per sender that is the time at
 * which an evenly sending account would send its next message. In memory only; lost on restart on purpose.
 */

/** Most senders remembered. A sender forgotten early may send one burst more, which is why the number is generous. */
const MAX_SENDERS = 100_000;

/** Per minute and at once, each 1 or more. */
export interface Rate {
  readonly perMinute: number;
  readonly burst: number;
}

export class RateLimit {
  #intervalMs = 0;
  #toleranceMs = 0;
  /**
   * Next even time by sender, in two generations: whoever is in the older one and has not sent since the younger one began has
   * nothing left to wait for once that one is as old as the longest wait. So old entries go all at once and for nothing.
   */
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #youngSinceMs = 0;

  constructor(rate: Rate) {
    this.configure(rate);
  }

  /** Takes another rate for messages from now on. */
  configure({ perMinute, burst }: Rate): void {
    this.#intervalMs = 60_000 / perMinute;
    this.#toleranceMs = this.#intervalMs * (burst - 1);
  }

  /** Entries remembered; a sender may have two. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** Counts a message of `sender` at `nowMs`. Returns 0, or in how many ms one may be sent; then this one did not count. */
  take(sender: string, nowMs: number): number {
    this.#forget(nowMs);
    const next = Math.max(this.#young.get(sender) ?? this.#old.get(sender) ?? nowMs, nowMs);
    const waitMs = next - this.#toleranceMs - nowMs;
    if (waitMs > 0) return waitMs;
    this.#young.set(sender, next + this.#intervalMs);
    return 0;
  }

  #forget(nowMs: number): void {
    const isOld = nowMs - this.#youngSinceMs >= this.#toleranceMs + this.#intervalMs;
    if (!isOld && this.#young.size < MAX_SENDERS / 2) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngSinceMs = nowMs;
  }
}
