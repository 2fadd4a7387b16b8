/**
 * [io] `chatmail-quota-expire TARGET_MB MAILBOX_PATH`: cuts one mailbox down to a size, oldest messages first, never those of
 * the last 24 hours. Dovecot's `quota_warning` calls it at 75 % of the quota with 70 % as the target. It needs no
 * configuration, and touches nothing outside the directory it is given.
 */

import { lstatSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { EXIT_OK, EXIT_TEMPORARY, ExitError, UsageError } from '#core';
import { MessageRemover } from './apply.ts';
import { type BytePath, fromText, toSystemPath } from './byte-path.ts';
import { errorCode } from './directory.ts';
import type { Message } from './plan.ts';
import { parseCount, parseWords, runProgram } from './program.ts';
import { walkAgain, walkMailbox } from './scan.ts';
import { SpaceRule } from './space.ts';

const USAGE = `usage: chatmail-quota-expire TARGET_MB MAILBOX_PATH

Removes the oldest messages of a mailbox until it holds at most TARGET_MB megabytes (1,048,576 bytes each), but none that
arrived within the last 24 hours.
`;

const MEGABYTE = 1_048_576;
/** A mailbox that changes while it is counted is left in peace for so long, then longer: 15 s in all. */
const PAUSES_MS = [200, 800, 2000, 4000, 8000];

await runProgram('chatmail-quota-expire', USAGE, async (words) => {
  const { positionals } = parseWords(() => parseArgs({ args: words, allowPositionals: true, options: {} }));
  const [target, path] = positionals;
  if (target === undefined || path === undefined || positionals.length > 2) {
    throw new UsageError('write TARGET_MB MAILBOX_PATH');
  }
  const targetBytes = parseCount('TARGET_MB', target)! * MEGABYTE;
  if (targetBytes === 0) throw new UsageError('TARGET_MB 0 would remove all mail: write 1 or more');
  const mailbox = fromText(path.replace(/(?<=.)\/+$/, ''));
  checkMailbox(mailbox);

  let problems = 0;
  let removed = 0;
  const report = () => void problems++;
  const nowMs = Date.now();
  const space = new SpaceRule(targetBytes, { nowMs, realNowMs: nowMs });
  const remover = new MessageRemover(mailbox, false, report);
  walkMailbox(mailbox, { onMessage: (message) => space.count(message) }, report);
  const makeRoom = () =>
    space.removeOldest(
      (visit) => walkAgain(mailbox, visit),
      (message: Message) => {
        if (remover.remove(message)) removed++;
      },
    );
  let isDone = makeRoom();
  for (const pause of PAUSES_MS) {
    if (isDone) break;
    await setTimeout(pause);
    isDone = makeRoom();
  }
  remover.end();
  if (!isDone) {
    process.stderr.write('chatmail-quota-expire: nothing removed: the mailbox changes all the time; try again later\n');
  }
  if (removed > 0) process.stderr.write(`chatmail-quota-expire: removed ${removed} messages\n`);
  if (problems > 0) process.stderr.write(`chatmail-quota-expire: ${problems} files could not be read or removed\n`);
  return problems > 0 || !isDone ? EXIT_TEMPORARY : EXIT_OK;
});

/** @throws UsageError unless there is a maildir at this very path, not behind a link; ExitError when that cannot be seen */
function checkMailbox(mailbox: BytePath): void {
  if (!isDirectory(mailbox) || !(isDirectory(`${mailbox}/cur`) || isDirectory(`${mailbox}/new`))) {
    throw new UsageError('MAILBOX_PATH is no mailbox: it must be a directory that holds cur/ or new/');
  }
}

function isDirectory(path: BytePath): boolean {
  try {
    return lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    // Without the path: it is an address.
    const text = `MAILBOX_PATH cannot be read (${errorCode(error)}); run this as the user the mailbox belongs to`;
    throw new ExitError(EXIT_TEMPORARY, text);
  }
}
