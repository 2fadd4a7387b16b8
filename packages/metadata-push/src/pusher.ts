/**
 * [io] Sends what is in the push queue: a bounded number at a time, the longest due first, until delivered, dead or given up. A
 * push is on disk before it is sent and leaves the disk after the answer, so a crash sends it once more at most.
 *
 *   notify -> queue-store -> ready (window) -> on the wire -> delivered | dead | given up: removed
 *                 ^                                |
 *                 +---------- retry: dueAt --------+
 */

import type { Logger } from '#core';
import { MAX_PAUSE_MS } from './circuit.ts';
import type { Lane } from './lane.ts';
import { type Outcome, OutcomeWriter } from './outcome-writer.ts';
import type { PushOutcome } from './providers/provider.ts';
import type { PushMetrics } from './push-metrics.ts';
import { PushWindow, type RoutedProvider, type Taken } from './push-window.ts';
import type { PushKey, QueuedPush, QueueStore } from './queue-store.ts';
import { Replaceable } from './replaceable.ts';
import { isExpired, joinPush, newPush } from './schedule.ts';
import type { TokenStore } from './token-store.ts';
import { isLive, liveTokens, tokenId } from './tokens.ts';

/** Pushes of one service on the wire at once. 128 make 2,500 pushes a second with a gateway that answers after 50 ms. */
export const MAX_ON_THE_WIRE = 128;
/** Pause after an error of our own: a full disk must not make us send the same push in a circle. */
const PAUSE_MS = 5000;
/** How often the queue is looked at without a reason: after a clock that was set, or a bug of ours, sending goes on. */
const TICK_MS = 60_000;

export interface PusherOptions {
  readonly tokens: TokenStore;
  readonly queue: QueueStore;
  readonly provider: RoutedProvider;
  readonly metrics: PushMetrics;
  readonly log: Logger;
  /** The time, ms since the epoch. */
  readonly now: () => number;
  /** Numbers from 0 up to 1, for the jitter of retries. */
  readonly random: () => number;
  readonly maxOnTheWire?: number;
  readonly pauseMs?: number;
}

export class Pusher {
  readonly #options: PusherOptions;
  readonly #provider: Replaceable<RoutedProvider>;
  readonly #window: PushWindow;
  readonly #outcomes: OutcomeWriter;
  #onTheWire = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #tick: NodeJS.Timeout | undefined;
  #isPaused = false;
  /** Failed attempts since the last tick, for one log line instead of thousands. */
  #failures = 0;
  #isStopped = false;
  #onEmptyWire: (() => void) | undefined;

