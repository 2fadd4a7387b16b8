/**
 * [io] The two meta pages every LMDB file begins with. Source: lmdb-js liblmdb/mdb.c MDB_meta, in the byte order of the machine:
 * little-endian on all we support.
 */

import { readSync } from 'node:fs';

const MDB_MAGIC = 0xbeefc0de;
const MDB_DATA_VERSION = 2;
/** A meta page is a 24-byte page header and then MDB_meta; offsets from the start of the page. */
export const META = {
  magic: 24,
  version: 28,
  pageBytes: 48,
  freeRoot: 88,
  mainRoot: 136,
  lastPage: 144,
  transaction: 152,
  end: 160,
} as const;
/** The root of an empty tree. */
export const P_INVALID = 0xffff_ffff_ffff_ffffn;

/** The meta page LMDB goes by; undefined when this is no LMDB file of our format. */
export function readNewestMeta(fd: number): Buffer | undefined {
  const first = readMeta(fd, 0);
  const pageBytes = first?.readUint32LE(META.pageBytes) ?? 0;
  const second = pageBytes >= 512 ? readMeta(fd, pageBytes) : undefined;
  if (!first || !second) return undefined;
  return transactionOf(second) > transactionOf(first) ? second : first;
}

function readMeta(fd: number, offset: number): Buffer | undefined {
  const page = Buffer.alloc(META.end);
  return readSync(fd, page, 0, META.end, offset) === META.end && isMeta(page) ? page : undefined;
}

function isMeta(page: Buffer): boolean {
  return page.readUint32LE(META.magic) === MDB_MAGIC && page.readUint16LE(META.version) === MDB_DATA_VERSION;
}

function transactionOf(page: Buffer): bigint {
  return page.readBigUint64LE(META.transaction);
}
