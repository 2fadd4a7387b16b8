/**
 * A circuit breaker for one push service: after a row of failures, of several accounts, it is asked by one push at a time, at growing
 * intervals, until one succeeds. Pushes that wait for that cost no attempt, and nobody else's places on the wire. What is said of
 * one token does not count, so that nobody can stop a service with tokens of their own. Pure: the time is an argument.
 */

import type { PushOutcome, RetryReason } from './providers/provider.ts';

/** Failures without a success between them that open the circuit. */
export const MAX_FAILURES = 20;
/** So many must have failed: the failures of one or two say more about them than about the service. */
export const MIN_FAILING = 5;
/** The first pause; each further one is twice as long. */
export const FIRST_PAUSE_MS = 5000;
/** How long a service that is back may go unnoticed. */
export const MAX_PAUSE_MS = 60_000;
/** The longest Retry-After that makes all pushes of a service wait. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** How many of those that failed are remembered. */
const MAX_REMEMBERED = 100;

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
  /** Whose pushes failed since the last success. */
  readonly #failing = new Set<string>();
  /** The Retry-After that all failures since the last success have asked for. */
  #askedMs = Number.POSITIVE_INFINITY;
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

  /** True when a push of `who` failed since the last success: another's says more about whether the service is back. */
  hasFailed(who: string): boolean {
    return this.#failing.has(who);
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
   * @param who whose it was: an account, or a device
   * @returns what changed, for the log
   */
  ended(outcome: PushOutcome | undefined, isProbe: boolean, now: number, who: string): 'opened' | 'closed' | undefined {
    if (isProbe) this.#hasProbe = false;
    if (outcome === undefined) return undefined;
    // A service that judges a token is there.
    if (outcome.kind !== 'retry' || outcome.scope === 'token') return this.reset();
    if (!SERVICE_FAILURES.has(outcome.reason)) return undefined;
    this.#failures++;
    if (this.#failing.size < MAX_REMEMBERED) this.#failing.add(who);
    this.#askedMs = Math.min(this.#askedMs, outcome.afterMs ?? 0);
    const isOpen = this.#openUntil !== undefined;
    const isRow = this.#failures >= MAX_FAILURES && this.#failing.size >= MIN_FAILING;
    // Those sent before it opened come back one by one and say nothing new.
    if (isOpen ? !isProbe : !isRow) return undefined;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, FIRST_PAUSE_MS), MAX_PAUSE_MS);
    this.#openUntil = now + Math.max(this.#pauseMs, Math.min(this.#askedMs, MAX_RETRY_AFTER_MS));
    return isOpen ? undefined : 'opened';
  }

  /** The service is another one now, or is back. */
  reset(): 'closed' | undefined {
    const wasOpen = this.#openUntil !== undefined;
    this.#hasProbe = false;
    if (this.#failures > 0) this.#failing.clear();
    this.#failures = 0;
    this.#askedMs = Number.POSITIVE_INFINITY;
    this.#pauseMs = 0;
    this.#openUntil = undefined;
    return wasOpen ? 'closed' : undefined;
  }
}
