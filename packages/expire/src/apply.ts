/**
 * [io] Removes what has expired. Every step is safe to be killed in: a mailbox is first renamed out of the way, into
 * `MAILBOXES_DIR/.expired/RUN/`, and only then taken apart, so that nobody ever logs in to half an account, and the next run
 * finds what is left to do there. A last component is never followed when it is a link: it is unlink(2) that removes.
 */

import { randomBytes } from 'node:crypto';
import { chownSync, lstatSync, mkdirSync, renameSync, rmdirSync, statSync, unlinkSync } from 'node:fs';
import { type BytePath, toSystemPath } from './byte-path.ts';
import { DirectoryReader, errorCode, type ReportProblem } from './directory.ts';
import type { Message } from './plan.ts';

/** Dovecot's cached quota sum (Maildir++); without it Dovecot counts again. */
const QUOTA_CACHE_FILE = 'maildirsize';
/** Holds mailboxes between their renaming and their end. Never a mailbox itself: those have an `@` in their name. */
const EXPIRED_DIRECTORY = '.expired';

/** Another run removes run directories that are empty, ours as well: so often we make a new one. */
const MAX_ATTEMPTS = 10;

/** A mailbox that has been renamed away: its old name, and where it is now. */
export interface SetAside {
  readonly name: BytePath;
  readonly path: BytePath;
}

/** Removes messages of one mailbox, in a dry run only says which it would. To be ended by {@link MessageRemover.end}. */
export class MessageRemover {
  readonly #quotaCache: BytePath;
  readonly #isDryRun: boolean;
  readonly #report: ReportProblem;
  #hasBegun = false;

  constructor(mailbox: BytePath, isDryRun: boolean, report: ReportProblem) {
    this.#quotaCache = `${mailbox}/${QUOTA_CACHE_FILE}`;
    this.#isDryRun = isDryRun;
    this.#report = report;
  }

