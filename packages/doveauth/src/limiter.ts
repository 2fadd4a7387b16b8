/**
 * At most so many pieces of asynchronous work at once; the rest wait in order of arrival. Unbounded on purpose: whoever
 * hands work in has a bound of their own.
 */

export class Limiter {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#free = max;
  }

  /** Runs the work when there is room, and settles as it does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // The place is handed over, not given back: nobody can slip in between.
      if (next) next();
      else this.#free++;
    }
  }
}
