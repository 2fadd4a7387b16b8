/**
 * Shares the event loop among connections. [io]
 *
 * Whatever connections send, all of them together work for no longer than a budget before the loop gets its turn again, so that
 * timers, answers and signals are not late. Who comes when the budget is spent waits in a queue, first come, first served, with
 * the bytes it has read already; while others wait, nobody goes ahead of them. The budget is time on the clock since the turn's
 * first work, so it also counts what ran in between, such as the signing at an end of message.
 */

import { performance } from 'node:perf_hooks';

/**
 * Longest time of work in one turn, ms. On top comes a step that is not divided, one command or a piece of a body of 64 KiB, and what
 * the promises settled by this work do before the loop goes on: 40 small messages in 3 ms take as long again to verify.
 */
const BUDGET_MS = 3;

/** Does some of its work, until {@link TurnBudget.isSpent}. It enters the queue again by itself if there is more. */
export type Continue = () => void;

export class TurnBudget {
  readonly #budgetMs: number;
  readonly #now: () => number;
  readonly #waiting: Continue[] = [];
  /** When this turn's budget ends, by that clock; undefined before its first work. */
  #until: number | undefined;
  /** The queue is being worked off. */
  #isServing = false;

  /** @param now milliseconds of a clock that never goes back */
  constructor(budgetMs = BUDGET_MS, now: () => number = () => performance.now()) {
    this.#budgetMs = budgetMs;
    this.#now = now;
  }

  /** True when there is no time left in this turn. */
  isSpent(): boolean {
    return this.#until !== undefined && this.#now() >= this.#until;
  }

  /** To be asked before work begins: false when it must {@link enqueue} instead. Begins the turn if it is the first. */
  admits(): boolean {
    // Who is called from the queue gets something done, however late it is.
    if (this.#isServing) return true;
    if (this.#waiting.length > 0) return false;
    if (this.#until === undefined) {
      this.#until = this.#now() + this.#budgetMs;
      setImmediate(() => this.#endTurn());
      return true;
    }
    return !this.isSpent();
  }

  /** Calls `work` in one of the next turns, once. */
  enqueue(work: Continue): void {
    // With a turn under way, or others waiting, the queue is served anyway.
    if (this.#until === undefined && this.#waiting.length === 0) setImmediate(() => this.#serve());
    this.#waiting.push(work);
  }

  /** The connections' reads of this turn are over. The queue has the next turn: in this one it would be the time twice. */
  #endTurn(): void {
    this.#until = undefined;
    if (this.#waiting.length > 0) setImmediate(() => this.#serve());
  }

  #serve(): void {
    this.#until = this.#now() + this.#budgetMs;
    this.#isServing = true;
    try {
      // At least one in each turn, so that all come to an end.
      do this.#waiting.shift()!();
      while (this.#waiting.length > 0 && !this.isSpent());
    } finally {
      this.#isServing = false;
      this.#endTurn();
    }
  }
}

/** One for the process, because there is one event loop. */
export const turnBudget = new TurnBudget();
