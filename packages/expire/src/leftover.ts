/**
 * Directories that look like a mailbox and are none: no password, no message. They remain when a delivery or an index update
 * of Dovecot crosses the deletion of an account. Pure. What holds a single thing nobody here knows is left alone.
 */

import { ENFORCE_E2EE_FILE } from '#core';
import type { RunClock } from './plan.ts';

/** An account is a directory first and gets its password file within seconds; this is that, with a day to spare. */
const CREATION_GRACE_MS = 86_400_000;

/** Files that Dovecot (2.3 and 2.4), today's relays and doveauth leave in a mailbox. None of them is anybody's data. */
const OWN_FILE =
  /^(?:dovecot[.-][\w.-]+|maildirsize|maildirfolder|subscriptions|metadata\.json|(?:metadata\.json|password)\.lock)$/;

/** What is known of a directory without an account, after its messages have expired. */
export interface Remains {
  readonly messages: number;
  /** True when something in it is neither a message nor a file for which {@link isOwnFile} holds. */
  readonly holdsUnknown: boolean;
  /** False when something in it could not be read. */
  readonly isComplete: boolean;
  /** mtime of the directory; undefined when it could not be read. */
  readonly changedAtMs: number | undefined;
}

/** True for a file that is nobody's loss. Links, sockets and the like are no files. */
export function isOwnFile(name: string): boolean {
  return name === ENFORCE_E2EE_FILE || OWN_FILE.test(name);
}

/**
 * `leftover`: nothing would be lost with the directory. `unknown`: it would be one, but for something nobody here knows.
 * `keep`: it holds messages, is perhaps being created, or could not be read.
 */
export function judgeRemains(remains: Remains, clock: RunClock): 'leftover' | 'unknown' | 'keep' {
  const { messages, holdsUnknown, isComplete, changedAtMs } = remains;
  if (messages > 0 || !isComplete || changedAtMs === undefined) return 'keep';
  if (changedAtMs >= clock.nowMs - CREATION_GRACE_MS) return 'keep';
  return holdsUnknown ? 'unknown' : 'leftover';
}
