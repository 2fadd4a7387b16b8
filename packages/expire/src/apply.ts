/**
 * [io] Removes what the plan names. Every step is safe to be killed in: a mailbox is first renamed out of the way, into
 * `MAILBOXES_DIR/.expired/RUN/`, and only then taken apart, so that nobody ever logs in to half an account, and the next run
 * finds what is left to do there. A last component is never followed when it is a link: it is unlink(2) that removes.
 */

import { randomBytes } from 'node:crypto';
import { chownSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { type BytePath, toSystemPath } from './byte-path.ts';
import type { Removal } from './plan.ts';
import { type ReportProblem, systemErrorCode } from './scan.ts';

/** Dovecot's cached quota sum (Maildir++); without it Dovecot counts again. */
const QUOTA_CACHE_FILE = 'maildirsize';
/** Holds mailboxes between their renaming and their end. Begins with a dot, as no address can. */
const EXPIRED_DIRECTORY = '.expired';

/** A mailbox that has been renamed away: its old name, and where it is now. */
export interface SetAside {
  readonly name: BytePath;
  readonly path: BytePath;
}

/** Removes files of one mailbox; returns the removals that really happened (with `isDryRun`: would happen). */
export function removeMessages(
  mailbox: BytePath,
  removals: readonly Removal[],
  isDryRun: boolean,
  report: ReportProblem,
): Removal[] {
  if (removals.length === 0) return [];
  // Before, so that a run killed half-way leaves no sum that is too high; after, because Dovecot may count meanwhile.
  if (!isDryRun) removeFile(`${mailbox}/${QUOTA_CACHE_FILE}`, report);
  const removed = removals.filter(({ message }) => {
    const path = `${message.folder.path}/${message.name}`;
    return isRegularFile(path, report) && (isDryRun || removeFile(path, report));
  });
  if (!isDryRun) removeFile(`${mailbox}/${QUOTA_CACHE_FILE}`, report);
  return removed;
}

/**
 * Moves mailboxes out of the reach of Dovecot and doveauth, one atomic rename each.
 *
 * @param isStillUnused asked right before and right after the move: who logged in meanwhile gets the mailbox back
 */
export function setAside(
  mailboxesDir: BytePath,
  names: Iterable<BytePath>,
  isStillUnused: (mailbox: BytePath) => boolean,
  report: ReportProblem,
): SetAside[] {
  const moved: SetAside[] = [];
  let runDirectory: BytePath | undefined;
  for (const name of names) {
    const mailbox = `${mailboxesDir}/${name}`;
    if (!isStillUnused(mailbox)) continue;
    runDirectory ??= makeRunDirectory(mailboxesDir, report);
    if (runDirectory === undefined) break;
    const path = `${runDirectory}/${name}`;
    if (!rename(mailbox, path, report)) continue;
    // A login between the question and the rename has touched the password file that is now here.
    if (isStillUnused(path) || !rename(path, mailbox, report)) moved.push({ name, path });
  }
  return moved;
}

/** Mailboxes that an earlier, interrupted run has set aside. */
export function findSetAside(mailboxesDir: BytePath, report: ReportProblem): SetAside[] {
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  return subdirectories(expired, report).flatMap((run) =>
    subdirectories(`${expired}/${run}`, report).map((name) => ({ name, path: `${expired}/${run}/${name}` })),
  );
}

/** Empties a mailbox that was set aside. Its bare directory remains, as the note that its state is still to be forgotten. */
export function emptySetAside({ path }: SetAside, report: ReportProblem): boolean {
  return emptyDirectory(path, report);
}

/** Removes the empty directories of mailboxes that are gone and forgotten, and their parents where those are empty too. */
export function removeSetAside(mailboxesDir: BytePath, setAsides: readonly SetAside[], report: ReportProblem): void {
  for (const { path } of setAsides) removeDirectory(path, report);
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  if (!isDirectory(expired)) return;
  for (const run of subdirectories(expired, report)) removeDirectory(`${expired}/${run}`, report);
  removeDirectory(expired, report);
}

function makeRunDirectory(mailboxesDir: BytePath, report: ReportProblem): BytePath | undefined {
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  const run = `${expired}/run-${randomBytes(6).toString('hex')}`;
  attempt(expired, ['EEXIST'], report, () => makeDirectory(mailboxesDir, expired));
  if (!isDirectory(expired)) {
    report({ path: expired, code: 'ENOTDIR' });
    return undefined;
  }
  return attempt(run, [], report, () => makeDirectory(mailboxesDir, run)) ? run : undefined;
}

/** False for a link, also for one that leads to a directory: it would lead the mailboxes out of theirs. */
function isDirectory(path: BytePath): boolean {
  return lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function makeDirectory(mailboxesDir: BytePath, path: BytePath): void {
  mkdirSync(toSystemPath(path), { mode: 0o700 });
  // An operator may run this as root once; the timer's unprivileged user must still be able to finish the work.
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(toSystemPath(mailboxesDir));
  chownSync(toSystemPath(path), uid, gid);
}

function isRegularFile(path: BytePath, report: ReportProblem): boolean {
  try {
    return lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.isFile() ?? false;
  } catch (error) {
    report({ path, code: systemErrorCode(error) });
    return false;
  }
}

/** True when this call removed the file; what is gone already is no problem. */
function removeFile(path: BytePath, report: ReportProblem): boolean {
  return attempt(path, ['ENOENT'], report, () => unlinkSync(toSystemPath(path)));
}

function removeDirectory(path: BytePath, report: ReportProblem): boolean {
  // Not empty: another run put something in, or a problem with its contents has been reported.
  return attempt(path, ['ENOENT', 'ENOTEMPTY', 'EEXIST'], report, () => rmdirSync(toSystemPath(path)));
}

function rename(from: BytePath, to: BytePath, report: ReportProblem): boolean {
  // Back onto an account that was created anew meanwhile: the new one stays.
  return attempt(from, ['ENOENT', 'ENOTEMPTY', 'EEXIST'], report, () =>
    renameSync(toSystemPath(from), toSystemPath(to)),
  );
}

/** Removes everything in a directory, without recursion, so that nesting costs no stack. True when it is empty then. */
function emptyDirectory(root: BytePath, report: ReportProblem): boolean {
  const found = [root];
  let isEmpty = true;
  // The list grows while it is read; each directory comes after its parent.
  for (let index = 0; index < found.length; index++) {
    const directory = found[index]!;
    for (const entry of entriesOf(directory, report)) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory()) found.push(path);
      else isEmpty = removeFile(path, report) && isEmpty;
    }
  }
  for (const directory of found.slice(1).reverse()) isEmpty = removeDirectory(directory, report) && isEmpty;
  return isEmpty;
}

function subdirectories(path: BytePath, report: ReportProblem): BytePath[] {
  if (!isDirectory(path)) return [];
  return entriesOf(path, report)
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function entriesOf(path: BytePath, report: ReportProblem) {
  let entries: ReturnType<typeof readEntries> = [];
  attempt(path, ['ENOENT'], report, () => {
    entries = readEntries(path);
  });
  return entries;
}

function readEntries(path: BytePath) {
  return readdirSync(toSystemPath(path), { encoding: 'latin1', withFileTypes: true });
}

function attempt(path: BytePath, expected: readonly string[], report: ReportProblem, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (!expected.includes(code)) report({ path, code });
    return false;
  }
}
