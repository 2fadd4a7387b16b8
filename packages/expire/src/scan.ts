/**
 * [io] Reads mailboxes: which accounts there are, when they were last used, which messages they hold. Synchronous on
 * purpose: a walk over 100,000 small directories spends more time in promises than in the kernel, and nobody else uses this
 * event loop. Symbolic links are never followed, nothing is opened, and a file is only asked for its times and size when its
 * name does not tell them.
 */

import { type Dirent, lstatSync, opendirSync, readdirSync, type Stats } from 'node:fs';
import { type BytePath, toSystemPath } from './byte-path.ts';
import { parseMaildirName } from './maildir-name.ts';
import type { Folder, FolderKind, Message } from './plan.ts';

/** Entries fetched at a time from the directory of all mailboxes, so that its size does not decide our memory. */
const DIRECTORY_BATCH = 1024;

/** Something that could not be read or removed: the run goes on, and says so at its end. */
export interface Problem {
  readonly path: BytePath;
  /** `EACCES`, `EIO`, ... */
  readonly code: string;
}

export type ReportProblem = (problem: Problem) => void;

export interface ExtraFile {
  readonly path: BytePath;
  readonly name: BytePath;
  /** Bytes on disk; 0 unless {@link ReadOptions.sizesOnDisk} is set. */
  readonly bytes: number;
}

export interface MailboxContents {
  readonly messages: readonly Message[];
  /** Files that are no messages: Dovecot's indexes, the password, whatever else lies there. */
  readonly extraFiles: readonly ExtraFile[];
}

export interface ReadOptions {
  /** Ask every file for its size on disk: a name tells the size before compression, and only that of a message. */
  readonly sizesOnDisk?: boolean;
}

/** The `code` of a system error; rethrows whatever is none, for that is a bug. */
export function systemErrorCode(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (typeof code !== 'string' || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
  return code;
}

/**
 * Names of all mailbox directories: those with an `@` in it, as today's relays tell them from the rest. A dot in front is
 * never an account. Names come in the order of the directory; none when there is no such directory yet.
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
    if (systemErrorCode(error) === 'ENOENT') return;
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
  try {
    return lstatSync(toSystemPath(path), { throwIfNoEntry: false })?.mtimeMs;
  } catch (error) {
    report({ path, code: systemErrorCode(error) });
    return undefined;
  }
}

/** Reads a mailbox with all its folders, however they are nested. What vanishes meanwhile is simply not there. */
export function readMailbox(mailbox: BytePath, report: ReportProblem, options: ReadOptions = {}): MailboxContents {
  const messages: Message[] = [];
  const extraFiles: ExtraFile[] = [];
  const directories = [mailbox];
  for (let path = directories.pop(); path !== undefined; path = directories.pop()) {
    for (const entry of readEntries(path, report)) {
      const entryPath = `${path}/${entry.name}`;
      if (!entry.isDirectory()) {
        const bytes = options.sizesOnDisk ? (statFile(entryPath, report)?.size ?? 0) : 0;
        if (entry.isFile()) extraFiles.push({ path: entryPath, name: entry.name, bytes });
      } else if (isFolderKind(entry.name)) {
        readMessages({ path: entryPath, kind: entry.name }, messages, report, options);
      } else directories.push(entryPath);
    }
  }
  return { messages, extraFiles };
}

function isFolderKind(name: string): name is FolderKind {
  return name === 'cur' || name === 'new' || name === 'tmp';
}

function readMessages(folder: Folder, messages: Message[], report: ReportProblem, options: ReadOptions): void {
  for (const name of readNames(folder.path, report)) {
    const facts = options.sizesOnDisk ? undefined : parseMaildirName(name);
    if (facts) messages.push({ folder, name, arrivedAtMs: facts.arrivedAtMs, bytes: facts.bytes });
    else {
      const message = statMessage(folder, name, report);
      if (message) messages.push(message);
    }
  }
}

function statMessage(folder: Folder, name: BytePath, report: ReportProblem): Message | undefined {
  const stats = statFile(`${folder.path}/${name}`, report);
  return stats && { folder, name, arrivedAtMs: stats.mtimeMs, bytes: stats.size };
}

/** Only regular files are any of our business. */
function statFile(path: BytePath, report: ReportProblem): Stats | undefined {
  try {
    const stats = lstatSync(toSystemPath(path), { throwIfNoEntry: false });
    return stats?.isFile() ? stats : undefined;
  } catch (error) {
    report({ path, code: systemErrorCode(error) });
    return undefined;
  }
}

function readEntries(path: BytePath, report: ReportProblem): Dirent[] {
  return readOrReport(path, report, () => readdirSync(toSystemPath(path), { encoding: 'latin1', withFileTypes: true }));
}

function readNames(path: BytePath, report: ReportProblem): string[] {
  return readOrReport(path, report, () => readdirSync(toSystemPath(path), { encoding: 'latin1' }));
}

function readOrReport<T>(path: BytePath, report: ReportProblem, read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT') report({ path, code });
    return [];
  }
}
