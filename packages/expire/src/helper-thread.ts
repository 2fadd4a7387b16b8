/**
 * [io] The helper: a thread that expires mailboxes beside the main one. Walking a warm tree is bound by system calls, which
 * two threads make twice as fast; more of them would only cost memory, 9 MB each.
 */

import { parentPort, workerData } from 'node:worker_threads';
import type { BytePath } from './byte-path.ts';
import { emptyTally, expireMailbox, type MailboxExpiryOptions, type MessageTally } from './mailbox-expiry.ts';
import type { RemovalReason } from './plan.ts';
import type { Problem } from './scan.ts';

/** What has become of one portion of mailboxes. */
export interface HelperReport {
  readonly mailboxes: number;
  readonly tally: MessageTally;
  readonly removals: readonly (readonly [path: BytePath, reason: RemovalReason])[];
  readonly problems: readonly Problem[];
}

const options = workerData as MailboxExpiryOptions;

parentPort?.on('message', (mailboxes: readonly BytePath[]) => {
  const tally = emptyTally();
  const removals: [BytePath, RemovalReason][] = [];
  const problems: Problem[] = [];
  for (const mailbox of mailboxes) {
    expireMailbox(
      mailbox,
      options,
      tally,
      (path, reason) => removals.push([path, reason]),
      (problem) => problems.push(problem),
    );
  }
  const report: HelperReport = { mailboxes: mailboxes.length, tally, removals, problems };
  parentPort?.postMessage(report);
});
