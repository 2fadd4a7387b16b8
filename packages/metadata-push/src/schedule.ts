/**
 * When a push is sent, tried again and given up: 8 s, 64 s, 512 s and 4096 s after a failure, never later than 5 hours after
 * the newest message it announces. There is one pending push per token: further messages join it.
 * Source: chatmaild/notifier.py for the times; joining and jitter are ours. All times are ms since the epoch.
 */

import type { PushOutcome, RetryReason } from './providers/provider.ts';

export interface PushItem {
  /** When the oldest message it announces arrived. */
  readonly queuedAt: number;
  /** When it is given up: {@link MAX_AGE_MS} after the newest message it announces. */
  readonly expiresAt: number;
  /** When it is to be sent. */
  readonly dueAt: number;
  /** Failed attempts since the newest message. */
  readonly attempts: number;
  /** The provider asked not to be tried before this (Retry-After); 0 when it did not. */
  readonly notBefore: number;
}

/** A push this old wakes nobody in time any more. 5 h. */
export const MAX_AGE_MS = 5 * 60 * 60 * 1000;
/** The n-th retry comes 8^n seconds after the failure before it. */
export const BACKOFF_BASE = 8;
export const MAX_RETRIES = 4;
/** Retries are spread over this share of their delay, so that those of one outage do not come back all at once. */
export const JITTER = 0.25;
/** Push gateways answer 200 without sending when a token comes twice within a second, so a second push waits as long. */
export const FOLLOW_UP_MS = 1000;
/** Joining a push that waits to be sent is written down only when it adds at least this much to its life. */
const MIN_EXTENSION_MS = 60_000;
/** Nothing was sent: that is no failed attempt. */
const UNTRIED: ReadonlySet<RetryReason> = new Set(['busy', 'paused']);
/** A push dated further in the future than this was queued under a wrong clock. */
const MAX_FUTURE_MS = 60_000;

/** The push for a message that arrived now. */
export function newPush(now: number): PushItem {
  return { queuedAt: now, expiresAt: now + MAX_AGE_MS, dueAt: now, attempts: 0, notBefore: 0 };
}

/**
 * The push for a message that arrived at `arrivedAt`, while the push before it was on the wire; undefined when it would come too late.
 *
 * @param notBefore as in {@link PushItem}
 */
export function followUpPush(arrivedAt: number, now: number, notBefore: number): PushItem | undefined {
  const dueAt = Math.max(now + FOLLOW_UP_MS, notBefore);
  const item = { ...newPush(arrivedAt), dueAt, notBefore };
  return dueAt > item.expiresAt ? undefined : item;
}

/**
 * The pending push after one more message. One that waits after failures is tried again at the first step of the back-off, since the new
 * message deserves better than a wait of an hour; a Retry-After still holds. That is always written down, because the attempt before may
 * have reached the device all the same: the next announces something else, and must not be taken for its repetition. Returns `item`
 * itself when nothing changes.
 */
export function joinPush(item: PushItem, now: number, random: () => number): PushItem {
  const expiresAt = now + MAX_AGE_MS;
  if (item.attempts === 0) return expiresAt - item.expiresAt < MIN_EXTENSION_MS ? item : { ...item, expiresAt };
  const dueAt = Math.max(item.notBefore, Math.min(item.dueAt, now + backoffMs(1, random)));
  const isUnchanged = dueAt === item.dueAt && item.attempts === 1 && expiresAt === item.expiresAt;
  return isUnchanged ? item : { ...item, expiresAt, dueAt, attempts: 1 };
}

/**
 * The push after a failed attempt; undefined when it is to be given up.
 *
 * @param retryAfterMs what the provider asked for, if it did
 * @param random a number from 0 up to 1
 * @param isTried false: it was not sent, so only its age can end it
 */
export function retryPush(
  item: PushItem,
  now: number,
  random: () => number,
  retryAfterMs: number | undefined,
  isTried = true,
): PushItem | undefined {
  const attempts = item.attempts + (isTried ? 1 : 0);
  if (attempts > MAX_RETRIES) return undefined;
  const notBefore = askedTime(item, now, random, retryAfterMs);
  const dueAt = Math.max(now + backoffMs(isTried ? attempts : 1, random), notBefore);
  return dueAt > item.expiresAt ? undefined : { ...item, attempts, dueAt, notBefore };
}

/**
 * What becomes of a push after an attempt that did not find its token dead.
 *
 * @param outcome the provider's answer, or that the push was too old to be sent
 * @param againAt when a further message arrived while it was on the wire, if one did
 */
export function nextPush(
  item: PushItem,
  outcome: Exclude<PushOutcome, { kind: 'dead' }> | 'expired',
  againAt: number | undefined,
  now: number,
  random: () => number,
): { readonly next: PushItem | undefined; readonly isGivenUp: boolean } {
  const isFailed = outcome !== 'expired' && outcome.kind === 'retry';
  const afterMs = isFailed ? outcome.afterMs : undefined;
  const retried = isFailed ? retryPush(item, now, random, afterMs, !UNTRIED.has(outcome.reason)) : undefined;
  if (retried) return { next: againAt === undefined ? retried : joinPush(retried, now, random), isGivenUp: false };
  const next = againAt === undefined ? undefined : followUpPush(againAt, now, askedTime(item, now, random, afterMs));
  return { next, isGivenUp: isFailed || outcome === 'expired' };
}

/** True when the push is to be given up unsent. */
export function isExpired(item: PushItem, now: number): boolean {
  return now >= item.expiresAt;
}

/** The push as if it had been queued just now, when the clock was set back since; else `item` itself. */
export function rebasePush(item: PushItem, now: number): PushItem {
  const aheadMs = item.queuedAt - now;
  if (aheadMs <= MAX_FUTURE_MS) return item;
  return {
    ...item,
    queuedAt: now,
    expiresAt: item.expiresAt - aheadMs,
    dueAt: item.dueAt - aheadMs,
    notBefore: Math.max(0, item.notBefore - aheadMs),
  };
}

/** Before when the provider asked not to be tried: what it says now takes the place of what it said before. */
function askedTime(item: PushItem, now: number, random: () => number, retryAfterMs: number | undefined): number {
  return retryAfterMs === undefined ? item.notBefore : now + withJitter(retryAfterMs, random);
}

function backoffMs(attempts: number, random: () => number): number {
  return withJitter(1000 * BACKOFF_BASE ** attempts, random);
}

function withJitter(ms: number, random: () => number): number {
  return Math.round(ms * (1 + JITTER * random()));
}
