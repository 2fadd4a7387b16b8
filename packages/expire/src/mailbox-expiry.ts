/**
 * [io] The messages of one mailbox: read, planned, removed, counted. Imports nothing of core, because the helper thread loads
 * it too and every library would be in memory twice.
 */

import { removeMessages } from './apply.ts';
import type { BytePath } from './byte-path.ts';
import { type ExpiryRules, isInFuture, planMessages, type RemovalReason, type RunClock } from './plan.ts';
import { type ExtraFile, type ReportProblem, readMailbox } from './scan.ts';

export interface MailboxExpiryOptions {
  readonly rules: ExpiryRules;
  readonly clock: RunClock;
  readonly isDryRun: boolean;
}

/** What happened to messages; in a dry run, what would have. */
export interface MessageTally {
  /** Messages looked at. */
  messages: number;
  messagesRemoved: Record<RemovalReason, number>;
  /** As Dovecot's quota counts them: before compression. */
  bytesRemoved: number;
  /** Messages whose date lies in the future; they are kept. */
  messagesInFuture: number;
}

export function emptyTally(): MessageTally {
  return { messages: 0, messagesRemoved: { age: 0, large: 0, quota: 0 }, bytesRemoved: 0, messagesInFuture: 0 };
}

/** Adds one tally to another. */
export function addTally(sum: MessageTally, tally: MessageTally): void {
  sum.messages += tally.messages;
  for (const reason of ['age', 'large', 'quota'] as const) sum.messagesRemoved[reason] += tally.messagesRemoved[reason];
  sum.bytesRemoved += tally.bytesRemoved;
  sum.messagesInFuture += tally.messagesInFuture;
}

/** Removes the messages of one mailbox that must go, and adds it to `tally`. Returns what is left in it. */
export function expireMailbox(
  mailbox: BytePath,
  { rules, clock, isDryRun }: MailboxExpiryOptions,
  tally: MessageTally,
  onRemoval: (path: BytePath, reason: RemovalReason) => void,
  report: ReportProblem,
): { readonly messages: number; readonly extraFiles: readonly ExtraFile[] } {
  const { messages, extraFiles } = readMailbox(mailbox, report);
  const removed = removeMessages(mailbox, planMessages(messages, rules, clock), isDryRun, report);
  tally.messages += messages.length;
  for (const message of messages) if (isInFuture(message.arrivedAtMs, clock)) tally.messagesInFuture++;
  for (const { message, reason } of removed) {
    tally.messagesRemoved[reason]++;
    tally.bytesRemoved += message.bytes;
    onRemoval(`${message.folder.path}/${message.name}`, reason);
  }
  return { messages: messages.length - removed.length, extraFiles };
}
