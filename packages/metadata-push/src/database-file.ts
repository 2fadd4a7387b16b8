/**
 * [io] The directory and file of the database, before LMDB sees them. lmdb-js 3.5 crashes the process when it opens a file that
 * is no database, so that is found out here. Omits the pages below the roots: damage there ends a process, and the next one looks
 * for it (database-use.ts).
 */

import { accessSync, closeSync, constants, fstatSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { ConfigError } from '#core';
import { META, P_INVALID, readNewestMeta } from './database-meta.ts';

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
 * Renames a file that is no LMDB database to `PATH.corrupt`, see {@link setAside}. An absent or empty file is a database to be.
 *
 * @returns true when there was such a file
 * @throws NodeJS.ErrnoException
 */
export function setAsideIfUnreadable(path: string): boolean {
  if (isAbsentOrDatabase(path)) return false;
  setAside(path);
  return true;
}

/** Renames a database that is of no use to `PATH.corrupt`, over an earlier one of that name. @throws NodeJS.ErrnoException */
export function setAside(path: string): void {
  renameSync(path, `${path}.corrupt`);
  rmSync(`${path}-lock`, { force: true });
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
    if (fileBytes === 0) return true;
    const meta = readNewestMeta(fd);
    if (!meta) return false;
    const pageBytes = BigInt(meta.readUint32LE(META.pageBytes));
    return [META.freeRoot, META.mainRoot].every((offset) => {
      const root = meta.readBigUint64LE(offset);
      return root === P_INVALID || (root + 1n) * pageBytes <= BigInt(fileBytes);
    });
  } finally {
    closeSync(fd);
  }
}