  constructor(options: PusherOptions) {
    const { tokens, queue, now, provider } = options;
    this.#options = options;
    this.#provider = new Replaceable(provider);
    this.#window = new PushWindow(provider, {
      tokens,
      queue,
      now,
      laneLimit: options.maxOnTheWire ?? MAX_ON_THE_WIRE,
      onReady: () => this.#pump(),
      onBlocked: (key, retryAt) => this.#postpone(key, retryAt),
    });
    this.#outcomes = new OutcomeWriter({ ...options, window: this.#window });
  }

  /** Begins to send what an earlier process left. */
  start(): void {
    this.#tick = setInterval(() => void this.#lookAgain(), TICK_MS);
    void this.#lookAgain();
  }

  /** True when ending now would delay no push. */
  isIdle(): boolean {
    return this.#window.size === 0 && this.#options.queue.depth() === 0;
  }

  /** Sends through another provider from now on. Pushes on the wire of the old one get their answer or are tried again. */
  useProvider(provider: RoutedProvider): void {
    this.#provider.replace(provider);
    for (const name of this.#window.useProvider(provider)) this.#options.metrics.circuit(name, 'closed');
    this.#pump();
  }

  /** Makes sending to a token fast before there is anything to send. */
  prepare(token: string): void {
    const say = (error: unknown) => this.#options.log.error('push provider not ready', { error });
    void this.#provider.current.prepare(token).catch(say);
  }

  /**
   * Queues a push to every live token of an account.
   *
   * @returns resolves when that is on disk; sending has not begun
   * @throws DatabaseWriteError by rejection
   */
  async notify(account: string): Promise<void> {
    const { tokens, queue, random, now: clock } = this.#options;
    const now = clock();
    const changed: QueuedPush[] = [];
    for (const { token } of liveTokens(tokens.list(account), now)) {
      const key = { account, tokenId: tokenId(token) };
      const pending = queue.get(key);
      const taken = this.#window.get(key);
      if (taken?.isOnTheWire) {
        taken.againAt ??= now;
        // It stays on disk until its answer is there, and then makes room for the push of this message.
        if (pending) continue;
      }
      const item = pending ? joinPush(pending, now, random) : newPush(now);
      if (item === pending) continue;
      // Awaited below, all at once.
      queue.replace(key, pending, item).catch(() => {});
      changed.push({ key, item });
    }
    await queue.durable();
    for (const push of changed) this.#offer(push);
    this.#pump();
  }

  /** Forgets all tokens and pending pushes of an account. @returns resolves when that is on disk */
  async forget(account: string): Promise<void> {
    const { tokens, queue } = this.#options;
    const ids = tokens.list(account).map(({ token }) => tokenId(token));
    tokens.update(account, () => []).catch(() => {});
    const keys = [...queue.keysOf(account), ...ids.map((id) => ({ account, tokenId: id }))];
    for (const key of keys) queue.remove(key).catch(() => {});
    await queue.durable();
  }

  /** Stops sending. Pushes on the wire have `deadlineMs` to be answered; they stay on disk if they are not. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#tick);
    if (this.#onTheWire > 0) {
      await new Promise<void>((resolve) => {
        const cutOff = setTimeout(resolve, deadlineMs);
        this.#onEmptyWire = () => {
          clearTimeout(cutOff);
          resolve();
        };
      });
    }
    await this.#provider.close();
    if (this.#onTheWire > 0) await new Promise((resolve) => setImmediate(resolve));
    this.#outcomes.stop();
  }

  /** A push has reached the disk. */
  #offer({ key, item: { dueAt } }: QueuedPush): void {
    if (dueAt > this.#options.now()) this.#wakeAt(dueAt);
    else this.#window.offer(key);
  }

  /** Sends as much as there are places for. Never throws: nothing else would ever start the sending again. */
  #pump(): void {
    if (this.#isStopped || this.#isPaused || this.#outcomes.isFull) return;
    try {
      for (;;) {
        for (let found = this.#window.next(); found; found = this.#window.next()) {
          this.#onTheWire++;
          found.taken.isOnTheWire = true;
          void this.#process(found.taken, found.lane);
        }
        const { count, nextDueAt } = this.#window.refill();
        for (const time of [nextDueAt, this.#window.retryAt()]) this.#wakeAt(time);
        if (count === 0) return;
      }
    } catch (error) {
      this.#pause(error);
    }
  }

  /** A service is being left alone; its pushes come back some time after it is asked again, and lose no attempt. */
  #postpone(key: PushKey, retryAt: number): void {
    const { queue, random } = this.#options;
    const item = queue.get(key);
    const dueAt = retryAt + Math.round(MAX_PAUSE_MS * random());
    if (!item) return;
    queue.put(key, { ...item, dueAt }).then(
      () => this.#wakeAt(dueAt),
      (error) => this.#pause(error),
    );
  }

  /** One push from window to answer. Never rejects. */
  async #process(taken: Taken, lane: Lane<Taken>): Promise<void> {
    let written: Promise<void> | undefined;
    let outcome: Outcome | undefined;
    const provider = this.#provider.current;
    try {
      outcome = await this.#attempt(taken, provider);
      written = outcome && this.#outcomes.write(taken, outcome, provider.name);
    } catch (error) {
      this.#pause(error);
    }
    if (!written) this.#window.drop(taken);
    // What a provider did that has been replaced tells nothing about the one there is.
    const isOld = provider !== this.#provider.current;
    this.#ended(taken, lane, outcome === 'expired' || isOld ? undefined : outcome);
    this.#onTheWire--;
    if (this.#onTheWire === 0) this.#onEmptyWire?.();
    this.#pump();
    await this.#written(taken, written);
  }

  /** Goes on when an outcome is on disk, or later if it does not get there. Never rejects. */
  async #written(taken: Taken, written: Promise<void> | undefined): Promise<void> {
    try {
      await written;
      // Whatever is on disk under this key now is to be sent when it is due.
      if (!taken.isOver && !this.#isStopped) this.#wakeAt(this.#options.queue.get(taken.key)?.dueAt);
    } catch (error) {
      this.#pause(error);
    }
  }

  #ended(taken: Taken, lane: Lane<Taken>, outcome: PushOutcome | undefined): void {
    const { log, metrics, now } = this.#options;
    const change = lane.ended(taken, outcome, now());
    if (this.#isStopped) return;
    // Also after a probe that failed, because pushes have come while it was on the wire.
    this.#window.block(lane);
    if (change === undefined) return;
    metrics.circuit(lane.name, change);
    const message = change === 'opened' ? 'push service fails: pushes to it wait' : 'push service is back';
    log.warn(message, { provider: lane.name });
  }

  /** Sends one push. Undefined: there was nothing to send any more, or the process ends. */
  async #attempt({ key }: Taken, provider: RoutedProvider): Promise<Outcome | undefined> {
    const { tokens, queue, metrics, now } = this.#options;
    const item = queue.get(key);
    if (!item) return undefined;
    const token = tokens.get(key.account, key.tokenId);
    if (!token || !isLive(token, now())) {
      await queue.remove(key);
      return undefined;
    }
    if (isExpired(item, now())) return 'expired';
    // The newest message it announces tells the push from those before it.
    const outcome = await provider.send(token.token, item.expiresAt);
    // Cut off by our own end: no failure of the provider, and no attempt.
    if (this.#isStopped && outcome.kind === 'retry') return undefined;
    if (outcome.kind === 'retry') this.#failures++;
    metrics.answered(provider.name, outcome, now() - item.queuedAt);
    return outcome;
  }

  #wakeAt(time: number | undefined): void {
    if (time === undefined || this.#isStopped || time >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = time;
    const wake = () => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#window.look();
      this.#pump();
    };
    this.#timer = setTimeout(wake, Math.max(time - this.#options.now(), 0));
  }

  async #lookAgain(): Promise<void> {
    const { queue, log, now } = this.#options;
    if (this.#failures > 0) log.warn('pushes failed', { provider: this.#provider.current.name, count: this.#failures });
    this.#failures = 0;
    try {
      await queue.rebase(now());
      this.#window.look();
      this.#pump();
    } catch (error) {
      this.#pause(error);
    }
  }

  /** After an error of our own: says so, and goes on later. */
  #pause(error: unknown): void {
    if (this.#isPaused || this.#isStopped) return;
    this.#isPaused = true;
    const ms = this.#options.pauseMs ?? PAUSE_MS;
    this.#options.log.error('push queue error; sending pauses', { error, ms });
    setTimeout(async () => {
      if (this.#isStopped) return;
      this.#isPaused = false;
      const again = this.#outcomes.retry().map(({ taken, written }) => this.#written(taken, written));
      this.#window.look();
      this.#pump();
      await Promise.all(again);
      if (again.length > 0) this.#pump();
    }, ms).unref();
  }
}
