/**
 * [io] The directory and file of the database, before LMDB sees them. lmdb-js 3.5 crashes the process when it opens a file that
 * is no database, so that is found out here. Source: lmdb-js liblmdb/mdb.c MDB_meta. Omits the pages below the roots: damage
 * there shows when they are read.
 */

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { ConfigError } from '#core';

const MDB_MAGIC = 0xbeefc0de;
const MDB_DATA_VERSION = 2;
/** A meta page is a 24-byte page header and then MDB_meta; offsets from the start of the page. */
const META = {
  magic: 24,
  version: 28,
  pageBytes: 48,
  freeRoot: 88,
  mainRoot: 136,
  transaction: 152,
  end: 160,
} as const;
/** The root of an empty tree. */
const P_INVALID = 0xffff_ffff_ffff_ffffn;

/**
 * Makes sure the directory exists and this user may write to it.
 *
 * @throws ConfigError naming `state_dir`
 */
export function prepareDirectory(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    accessSync(stateDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${stateDir} cannot be used (${code}); it must be a directory this user may write to`,
      { key: 'state_dir' },
      { cause: error },
    );
  }
}

/**
 * Renames a file that is no LMDB database to `PATH.corrupt`, over an earlier one of that name. An absent or empty file is
 * a database to be.
 *
 * @returns true when there was such a file
 * @throws NodeJS.ErrnoException
 */
export function setAsideIfUnreadable(path: string): boolean {
  if (isAbsentOrDatabase(path)) return false;
  renameSync(path, `${path}.corrupt`);
  rmSync(`${path}-lock`, { force: true });
  return true;
}

function isAbsentOrDatabase(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
  try {
    const fileBytes = fstatSync(fd).size;
    const readMeta = (offset: number) => {
      const page = Buffer.alloc(META.end);
      return readSync(fd, page, 0, META.end, offset) === META.end && isMeta(page) ? page : undefined;
    };
    if (fileBytes === 0) return true;
    const first = readMeta(0);
    const pageBytes = first?.readUint32LE(META.pageBytes) ?? 0;
    const second = pageBytes >= 512 ? readMeta(pageBytes) : undefined;
    if (!first || !second) return false;
    const newest = transactionOf(second) > transactionOf(first) ? second : first;
    return [META.freeRoot, META.mainRoot].every((offset) => {
      const root = newest.readBigUint64LE(offset);
      return root === P_INVALID || (root + 1n) * BigInt(pageBytes) <= BigInt(fileBytes);
    });
  } finally {
    closeSync(fd);
  }
}

function isMeta(page: Buffer): boolean {
  // In the byte order of the machine: little-endian on all we support.
  return page.readUint32LE(META.magic) === MDB_MAGIC && page.readUint16LE(META.version) === MDB_DATA_VERSION;
}

function transactionOf(page: Buffer): bigint {
  return page.readBigUint64LE(META.transaction);
}
