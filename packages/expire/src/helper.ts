/**
 * [io] Shares mailboxes between this thread and a helper. Both take portions from one list until it is empty.
 */

import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { BytePath } from './byte-path.ts';
import type { HelperReport } from './helper-thread.ts';
import type { MailboxExpiryOptions } from './mailbox-expiry.ts';

/** Mailboxes in a portion: some 3 ms of work, so that neither thread waits long for the other at the end. */
const PORTION = 64;
/** Portions sent ahead, so that the helper has work while this thread is busy. */
const SENT_AHEAD = 3;
const HELPER_THREAD = new URL(`./helper-thread${extname(import.meta.url)}`, import.meta.url);
/** Below this many mailboxes a thread takes longer to start than to be of use. */
export const MIN_MAILBOXES_FOR_HELPER = 2000;

/** Who does the work, and who is told of it. */
export interface SharedWork {
  expireHere(mailbox: BytePath): void;
  /** Told of every portion the helper has done. */
  onReport(report: HelperReport): void;
  /** The helper has ended early; what it had not reported is done here after all. */
  onHelperLost(error: Error): void;
}

/**
 * Works on all mailboxes, each of them either by `expireHere` or by the helper, in no particular order.
 *
 * @param expected how many there are, about
 * @throws whatever `expireHere` or the iteration of `mailboxes` throws
 */
export async function expireShared(
  mailboxes: Iterable<BytePath>,
  expected: number,
  options: MailboxExpiryOptions,
  work: SharedWork,
  helperThread = HELPER_THREAD,
): Promise<void> {
  const rest = mailboxes[Symbol.iterator]();
  if (expected < MIN_MAILBOXES_FOR_HELPER || availableParallelism() < 2) {
    for (let next = rest.next(); !next.done; next = rest.next()) work.expireHere(next.value);
    return;
  }
  const worker = new Worker(helperThread, {
    workerData: { rules: options.rules, clock: options.clock, isDryRun: options.isDryRun },
    // A thread does not inherit the small young generation of libexec/launch.
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  const finished = Promise.withResolvers<void>();
  // It may be rejected before anybody waits for it.
  finished.promise.catch(() => {});
  /** Portions the helper has not reported yet, in their order. */
  const sent: BytePath[][] = [];
  let isLost = false;
  const feed = () => {
    while (!isLost && sent.length < SENT_AHEAD) {
      const portion = takePortion(rest);
      if (portion.length === 0) break;
      worker.postMessage(portion);
      sent.push(portion);
    }
    if (sent.length === 0) finished.resolve();
  };
  const lose = (error: Error) => {
    if (isLost) return;
    isLost = true;
    work.onHelperLost(error);
    finished.resolve();
  };
  worker.on('error', lose);
  worker.on('exit', () => lose(new Error('the helper thread ended early')));
  worker.on('message', (report: HelperReport) => {
    try {
      sent.shift();
      work.onReport(report);
      feed();
    } catch (error) {
      // The directory of all mailboxes could not be read on. Thrown here it would end the process, and nobody could say why.
      isLost = true;
      finished.reject(error);
    }
  });
  try {
    feed();
    for (let portion = takePortion(rest); portion.length > 0; portion = takePortion(rest)) {
      for (const mailbox of portion) work.expireHere(mailbox);
      await setImmediate();
    }
    await finished.promise;
    for (const mailbox of sent.flat()) work.expireHere(mailbox);
  } finally {
    isLost = true;
    await worker.terminate();
  }
}

function takePortion(rest: Iterator<BytePath>): BytePath[] {
  const portion: BytePath[] = [];
  while (portion.length < PORTION) {
    const next = rest.next();
    if (next.done) break;
    portion.push(next.value);
  }
  return portion;
}
