/**
 * What a run of `chatmail-expire` says at its end: one line for people, or one JSON object for machines, and notes on what the
 * operator should look at. Pure; none of it contains an address.
 */

import type { ExpirySummary } from './expiry.ts';
import type { ExpiryRules } from './plan.ts';

export interface RunFacts {
  readonly isDryRun: boolean;
  readonly durationMs: number;
}

/** One line, without line feed. */
export function formatSummary(summary: ExpirySummary, { isDryRun, durationMs }: RunFacts): string {
  const { accounts, accountsRemoved, leftoversRemoved, mailboxesFinished, messages, bytesRemoved } = summary;
  const verb = isDryRun ? 'would remove' : 'removed';
  const leftovers = leftoversRemoved === 0 ? '' : ` and ${leftoversRemoved} leftover directories`;
  const finished =
    mailboxesFinished === 0 ? '' : `, and ${mailboxesFinished} mailboxes that had been set aside earlier`;
  const end = isDryRun ? '; nothing was removed, --remove does it' : '';
  return (
    `${verb} ${accountsRemoved} of ${accounts} accounts${leftovers} and ${removedMessages(summary)} of ${messages} ` +
    `messages in the others (${(bytesRemoved / 1e6).toFixed(1)} MB)${finished} in ${(durationMs / 1000).toFixed(2)} s${end}`
  );
}

/** The same as one JSON object on one line. Names are stable. */
export function formatSummaryJson(summary: ExpirySummary, { isDryRun, durationMs }: RunFacts): string {
  return JSON.stringify({ dryRun: isDryRun, durationMs: Math.round(durationMs), ...summary });
}

/** Sentences about what a run could not or would not do. */
export function summaryNotes(summary: ExpirySummary, rules: ExpiryRules): string[] {
  const { accounts, accountsUnused, accountsUnsure, leftoversKept, messagesInFuture, problems } = summary;
  const notes: string[] = [];
  if (summary.isStopped) {
    const percent = rules.expire_max_accounts_percent;
    notes.push(
      `stopped before removing anything more: ${accountsUnused} of ${accounts} accounts count as unused, which is more than ` +
        `expire_max_accounts_percent = ${percent} allows at once. If a backup was restored without its file times, restore ` +
        `it again with them (the mtime of each 'password' file is the last login). If they really are unused, set ` +
        `expire_max_accounts_percent = 100 in chatmail.ini for one run.`,
    );
  }
  if (accountsUnsure > 0) {
    notes.push(
      `${accountsUnsure} accounts kept whole: the date of their last login is unreadable or in the future (-v)`,
    );
  }
  if (leftoversKept > 0) {
    notes.push(`${leftoversKept} directories without an account kept: they hold something unknown (-v)`);
  }
  if (messagesInFuture > 0) notes.push(`${messagesInFuture} messages kept: their date is in the future`);
  if (problems > 0) notes.push(`${problems} files or directories could not be read or removed (-v)`);
  return notes;
}

function removedMessages({ messagesRemoved: { age, large, quota } }: ExpirySummary): number {
  return age + large + quota;
}
