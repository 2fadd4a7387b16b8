/**
 * The pushes of one service that are in memory: those that wait, and how many are on the wire. Accounts take turns, and none
 * may have more than a few places, so that somebody with many tokens, or with endpoints that never answer, delays nobody.
 * Pure.
 */

import { Circuit } from './circuit.ts';
import type { PushOutcome } from './providers/provider.ts';

/** Places on the wire for one account. */
export const MAX_PER_ACCOUNT = 5;

export interface Waiting {
  readonly key: { readonly account: string };
}

export class Lane<W extends Waiting> {
  readonly name: string;
  /** Undefined: failures tell nothing about the others, because every token names a service of its own. */
  readonly circuit: Circuit | undefined;
  readonly #limit: number;
  /** By account; a Map keeps their order, and whoever had a turn goes to its end. */
  readonly #waiting = new Map<string, W[]>();
  readonly #onTheWire = new Map<string, number>();
  #waitingCount = 0;
  #wireCount = 0;
  /** The push that asks whether the service is back. */
  #probe: W | undefined;

  /** @param limit pushes on the wire at once */
  constructor(name: string, limit: number, hasCircuit: boolean) {
    this.name = name;
    this.#limit = limit;
    this.circuit = hasCircuit ? new Circuit() : undefined;
  }

  /** Pushes that wait for a place. */
  get waiting(): number {
    return this.#waitingCount;
  }

  get onTheWire(): number {
    return this.#wireCount;
  }

  add(push: W): void {
    const { account } = push.key;
    const others = this.#waiting.get(account);
    if (others) others.push(push);
    else this.#waiting.set(account, [push]);
    this.#waitingCount++;
  }

  /** True when a push that came now would be sent at once. */
  isFree(now: number): boolean {
    return this.#waitingCount === 0 && this.#hasPlace(now);
  }

  /** The next push to send, which from now on has a place on the wire; undefined when there is no place, or nothing waits for one. */
  next(now: number): W | undefined {
    if (this.#waitingCount === 0 || !this.#hasPlace(now)) return undefined;
    // Whoever has tokens that always fail must not be the only one who asks whether the service is back.
    return (this.circuit?.isOpen() && this.#take(this.circuit)) || this.#take(undefined);
  }

  /** @param others when given, only accounts that have not failed with it */
  #take(others: Circuit | undefined): W | undefined {
    for (const [account, pushes] of this.#waiting) {
      const already = this.#onTheWire.get(account) ?? 0;
      if (already >= MAX_PER_ACCOUNT || others?.hasFailed(account)) continue;
      const push = pushes.shift()!;
      this.#waiting.delete(account);
      if (pushes.length > 0) this.#waiting.set(account, pushes);
      this.#onTheWire.set(account, already + 1);
      this.#waitingCount--;
      this.#wireCount++;
      if (this.circuit?.started()) this.#probe = push;
      return push;
    }
    return undefined;
  }

  /**
   * Gives back the place of a push that {@link next} returned.
   *
   * @param outcome undefined: it was not sent after all
   * @returns what happened to the circuit, for the log
   */
  ended(push: W, outcome: PushOutcome | undefined, now: number): 'opened' | 'closed' | undefined {
    const { account } = push.key;
    const left = (this.#onTheWire.get(account) ?? 0) - 1;
    if (left > 0) this.#onTheWire.set(account, left);
    else this.#onTheWire.delete(account);
    this.#wireCount--;
    const isProbe = this.#probe === push;
    if (isProbe) this.#probe = undefined;
    return this.circuit?.ended(outcome, isProbe, now, account);
  }

  /** Takes out everything that waits. */
  clear(): W[] {
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#waitingCount = 0;
    return all;
  }

  #hasPlace(now: number): boolean {
    return this.#wireCount < this.#limit && (this.circuit?.mayStart(now) ?? true);
  }
}
