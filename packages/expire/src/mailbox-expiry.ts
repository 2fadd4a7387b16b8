/**
 * [io] The messages of one mailbox: read, judged, removed, counted. Imports nothing of core, because the helper thread loads
 * it too and every library would be in memory twice.
 */

import { MessageRemover } from './apply.ts';
import type { BytePath } from './byte-path.ts';
import { errorCode, type ReportProblem } from './directory.ts';
import {
  type ExpiryRules,
  isInFuture,
  type Message,
  QUOTA_TARGET_FACTOR,
  type RemovalReason,
  type RunClock,
  reasonOfAge,
} from './plan.ts';
import { walkAgain, walkMailbox } from './scan.ts';
import { SpaceRule } from './space.ts';

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

/** Told what happens in a mailbox. */
export interface MailboxEvents {
  onRemoval(path: BytePath, reason: RemovalReason): void;
  onProblem: ReportProblem;
  /** Whatever is no message. */
  onExtra?(name: BytePath, isFile: boolean): void;
}

/** What is left of a mailbox. */
export interface MailboxRest {
  readonly messages: number;
  /** False when something could not be read. */
  readonly isComplete: boolean;
}

/** Removes the messages of one mailbox that must go, and adds it to `tally`. Never throws: other mailboxes wait. */
export function expireMailbox(
  mailbox: BytePath,
  options: MailboxExpiryOptions,
  tally: MessageTally,
  events: MailboxEvents,
): MailboxRest {
  const rest = { messages: 0, isComplete: false };
  try {
    rest.isComplete = expireMessages(mailbox, options, tally, events, rest);
  } catch (error) {
    events.onProblem({ path: mailbox, code: errorCode(error) });
  }
  return rest;
}

function expireMessages(
  mailbox: BytePath,
  { rules, clock, isDryRun }: MailboxExpiryOptions,
  tally: MessageTally,
  events: MailboxEvents,
  rest: { messages: number },
): boolean {
  const remover = new MessageRemover(mailbox, isDryRun, events.onProblem);
  const remove = (message: Message, reason: RemovalReason) => {
    if (!remover.remove(message)) return;
    rest.messages--;
    tally.messagesRemoved[reason]++;
    tally.bytesRemoved += message.bytes;
    events.onRemoval(`${message.folder.path}/${message.name}`, reason);
  };
  const space = new SpaceRule(rules.max_mailbox_size * QUOTA_TARGET_FACTOR, clock);
  const visitor = {
    onMessage: (message: Message) => {
      rest.messages++;
      tally.messages++;
      if (isInFuture(message.arrivedAtMs, clock)) tally.messagesInFuture++;
      const reason = reasonOfAge(message, rules, clock);
      if (reason) remove(message, reason);
      else space.count(message);
    },
    ...(events.onExtra && { onExtra: events.onExtra }),
  };
  const isComplete = walkMailbox(mailbox, visitor, events.onProblem);
  const forEachKept = (visit: (message: Message) => void) =>
    walkAgain(mailbox, (message) => reasonOfAge(message, rules, clock) ?? visit(message));
  // A mailbox that changes all the time waits for the next run; until then Dovecot's quota limits it.
  space.removeOldest(forEachKept, (message) => remove(message, 'quota'));
  remover.end();
  return isComplete;
}
