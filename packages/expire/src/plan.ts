/**
 * What expires, and why: facts about accounts and messages in, removals with their reasons out. Pure. The rules are those
 * of today's relays, so that moving over changes nobody's retention; a day is 86,400 seconds, whatever the calendar says.
 * Ages are compared strictly: what is exactly N days old stays until the next run.
 */

import type { Config } from '#core';

export const DAY_MS = 86_400_000;
/** A message above this many bytes is large. */
export const LARGE_MESSAGE_BYTES = 200_000;
/** Part of `max_mailbox_size` that a mailbox is cut down to. */
export const QUOTA_TARGET_FACTOR = 0.7;
/** Messages as young as this are never removed for space: a mailbox that fills up in a day has a problem people must see. */
export const QUOTA_PROTECTED_MS = DAY_MS;
/** How far ahead of our clock a date may be before it counts as wrong: clocks are stepped by this much. */
export const CLOCK_TOLERANCE_MS = 60_000;

export type ExpiryRules = Pick<
  Config,
  | 'delete_mails_after'
  | 'delete_large_after'
  | 'delete_inactive_users_after'
  | 'max_mailbox_size'
  | 'expire_max_accounts_percent'
>;

/** The two clocks of a run, ms since 1970. */
export interface RunClock {
  /** What ages are counted from; earlier than `realNowMs` with `--days`. */
  readonly nowMs: number;
  /** What decides whether a date lies in the future. */
  readonly realNowMs: number;
}

/** What is known about the last login of a mailbox. */
export type LastLogin =
  | { readonly kind: 'known'; readonly atMs: number }
  /** There is no password file: a directory somebody left behind, or an account this very moment being created. */
  | { readonly kind: 'none' }
  /** The file is there and tells nothing. */
  | { readonly kind: 'unreadable' };

/** `keep` and `unused` are accounts; `unsure` ones keep everything they have; `leftover` is a directory without account. */
export type AccountVerdict = 'keep' | 'unused' | 'unsure' | 'leftover';

export type FolderKind = 'cur' | 'new' | 'tmp';

export interface Folder {
  readonly path: string;
  readonly kind: FolderKind;
}

export interface Message {
  readonly folder: Folder;
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly arrivedAtMs: number;
  readonly bytes: number;
}

export type RemovalReason = 'age' | 'large' | 'quota';

/** True for a date that cannot be right, because it has not come yet. Never a reason to delete, always one to tell. */
export function isInFuture(atMs: number, clock: RunClock): boolean {
  return atMs > clock.realNowMs + CLOCK_TOLERANCE_MS;
}

/** Decides about an account as a whole. */
export function judgeAccount(login: LastLogin, rules: ExpiryRules, clock: RunClock): AccountVerdict {
  if (login.kind === 'none') return 'leftover';
  if (login.kind === 'unreadable' || isInFuture(login.atMs, clock)) return 'unsure';
  return login.atMs < clock.nowMs - rules.delete_inactive_users_after * DAY_MS ? 'unused' : 'keep';
}

/**
 * True when a run may delete that many accounts. More than `expire_max_accounts_percent` of all at once is rather a backup
 * that lost its times than users who left. A single account of several is not (a relay of three must work too), unless the
 * limit is 0; the only account there is, is everybody's.
 */
export function mayDeleteAccounts(unused: number, accounts: number, rules: ExpiryRules): boolean {
  const percent = rules.expire_max_accounts_percent;
  return unused * 100 <= accounts * percent || (unused === 1 && accounts > 1 && percent > 0);
}

/** Why a message expires, whatever else its mailbox holds; undefined when it stays. */
export function reasonOfAge(message: Message, rules: ExpiryRules, clock: RunClock): 'age' | 'large' | undefined {
  if (message.arrivedAtMs < clock.nowMs - rules.delete_mails_after * DAY_MS) return 'age';
  // Only in cur/: one that came since a client last opened the mailbox stays for its full time.
  const isLarge = message.bytes > LARGE_MESSAGE_BYTES && message.folder.kind === 'cur';
  return isLarge && message.arrivedAtMs < clock.nowMs - rules.delete_large_after * DAY_MS ? 'large' : undefined;
}
