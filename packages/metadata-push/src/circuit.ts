/**
 * A circuit breaker for one push service: after a row of failures it is asked by one push at a time, at growing intervals,
 * until one succeeds. Pushes that wait for that cost no attempt, and nobody else's places on the wire. Pure: the time is an argument.
 */

import type { PushOutcome, RetryReason } from './providers/provider.ts';

/** Failures without a success between them that open the circuit. */
export const MAX_FAILURES = 20;
/** The first pause; each further one is twice as long. */
export const FIRST_PAUSE_MS = 5000;
/** How long a service that is back may go unnoticed. */
export const MAX_PAUSE_MS = 60_000;
/** The longest Retry-After that makes all pushes of a service wait. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;

/** What says something about the service, rather than about one token or ourselves. */
const SERVICE_FAILURES: ReadonlySet<RetryReason> = new Set([
  'status-3xx',
  'status-4xx',
  'status-5xx',
  'rate-limited',
  'refused',
  'timeout',
  'connection',
]);

export class Circuit {
  #failures = 0;
  #pauseMs = 0;
  #openUntil: number | undefined;
  #hasProbe = false;

  /** True when the service is being left alone. */
  isOpen(): boolean {
    return this.#openUntil !== undefined;
  }

  /** When the service is to be asked again; undefined when it is asked all the time, or is being asked now. */
  retryAt(): number | undefined {
    return this.#hasProbe ? undefined : this.#openUntil;
  }

  /** True when another push may go out. */
  mayStart(now: number): boolean {
    return this.#openUntil === undefined || (!this.#hasProbe && now >= this.#openUntil);
  }

  /** A push goes out. @returns true when it is the one that asks whether the service is back */
  started(): boolean {
    this.#hasProbe = this.#openUntil !== undefined;
    return this.#hasProbe;
  }

  /**
   * A push came back.
   *
   * @param outcome undefined: it was not sent after all
   * @param isProbe what {@link started} said of it
   * @returns what changed, for the log
   */
  ended(outcome: PushOutcome | undefined, isProbe: boolean, now: number): 'opened' | 'closed' | undefined {
    if (isProbe) this.#hasProbe = false;
    if (outcome?.kind === 'delivered' || outcome?.kind === 'dead') return this.reset();
    if (outcome?.kind !== 'retry' || !SERVICE_FAILURES.has(outcome.reason)) return undefined;
    this.#failures++;
    const isOpen = this.#openUntil !== undefined;
    // Those sent before it opened come back one by one and say nothing new.
    if (isOpen ? !isProbe : this.#failures < MAX_FAILURES) return undefined;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), MAX_PAUSE_MS);
    this.#openUntil = now + Math.max(this.#pauseMs, Math.min(outcome.afterMs ?? 0, MAX_RETRY_AFTER_MS));
    return isOpen ? undefined : 'opened';
  }

  /** The service is another one now, or is back. */
  reset(): 'closed' | undefined {
    const wasOpen = this.#openUntil !== undefined;
    this.#hasProbe = false;
    this.#failures = 0;
    this.#pauseMs = 0;
    this.#openUntil = undefined;
    return wasOpen ? 'closed' : undefined;
  }
}
