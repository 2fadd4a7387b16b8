/**
 * [io] The provider pushes go through. After a reload the one before stays open for a while: what is on its wire gets its answer.
 */

/** As long as the most patient provider waits for an answer. */
const RETIRE_MS = 60_000;

interface Closable {
  close(): Promise<void>;
}

export class Replaceable<P extends Closable> {
  #current: P;
  readonly #retireMs: number;
  readonly #retired = new Map<P, NodeJS.Timeout>();

  constructor(first: P, retireMs = RETIRE_MS) {
    this.#current = first;
    this.#retireMs = retireMs;
  }

  get current(): P {
    return this.#current;
  }

  /** From now on there is another; the one there was closes when its time is over. */
  replace(next: P): void {
    const old = this.#current;
    this.#current = next;
    const close = () => {
      this.#retired.delete(old);
      void old.close();
    };
    this.#retired.set(old, setTimeout(close, this.#retireMs).unref());
  }

  /** Closes it, and those that still wait for answers. */
  async close(): Promise<void> {
    for (const timer of this.#retired.values()) clearTimeout(timer);
    await Promise.all([this.#current, ...this.#retired.keys()].map((provider) => provider.close()));
  }
}
