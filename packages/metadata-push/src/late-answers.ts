/**
 * [io] Answers in time: a relay whose push takes long is told to come again, and when the push is delivered after all, its repetition is
 * answered by that instead of ringing the device a second time. A repetition is known by the relay's own name for the push, so that a push
 * which announces something else is sent. Relays of today name none: of theirs, the next to the device is taken for the repetition.
 */

import type { PushOutcome } from './providers/provider.ts';

/** Longest wait for a service, ms. A relay has a limited number of requests on the wire, and others wait for their places. */
export const PATIENCE_MS = 5000;
/** A late delivery is remembered for this long: relays come again after 8 s to 11 minutes, later only after several failures. */
export const REMEMBERED_MS = 15 * 60_000;
/** Late deliveries remembered at most; of more than that, some devices are rung twice. About 15 MB. */
const MAX_REMEMBERED = 100_000;

/** What came of a push, and whether that was another one to the same device. */
export interface Sent {
  readonly outcome: PushOutcome;
  readonly isShared: boolean;
}

export interface LateAnswersOptions {
  /** A clock that only goes forward, ms. */
  readonly now: () => number;
  readonly patienceMs?: number | undefined;
}

export class LateAnswers {
  readonly #options: LateAnswersOptions;
  /** Pushes on the wire whose relays were told to come again. */
  readonly #waiting = new Set<string>();
  /** When such pushes were delivered, the earliest first. */
  readonly #delivered = new Map<string, number>();

  constructor(options: LateAnswersOptions) {
    this.#options = options;
  }

  /**
   * Sends a push, unless it is the repetition of one that was delivered late. Rejects as `send` does.
   *
   * @param name names the push: its device, and what the relay calls it
   */
  push(name: string, send: () => Promise<Sent>): Promise<Sent> {
    const { now, patienceMs = PATIENCE_MS } = this.#options;
    this.#dropOld(now());
    if (this.#delivered.delete(name)) return Promise.resolve({ outcome: { kind: 'delivered' }, isShared: true });
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        this.#waiting.add(name);
        resolve(LATE);
      }, patienceMs);
      const end = (outcome: PushOutcome | undefined) => {
        clearTimeout(timer);
        const isAwaited = this.#waiting.delete(name);
        // Whoever hears of it now, or has heard, does not come again for it.
        if (!isLate) this.#delivered.delete(name);
        else if (isAwaited && outcome?.kind === 'delivered') this.#delivered.set(name, now());
      };
      send().then(
        (sent) => {
          end(sent.outcome);
          resolve(sent);
        },
        (error) => {
          end(undefined);
          reject(error);
        },
      );
    });
  }

  #dropOld(now: number): void {
    for (const [name, at] of this.#delivered) {
      if (now - at < REMEMBERED_MS && this.#delivered.size <= MAX_REMEMBERED) return;
      this.#delivered.delete(name);
    }
  }
}

const LATE: Sent = { outcome: { kind: 'retry', reason: 'timeout' }, isShared: false };
