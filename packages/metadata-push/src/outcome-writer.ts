/**
 * Writes down what became of pushes. An outcome the disk does not take, because it is full say, is kept in memory and written
 * again later; until then its push counts as on the wire, so that it is not sent once more in a circle. Only so many are kept:
 * when there are more, nothing is to be sent. After a crash or a restart those pushes are sent again.
 */

import { isDeepStrictEqual } from 'node:util';
import type { PushOutcome } from './providers/provider.ts';
import type { PushMetrics } from './push-metrics.ts';
import type { PushWindow, Taken } from './push-window.ts';
import type { QueueStore } from './queue-store.ts';
import { nextPush, type PushItem } from './schedule.ts';
import type { TokenStore } from './token-store.ts';
import { tokenId } from './tokens.ts';

/** Outcomes kept in memory; those of pushes that are on the wire when this is reached come on top. */
export const MAX_UNWRITTEN = 1024;

export type Outcome = PushOutcome | 'expired';

export interface OutcomeWriterOptions {
  readonly tokens: TokenStore;
  readonly queue: QueueStore;
  readonly window: PushWindow;
  readonly metrics: PushMetrics;
  readonly now: () => number;
  readonly random: () => number;
}

interface Unwritten {
  readonly outcome: Outcome;
  readonly provider: string;
}

export class OutcomeWriter {
  readonly #options: OutcomeWriterOptions;
  readonly #unwritten = new Map<Taken, Unwritten>();
  #isStopped = false;

  constructor(options: OutcomeWriterOptions) {
    this.#options = options;
  }

  /** True when so many outcomes wait for the disk that nothing more is to be sent. */
  get isFull(): boolean {
    return this.#unwritten.size >= MAX_UNWRITTEN;
  }

  /** Nothing is kept from here on: the database may be closed at any time. */
  stop(): void {
    this.#isStopped = true;
    this.#unwritten.clear();
  }

  /**
   * Writes an outcome. From here on a further message makes a push of its own: the record of this one is no longer its promise.
   *
   * @param provider its name, to count by
   * @returns resolves when that is on disk
   * @throws DatabaseWriteError by rejection: {@link retry} tries again
   */
  async write(taken: Taken, outcome: Outcome, provider: string): Promise<void> {
    const { queue, window } = this.#options;
    const item = queue.get(taken.key);
    try {
      const written = this.#settle(taken, item, outcome, provider);
      window.drop(taken);
      await written;
      this.#unwritten.delete(taken);
    } catch (error) {
      if (!this.#isStopped) this.#keep(taken, item, { outcome, provider });
      throw error;
    }
  }

  /** Begins to write all that was not written. @returns the pushes, each with what {@link write} returns */
  retry(): { readonly taken: Taken; readonly written: Promise<void> }[] {
    return [...this.#unwritten].map(([taken, { outcome, provider }]) => ({
      taken,
      written: this.write(taken, outcome, provider),
    }));
  }

  #keep(taken: Taken, item: PushItem | undefined, unwritten: Unwritten): void {
    const { queue, window } = this.#options;
    // Once a further message has put another push into its place, the outcome is of no use.
    if (item && isDeepStrictEqual(queue.get(taken.key), item) && window.hold(taken)) {
      this.#unwritten.set(taken, unwritten);
    } else this.#unwritten.delete(taken);
  }

  #settle(taken: Taken, item: PushItem | undefined, outcome: Outcome, provider: string): Promise<void> {
    const { tokens, queue, metrics, now, random } = this.#options;
    const { key, againAt } = taken;
    // Forgotten meanwhile, with its account or its token.
    if (!item) return queue.durable();
    if (outcome !== 'expired' && outcome.kind === 'dead') {
      tokens.update(key.account, (list) => list.filter(({ token }) => tokenId(token) !== key.tokenId)).catch(() => {});
      return queue.remove(key);
    }
    const { next, isGivenUp } = nextPush(item, outcome, againAt, now(), random);
    if (isGivenUp && !this.#unwritten.has(taken)) metrics.givenUp(provider);
    taken.isOver = next === undefined;
    return next ? queue.replace(key, item, next) : queue.removeLater(key, item);
  }
}
