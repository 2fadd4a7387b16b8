/**
 * Directories that look like a mailbox and are none: no password, no message. They remain when a delivery or an index update
 * of Dovecot crosses the deletion of an account. Pure. What holds a single file nobody here knows is left alone.
 */

import { ENFORCE_E2EE_FILE } from '#core';
import type { RunClock } from './plan.ts';

/** An account is a directory first and gets its password file within seconds; this is that, with a day to spare. */
const CREATION_GRACE_MS = 86_400_000;

/** Files that Dovecot (2.3 and 2.4), today's relays and doveauth leave in a mailbox. None of them is anybody's data. */
const OWN_FILE =
  /^(?:dovecot[.-][\w.-]+|maildirsize|maildirfolder|subscriptions|metadata\.json|(?:metadata\.json|password)\.lock)$/;

/**
 * True when nothing would be lost with the directory.
 *
 * @param fileNames files in it and below it, other than messages
 * @param changedAtMs mtime of the directory
 */
export function isLeftover(
  messages: number,
  fileNames: readonly string[],
  changedAtMs: number,
  clock: RunClock,
): boolean {
  return (
    messages === 0 &&
    changedAtMs < clock.nowMs - CREATION_GRACE_MS &&
    fileNames.every((name) => name === ENFORCE_E2EE_FILE || OWN_FILE.test(name))
  );
}
