/**
 * How many requests one source may make: a bucket per source (GCRA, ITU-T I.371), so that one relay gone wild does not take the gateway
 * from the others. Buckets are in memory only, and a full one is forgotten.
 */

/** Sources remembered at most; beyond that all share one bucket. */
const MAX_SOURCES = 10_000;

export class SourceLimit {
  readonly #intervalMs: number;
  readonly #burstMs: number;
  /** When the bucket of a source will be full again, ms. */
  readonly #fullAt = new Map<string, number>();

  constructor(perSecond: number, burst: number) {
    this.#intervalMs = 1000 / perSecond;
    this.#burstMs = burst * this.#intervalMs;
  }

  /**
   * Takes one request out of a bucket.
   *
   * @param now a clock that only goes forward, ms
   * @returns 0 when the request may pass, else how long to wait, ms
   */
  take(source: string, now: number): number {
    if (this.#fullAt.size >= MAX_SOURCES) this.#forgetFull(now);
    const key = this.#fullAt.has(source) || this.#fullAt.size < MAX_SOURCES ? source : '';
    const fullAt = Math.max(this.#fullAt.get(key) ?? now, now) + this.#intervalMs;
    const waitMs = fullAt - now - this.#burstMs;
    if (waitMs > 0) return waitMs;
    this.#fullAt.set(key, fullAt);
    return 0;
  }

  #forgetFull(now: number): void {
    for (const [source, fullAt] of this.#fullAt) {
      if (fullAt <= now) this.#fullAt.delete(source);
    }
  }
}
