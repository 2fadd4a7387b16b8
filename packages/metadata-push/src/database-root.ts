/**
 * [io] Opens the LMDB file; both the daemon and the check of the file (database-check.ts) open it in the very same way.
 */

import { open, type RootDatabase } from 'lmdb';

/** Address space for the file, which may grow beyond. With less lmdb-js maps a growing file again and again, and what an older map holds counts as memory too. */
const MAP_BYTES = 4 * 1024 ** 3;

/** @throws Error of lmdb-js; a damaged file may end the process instead */
export function openRoot(path: string): RootDatabase {
  const options = {
    path,
    noSubdir: true,
    maxDbs: 8,
    mapSize: MAP_BYTES,
    separateFlushed: true,
    encoding: 'json',
    permissionsMode: 0o600,
  };
  return open(options as Parameters<typeof open>[0] & { path: string });
}
