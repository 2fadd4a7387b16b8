/**
 * When a mailbox needs a second change so that no idling IMAP session misses a message. All times are ms since the epoch.
 *
 * Dovecot's imap waits 500 ms after a change before it looks at the mailbox (src/lib-storage/mailbox-watch.c
 * NOTIFY_DELAY_MSECS). imap-hibernate does not wait, but sees only changes that come after the session was handed to it: of a
 * session that hibernates within the 500 ms, the change is lost. Any change after them wakes such a session at once. One
 * that comes while imap waits anyway is harmless, and so is one a hibernation swallows, because it announces nothing.
 */

/** What imap waits. */
export const DOVECOT_DELAY_MS = 500;
/**
 * From the delivery to the second change. Above 500, so that every session the message was lost on is hibernated by then.
 * Not much above, because that is how late those hear of it. 600 rather than 510: a session that was woken by the message and idles
 * again is hibernated 1 s later, and a change in the second half of that second would keep it awake for another one.
 */
export const WAKE_AFTER_MS = 600;
/** A change this much less than {@link WAKE_AFTER_MS} after a message is still late enough for it. */
export const MERGE_MS = 80;
/** A machine that keeps its times less well than this may have delayed Dovecot too. */
export const LATE_MS = 50;
/** Further changes on such a machine, each {@link WAKE_AFTER_MS} after the one before. */
export const MAX_REPEATS = 4;
/** Time stamps of files are those of the last clock tick, at most 10 ms ago. */
const TICK_MS = 10;
/** A `new/` that was changed longer before the push hook ran was not changed by this message. */
const MAX_HOOK_MS = 1000;

/**
 * When the message was put into `new/`, as far as can be told.
 *
 * @param noticedAt when the push hook told us
 * @param changedAt the mtime of `new/` at that moment; undefined when it has none
 */
export function deliveryTime(noticedAt: number, changedAt: number | undefined): number {
  if (changedAt === undefined || !isFine(changedAt)) return noticedAt;
  return changedAt > noticedAt || changedAt < noticedAt - MAX_HOOK_MS ? noticedAt : changedAt;
}

/**
 * True when something has changed the mailbox after the time in which a message can be lost: usually the session that announced
 * the message and moved it from `new/` to `cur/`.
 *
 * @param changes the mtimes of `new/` and `cur/`
 */
export function hasChangedSince(deliveredAt: number, changes: readonly number[], now: number): boolean {
  return changes.some((at) => isFine(at) && at >= deliveredAt + DOVECOT_DELAY_MS + TICK_MS && at <= now);
}

/** Some file systems keep whole seconds: of no use here. */
function isFine(time: number): boolean {
  return time % 1000 !== 0;
}
