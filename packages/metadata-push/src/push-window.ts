/**
 * The part of the push queue that is in memory: pushes that are due, sorted into a lane for each service they go to. What waits for
 * a retry, or behind a full window, stays on disk.
 */

import { Lane } from './lane.ts';
import type { LaneName, Provider } from './providers/provider.ts';
import { keyText, type PushKey, type QueueStore } from './queue-store.ts';
import type { TokenStore } from './token-store.ts';

/** Pushes taken from disk ahead of being sent. */
const MAX_WAITING = 1024;

/** A provider that chooses the service by the token says what will fail together with it. */
export interface RoutedProvider extends Provider {
  laneOf?(token: string): Promise<LaneName | undefined>;
}

/** A push in memory. */
export interface Taken {
  readonly key: PushKey;
  isOnTheWire: boolean;
  /** When the first further message arrived while it was on the wire. */
  againAt: number | undefined;
  /** Its record has left the disk, and nothing has taken its place. */
  isOver: boolean;
}

export interface WindowOptions {
  readonly tokens: TokenStore;
  readonly queue: QueueStore;
  readonly now: () => number;
  /** Pushes of one service on the wire at once. */
  readonly laneLimit: number;
  /** A push found its lane, some time after it was offered. */
  readonly onReady: () => void;
  /** A push has come to a service that is being left alone until `retryAt`. */
  readonly onBlocked: (key: PushKey, retryAt: number) => void;
}

export class PushWindow {
  readonly #options: WindowOptions;
  readonly #taken = new Map<string, Taken>();
  readonly #lanes = new Map<string, Lane<Taken>>();
  #provider: RoutedProvider;
  /** Pushes whose lane is being found out. */
  #routing = 0;
  /** More may be due on disk than fits. */
  #hasMoreOnDisk = true;

  constructor(provider: RoutedProvider, options: WindowOptions) {
    this.#options = options;
    this.#provider = provider;
  }

  get size(): number {
    return this.#taken.size;
  }

  /**
   * Pushes taken from now on go to another provider. What is waiting keeps its lane until that has drained.
   *
   * @returns the services that were being left alone, and are not any more
   */
  useProvider(provider: RoutedProvider): string[] {
    this.#provider = provider;
    return [...this.#lanes.values()].filter(({ circuit }) => circuit?.reset() === 'closed').map(({ name }) => name);
  }

  get(key: PushKey): Taken | undefined {
    return this.#taken.get(keyText(key));
  }

  /** There is more on disk than was said so far. */
  look(): void {
    this.#hasMoreOnDisk = true;
  }

  /**
   * Takes a push that is due and has reached the disk, unless older ones wait for places. Where there are several services, it
   * may pass those of another: a slow one is to delay nobody else.
   */
  offer(key: PushKey): void {
    if (this.#taken.has(keyText(key))) return;
    if (!this.#hasMoreOnDisk && this.#waiting() < MAX_WAITING) this.#take(key);
    else if (this.#provider.laneOf && this.#routing < MAX_WAITING) this.#take(key, 'if-free');
    else this.#hasMoreOnDisk = true;
  }

  /** The next push to send, with its lane; undefined when there is none, or no place for it. */
  next(): { readonly taken: Taken; readonly lane: Lane<Taken> } | undefined {
    const now = this.#options.now();
    for (const lane of this.#lanes.values()) {
      const taken = lane.next(now);
      if (taken) return { taken, lane };
    }
    return undefined;
  }

  /**
   * Takes from disk when all that was taken before is on its way or in a lane without places.
   *
   * @returns how many; and when the next is due, unless that is now
   */
  refill(): { readonly count: number; readonly nextDueAt: number | undefined } {
    // Where there are several services, some may be slow: those that wait for them are not to hold up the others.
    const mayWait = this.#provider.laneOf ? MAX_WAITING / 2 : 0;
    if (!this.#hasMoreOnDisk || this.#routing > 0 || this.#waiting() > mayWait) return NOTHING;
    const { queue, now } = this.#options;
    const time = now();
    const room = MAX_WAITING - this.#waiting();
    const pushes = queue.due(time, room, (text) => this.#taken.has(text));
    this.#hasMoreOnDisk = pushes.length === room;
    for (const { key } of pushes) this.#take(key);
    return { count: pushes.length, nextDueAt: this.#hasMoreOnDisk ? undefined : queue.nextDueAt(time) };
  }

  /** A push has been dealt with: further messages make one of their own. */
  drop(taken: Taken): void {
    this.#taken.delete(keyText(taken.key));
  }

  /** The outcome of a push could not be written: until it is, the push counts as on the wire. @returns false when another one is there */
  hold(taken: Taken): boolean {
    const text = keyText(taken.key);
    if (this.#taken.has(text)) return false;
    this.#taken.set(text, taken);
    return true;
  }

  /** When a service is being left alone, what waits for it must not take the places of pushes to others. */
  block(lane: Lane<Taken>): void {
    const retryAt = lane.circuit?.retryAt();
    // Once the pause is over it is needed to ask whether the service is back.
    if (!this.#provider.laneOf || retryAt === undefined || retryAt <= this.#options.now()) return;
    for (const { key } of lane.clear()) this.#putBack(key, retryAt);
  }

  /** When the first service that is being left alone is to be asked again. */
  retryAt(): number | undefined {
    const now = this.#options.now();
    let first: number | undefined;
    for (const { waiting, circuit } of this.#lanes.values()) {
      const time = waiting > 0 ? circuit?.retryAt() : undefined;
      if (time !== undefined && time > now && time < (first ?? Number.POSITIVE_INFINITY)) first = time;
    }
    return first;
  }

  #waiting(): number {
    let sum = this.#routing;
    for (const lane of this.#lanes.values()) sum += lane.waiting;
    return sum;
  }

  #take(key: PushKey, condition?: 'if-free'): void {
    const taken: Taken = { key, isOnTheWire: false, againAt: undefined, isOver: false };
    this.#taken.set(keyText(key), taken);
    if (this.#provider.laneOf) void this.#route(taken, condition);
    else this.#lane(this.#provider.name).add(taken);
  }

  /** Never rejects. */
  async #route(taken: Taken, condition: 'if-free' | undefined): Promise<void> {
    const { tokens, now, onReady } = this.#options;
    this.#routing++;
    const token = tokens.get(taken.key.account, taken.key.tokenId);
    const name = token && (await this.#provider.laneOf?.(token.token).catch(() => undefined));
    this.#routing--;
    const lane = this.#lane(name ?? this.#provider.name);
    const retryAt = lane.circuit?.retryAt();
    if (condition === 'if-free' && !lane.isFree(now())) {
      this.#taken.delete(keyText(taken.key));
      this.#hasMoreOnDisk = true;
    } else if (retryAt !== undefined && retryAt > now()) {
      this.#putBack(taken.key, retryAt);
    } else lane.add(taken);
    onReady();
  }

  #putBack(key: PushKey, retryAt: number): void {
    this.#taken.delete(keyText(key));
    this.#options.onBlocked(key, retryAt);
  }

  #lane(name: string): Lane<Taken> {
    let lane = this.#lanes.get(name);
    if (!lane) {
      // Whoever has an account can name a Web Push service that does not answer.
      lane = new Lane(name, this.#options.laneLimit, name !== 'webpush');
      this.#lanes.set(name, lane);
    }
    return lane;
  }
}

const NOTHING = { count: 0, nextDueAt: undefined };
