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
/** Below this many mailboxes a thread takes longer to start than to be of use. */
export const MIN_MAILBOXES_FOR_HELPER = 2000;

/**
 * Works on all mailboxes, each of them either by `expireHere` or by the helper, in no particular order.
 *
 * @param expected how many there are, about
 * @param onReport told of every portion the helper has done
 * @throws whatever ends the helper or `expireHere`
 */
export async function expireShared(
  mailboxes: Iterable<BytePath>,
  expected: number,
  options: MailboxExpiryOptions,
  expireHere: (mailbox: BytePath) => void,
  onReport: (report: HelperReport) => void,
): Promise<void> {
  const rest = mailboxes[Symbol.iterator]();
  if (expected < MIN_MAILBOXES_FOR_HELPER || availableParallelism() < 2) {
    for (let next = rest.next(); !next.done; next = rest.next()) expireHere(next.value);
    return;
  }
  const worker = new Worker(new URL(`./helper-thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: { rules: options.rules, clock: options.clock, isDryRun: options.isDryRun },
    // A thread does not inherit the small young generation of libexec/launch.
    resourceLimits: { maxYoungGenerationSizeMb: 2 },
  });
  const finished = Promise.withResolvers<void>();
  // Awaited only after our own part; until then nobody else would look at a failure.
  finished.promise.catch(() => {});
  let sent = 0;
  const feed = () => {
    while (sent < SENT_AHEAD) {
      const portion = takePortion(rest);
      if (portion.length === 0) break;
      worker.postMessage(portion);
      sent++;
    }
    if (sent === 0) finished.resolve();
  };
  worker.on('error', finished.reject);
  worker.on('exit', () => finished.reject(new Error('the helper thread ended early')));
  worker.on('message', (report: HelperReport) => {
    sent--;
    onReport(report);
    feed();
  });
  try {
    feed();
    for (let portion = takePortion(rest); portion.length > 0; portion = takePortion(rest)) {
      for (const mailbox of portion) expireHere(mailbox);
      await setImmediate();
    }
    await finished.promise;
  } finally {
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
