/**
 * [io] Reads directories so that a big one costs no more memory than a small one: a client decides how many messages and
 * folders its mailbox has. Small ones, nearly all there are, are read at once, which takes half the time.
 */

import { type Dir, type Dirent, lstatSync, opendirSync, readdirSync } from 'node:fs';
import { type BytePath, toSystemPath } from './byte-path.ts';

/**
 * A directory is read at once up to this size of its own, as stat(2) tells it: a thousand entries of a mailbox on ext4, some
 * hundreds to some ten thousands elsewhere. Size 0 says nothing, and counts as big.
 */
const READ_AT_ONCE_BYTES = 65_536;
/** Entries fetched at a time from a bigger one. */
const BATCH = 1024;

/** Something that could not be read or removed: the run goes on, and says so at its end. */
export interface Problem {
  readonly path: BytePath;
  /** `EACCES`, `EIO`, ...; for an error that is not the system's, its name. */
  readonly code: string;
}

export type ReportProblem = (problem: Problem) => void;

/** What a {@link Problem} says about an error of any kind: no text, for that may hold a path. */
export function errorCode(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : (name ?? 'Error');
}

/** The entries of one directory, in no order. None when it is gone or no directory, and none behind a link. */
export class DirectoryReader {
  readonly path: BytePath;
  readonly #report: ReportProblem;
  #entries: readonly Dirent[] = [];
  #next = 0;
  #directory: Dir | undefined;
  #hasFailed = false;

  constructor(path: BytePath, report: ReportProblem) {
    this.path = path;
    this.#report = report;
    this.#attempt(() => {
      const systemPath = toSystemPath(path);
      if (isSmallDirectory(systemPath)) {
        this.#entries = readdirSync(systemPath, { encoding: 'latin1', withFileTypes: true });
      } else {
        this.#directory = opendirSync(systemPath, { encoding: 'latin1' as BufferEncoding, bufferSize: BATCH });
      }
    });
  }

  /** The next entry; undefined at the end, and from then on. */
  next(): Dirent | undefined {
    if (!this.#directory) return this.#entries[this.#next++];
    const entry = this.#attempt(() => this.#directory!.readSync()) ?? undefined;
    if (!entry) this.close();
    return entry;
  }

  /** True when entries may be missing: they could not be read, or the directory has vanished. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** To be called where the end is not reached. */
  close(): void {
    this.#directory?.closeSync();
    this.#directory = undefined;
    this.#entries = [];
  }

  #attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#hasFailed = true;
      const code = errorCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR') this.#report({ path: this.path, code });
      return undefined;
    }
  }
}

/** Names in a directory, without asking what they are. Returns false when some may be missing. */
export function visitNames(path: BytePath, report: ReportProblem, visit: (name: BytePath) => void): boolean {
  let names: readonly string[] | undefined;
  try {
    const systemPath = toSystemPath(path);
    if (isSmallDirectory(systemPath)) names = readdirSync(systemPath, { encoding: 'latin1' });
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') report({ path, code });
    return false;
  }
  if (names) {
    for (const name of names) visit(name);
    return true;
  }
  const reader = new DirectoryReader(path, report);
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) visit(entry.name);
  } finally {
    reader.close();
  }
  return !reader.hasFailed;
}

/** @throws NodeJS.ErrnoException also when there is no such directory: ENOENT, ENOTDIR */
function isSmallDirectory(path: string | Buffer): boolean {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
  return stats.size > 0 && stats.size <= READ_AT_ONCE_BYTES;
}
