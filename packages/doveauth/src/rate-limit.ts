/**
 * So many events per minute and key, as many at once at most: GCRA, one number per key. The time is handed in. What is kept
 * of a key is forgotten once its minute has passed, so memory is bounded by the events let through in a minute, and by
 * {@link MAX_KEYS} whatever the configuration says.
 */

const WINDOW_MS = 60_000;
/** Keys remembered at once; beyond that the one longest unused is forgotten, which only ever lets more through. */
const MAX_KEYS = 50_000;

export class RateLimit {
  readonly #intervalMs: number;
  /** When everything taken so far will have been earned back, ms; least recently used first. */
  readonly #paidAt = new Map<string, number>();
  #sweepAt = 0;

  constructor(perMinute: number) {
    this.#intervalMs = WINDOW_MS / perMinute;
  }

  /** Keys remembered. */
  get size(): number {
    return this.#paidAt.size;
  }

  /** Time until there is room for one more, ms; 0: now. */
  waitMs(key: string, nowMs: number): number {
    return Math.max(0, (this.#paidAt.get(key) ?? 0) - nowMs - (WINDOW_MS - this.#intervalMs));
  }

  /** Counts one. */
  take(key: string, nowMs: number): void {
    this.#sweep(nowMs);
    const paidAt = Math.max(this.#paidAt.get(key) ?? 0, nowMs) + this.#intervalMs;
    this.#paidAt.delete(key);
    this.#paidAt.set(key, paidAt);
    if (this.#paidAt.size > MAX_KEYS) this.#paidAt.delete(this.#paidAt.keys().next().value!);
  }

  #sweep(nowMs: number): void {
    if (nowMs < this.#sweepAt) return;
    for (const [key, paidAt] of this.#paidAt) if (paidAt <= nowMs) this.#paidAt.delete(key);
    this.#sweepAt = nowMs + WINDOW_MS;
  }
}