  /** True when the message is gone by this (in a dry run: would be). */
  remove({ folder, name }: Message): boolean {
    const path = `${folder.path}/${name}`;
    if (!isRegularFile(path, this.#report)) return false;
    if (this.#isDryRun) return true;
    // Before the first, so that a run killed half-way leaves no sum that is too high.
    if (!this.#hasBegun) removeFile(this.#quotaCache, this.#report);
    this.#hasBegun = true;
    return removeFile(path, this.#report);
  }

  /** After the last, because Dovecot may have counted meanwhile. */
  end(): void {
    if (this.#hasBegun) removeFile(this.#quotaCache, this.#report);
  }
}

/**
 * Moves mailboxes out of the reach of Dovecot and doveauth, one atomic rename each, as they are asked for.
 *
 * @param isStillUnused asked right before and right after the move: who logged in meanwhile gets the mailbox back
 */
export function* setAside(
  mailboxesDir: BytePath,
  names: Iterable<BytePath>,
  isStillUnused: (mailbox: BytePath) => boolean,
  report: ReportProblem,
): Generator<SetAside> {
  let runDirectory: BytePath | undefined;
  for (const name of names) {
    const mailbox = `${mailboxesDir}/${name}`;
    if (!isStillUnused(mailbox)) continue;
    let path: BytePath | undefined;
    for (let attempt = 0; attempt < MAX_ATTEMPTS && path === undefined; attempt++) {
      runDirectory ??= makeRunDirectory(mailboxesDir, report);
      if (runDirectory === undefined) return;
      if (rename(mailbox, `${runDirectory}/${name}`, report)) path = `${runDirectory}/${name}`;
      // It is the mailbox that is gone, or a problem that has been reported.
      else if (isDirectory(runDirectory, report)) break;
      else runDirectory = undefined;
    }
    if (path === undefined) {
      if (runDirectory === undefined) report({ path: mailbox, code: 'ENOENT' });
      continue;
    }
    // A login between the question and the rename has touched the password file that is now here.
    if (isStillUnused(path) || !rename(path, mailbox, report)) yield { name, path };
  }
}

/** Mailboxes that an earlier, interrupted run has set aside, or `chatmailctl account delete`. */
export function* findSetAside(mailboxesDir: BytePath, report: ReportProblem): Generator<SetAside> {
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  for (const run of subdirectories(expired, report)) {
    for (const name of subdirectories(`${expired}/${run}`, report)) yield { name, path: `${expired}/${run}/${name}` };
  }
}

/** Empties a mailbox that was set aside. Its bare directory remains, as the note that its state is still to be forgotten. */
export function emptySetAside({ path }: SetAside, report: ReportProblem): boolean {
  return emptyDirectory(path, report);
}

/** Removes the empty directories of mailboxes that are gone and forgotten. */
export function removeSetAside(setAsides: readonly SetAside[], report: ReportProblem): void {
  for (const { path } of setAsides) removeDirectory(path, report);
}

/** Removes the directories that held mailboxes set aside, where they are empty. */
export function removeRunDirectories(mailboxesDir: BytePath, report: ReportProblem): void {
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  if (!isDirectory(expired, report)) return;
  for (const run of subdirectories(expired, report)) removeDirectory(`${expired}/${run}`, report);
  removeDirectory(expired, report);
}

function makeRunDirectory(mailboxesDir: BytePath, report: ReportProblem): BytePath | undefined {
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  const run = `${expired}/run-${randomBytes(6).toString('hex')}`;
  for (let tries = 1; ; tries++) {
    attempt(expired, ['EEXIST'], report, () => makeDirectory(mailboxesDir, expired));
    try {
      if (!lstatSync(toSystemPath(expired)).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
      makeDirectory(mailboxesDir, run);
      return run;
    } catch (error) {
      const code = errorCode(error);
      // Another run has just removed the empty `.expired`.
      if (code === 'ENOENT' && tries < MAX_ATTEMPTS) continue;
      report({ path: code === 'ENOTDIR' ? expired : run, code });
      return undefined;
    }
  }
}

function makeDirectory(mailboxesDir: BytePath, path: BytePath): void {
  mkdirSync(toSystemPath(path), { mode: 0o700 });
  // An operator may run this as root once; the timer's unprivileged user must still be able to finish the work.
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(toSystemPath(mailboxesDir));
  chownSync(toSystemPath(path), uid, gid);
}

/** False for a link, also for one that leads to a directory: it would lead the mailboxes out of theirs. */
function isDirectory(path: BytePath, report: ReportProblem): boolean {
  let answer = false;
  attempt(path, [], report, () => {
    answer = lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.isDirectory() ?? false;
  });
  return answer;
}

function isRegularFile(path: BytePath, report: ReportProblem): boolean {
  try {
    return lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.isFile() ?? false;
  } catch (error) {
    report({ path, code: errorCode(error) });
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
  const readers = [new DirectoryReader(root, report)];
  let isEmpty = true;
  try {
    for (let reader = readers.at(-1); reader; reader = readers.at(-1)) {
      const entry = reader.next();
      if (!entry) {
        readers.pop();
        if (readers.length > 0) isEmpty = removeDirectory(reader.path, report) && isEmpty;
        else isEmpty &&= !reader.hasFailed;
        continue;
      }
      const path = `${reader.path}/${entry.name}`;
      if (entry.isDirectory()) readers.push(new DirectoryReader(path, report));
      else isEmpty = removeFile(path, report) && isEmpty;
    }
  } finally {
    for (const reader of readers) reader.close();
  }
  return isEmpty;
}

function* subdirectories(path: BytePath, report: ReportProblem): Generator<BytePath> {
  const reader = new DirectoryReader(path, report);
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) if (entry.isDirectory()) yield entry.name;
  } finally {
    reader.close();
  }
}

function attempt(path: BytePath, expected: readonly string[], report: ReportProblem, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (!expected.includes(code)) report({ path, code });
    return false;
  }
}
