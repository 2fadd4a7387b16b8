/**
 * [io] Reads mailboxes: which accounts there are, which messages they hold. Synchronous on purpose: a walk over 100,000 small
 * directories spends more time in promises than in the kernel, and nobody else uses this event loop. Nothing of what is found
 * is held: a mailbox may hold a million messages. Symbolic links are never followed, nothing is opened, and a file is only
 * asked for its times and size when its name does not tell them.
 */

import { createHash } from 'node:crypto';
import { lstatSync, opendirSync, type Stats } from 'node:fs';
import { type BytePath, toSystemPath } from './byte-path.ts';
import { DirectoryReader, errorCode, type ReportProblem, visitNames } from './directory.ts';
import { parseMaildirName } from './maildir-name.ts';
import type { Folder, FolderKind, Message } from './plan.ts';

/** Entries fetched at a time from the directory of all mailboxes, so that its size does not decide our memory. */
const DIRECTORY_BATCH = 1024;

/** Told what a walk finds, as it finds it. It may remove what it is told of. */
export interface MailboxVisitor {
  onMessage(message: Message): void;
  /** Told of a directory of messages before and after those in it. */
  onFolder?(folder: Folder): void;
  /**
   * Whatever is no message: Dovecot's indexes, the password; links, sockets, directories among the messages.
   *
   * @param bytes on disk; 0 unless {@link ReadOptions.sizesOnDisk} is set
   */
  onExtra?(name: BytePath, isFile: boolean, bytes: number): void;
}

export interface ReadOptions {
  /** Ask every file for its size on disk: a name tells the size before compression, and only that of a message. */
  readonly sizesOnDisk?: boolean;
}

/**
 * Names of all mailbox directories: those with an `@` in it, as today's relays tell them from the rest. A dot in front may be
 * part of an address. Names come in the order of the directory; none when there is no such directory yet.
 *
 * @throws NodeJS.ErrnoException when the directory cannot be read
 */
export function* mailboxNames(mailboxesDir: BytePath): Generator<BytePath> {
  let directory: ReturnType<typeof opendirSync>;
  try {
    directory = opendirSync(toSystemPath(mailboxesDir), {
      encoding: 'latin1' as BufferEncoding,
      bufferSize: DIRECTORY_BATCH,
    });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
      if (entry.isDirectory() && entry.name.includes('@')) yield entry.name;
    }
  } finally {
    directory.closeSync();
  }
}

/** mtime of a directory, ms; undefined when it is gone. */
export function readChangeTime(path: BytePath, report: ReportProblem): number | undefined {
  return statEntry(path, report)?.mtimeMs;
}

/**
 * Walks a mailbox with all its folders, however they are nested. What vanishes meanwhile is simply not there.
 *
 * @returns false when something may be there that the visitor was not told of
 */
export function walkMailbox(
  mailbox: BytePath,
  visitor: MailboxVisitor,
  report: ReportProblem,
  options: ReadOptions = {},
): boolean {
  let isComplete = true;
  const reportHere: ReportProblem = (problem) => {
    isComplete = false;
    report(problem);
  };
  // One for each level, without recursion, so that nesting costs no stack.
  const readers = [new DirectoryReader(mailbox, reportHere)];
  try {
    for (let reader = readers.at(-1); reader; reader = readers.at(-1)) {
      const entry = reader.next();
      if (!entry) {
        if (reader.hasFailed) isComplete = false;
        readers.pop();
      } else if (!entry.isDirectory()) {
        if (!visitor.onExtra) continue;
        const stats = options.sizesOnDisk ? statEntry(`${reader.path}/${entry.name}`, reportHere) : undefined;
        visitor.onExtra(entry.name, entry.isFile(), stats?.isFile() ? stats.size : 0);
      } else {
        const path = `${reader.path}/${entry.name}`;
        if (!isFolderKind(entry.name)) readers.push(new DirectoryReader(path, reportHere));
        else if (!readMessages({ path, kind: entry.name }, visitor, reportHere, options)) isComplete = false;
      }
    }
  } finally {
    for (const reader of readers) reader.close();
  }
  return isComplete;
}

/**
 * Walks a mailbox that has been walked before: problems are not told again. Returns a stamp of the times at which its
 * directories of messages changed, each taken before and after it was read. Two walks with the same stamp have seen the same
 * messages, and each of them once: whatever comes, goes or is renamed changes its directory.
 */
export function walkAgain(mailbox: BytePath, onMessage: (message: Message) => void): string {
  const hash = createHash('sha256');
  const ignore: ReportProblem = () => {};
  // What is in tmp/ is no message yet, and changes with every delivery.
  const onFolder = ({ path, kind }: Folder) =>
    void (kind !== 'tmp' && hash.update(`${path} ${readChangeTime(path, ignore)}\n`));
  const isComplete = walkMailbox(mailbox, { onMessage, onFolder }, ignore);
  return `${isComplete} ${hash.digest('hex')}`;
}

function isFolderKind(name: string): name is FolderKind {
  return name === 'cur' || name === 'new' || name === 'tmp';
}

function readMessages(folder: Folder, visitor: MailboxVisitor, report: ReportProblem, options: ReadOptions): boolean {
  visitor.onFolder?.(folder);
  const isComplete = visitNames(folder.path, report, (name) => {
    const facts = options.sizesOnDisk ? undefined : parseMaildirName(name);
    if (facts) {
      visitor.onMessage({ folder, name, arrivedAtMs: facts.arrivedAtMs, bytes: facts.bytes });
      return;
    }
    const stats = statEntry(`${folder.path}/${name}`, report);
    if (stats?.isFile()) visitor.onMessage({ folder, name, arrivedAtMs: stats.mtimeMs, bytes: stats.size });
    else if (stats) visitor.onExtra?.(name, false, 0);
  });
  visitor.onFolder?.(folder);
  return isComplete;
}

/** Undefined when it is gone, and when that is all that can be said. */
function statEntry(path: BytePath, report: ReportProblem): Stats | undefined {
  try {
    return lstatSync(toSystemPath(path), { throwIfNoEntry: false });
  } catch (error) {
    report({ path, code: errorCode(error) });
    return undefined;
  }
}
