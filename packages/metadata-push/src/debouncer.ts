/**
 * One push per device and second: many messages at once, or several relays of one user, wake a phone once. A push that comes
 * while one to the same device is on the wire shares its outcome; one that comes within a second after a delivery counts as
 * delivered. A failure is never shared with what comes after it. Source: chatmail/notifiers src/debouncer.rs for the second.
 */

import type { PushOutcome } from './providers/provider.ts';

export const DEBOUNCE_MS = 1000;
/** Devices remembered at most; beyond that some are woken twice. */
const MAX_DEVICES = 100_000;

interface Recent {
  /** When it was delivered, ms; undefined while it is on the wire. */
  deliveredAt: number | undefined;
  readonly outcome: Promise<PushOutcome>;
}

export class Debouncer {
  readonly #now: () => number;
  /** In order of beginning, so that the oldest are first. */
  readonly #recent = new Map<string, Recent>();

  /** @param now a clock that only goes forward, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Pushes to a device unless that has just been done.
   *
   * @param id names the device
   * @returns the outcome, and whether it is that of another push
   */
  async push(id: string, send: () => Promise<PushOutcome>): Promise<{ outcome: PushOutcome; isShared: boolean }> {
    const now = this.#now();
    this.#dropOld(now);
    const known = this.#recent.get(id);
    if (known && (known.deliveredAt === undefined || now - known.deliveredAt < DEBOUNCE_MS)) {
      return { outcome: await known.outcome, isShared: true };
    }
    const recent: Recent = { deliveredAt: undefined, outcome: send() };
    this.#recent.delete(id);
    this.#recent.set(id, recent);
    try {
      const outcome = await recent.outcome;
      if (outcome.kind === 'delivered') recent.deliveredAt = this.#now();
      return { outcome, isShared: false };
    } finally {
      if (recent.deliveredAt === undefined && this.#recent.get(id) === recent) this.#recent.delete(id);
    }
  }

  #dropOld(now: number): void {
    for (const [id, { deliveredAt }] of this.#recent) {
      const isOver = deliveredAt !== undefined && now - deliveredAt >= DEBOUNCE_MS;
      if (!isOver && this.#recent.size < MAX_DEVICES) return;
      this.#recent.delete(id);
    }
  }
}
