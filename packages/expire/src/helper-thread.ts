/**
 * [io] The helper: a thread that expires mailboxes beside the main one. Walking a warm tree is bound by system calls, which
 * two threads make twice as fast; more of them would only cost memory, 9 MB each.
 */

import { parentPort, workerData } from 'node:worker_threads';
import type { BytePath } from './byte-path.ts';
import { emptyTally, expireMailbox, type MailboxExpiryOptions, type MessageTally } from './mailbox-expiry.ts';

/** What has become of one portion of mailboxes. Only numbers: names of what is in them could be any amount. */
export interface HelperReport {
  readonly mailboxes: number;
  readonly tally: MessageTally;
  readonly problems: number;
}

const options = workerData as MailboxExpiryOptions;

parentPort?.on('message', (mailboxes: readonly BytePath[]) => {
  const tally = emptyTally();
  let problems = 0;
  const events = { onRemoval: () => {}, onProblem: () => void problems++ };
  for (const mailbox of mailboxes) expireMailbox(mailbox, options, tally, events);
  const report: HelperReport = { mailboxes: mailboxes.length, tally, problems };
  parentPort?.postMessage(report);
});
