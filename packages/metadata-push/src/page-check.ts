/**
 * [io] Whether every page of an LMDB file is one. LMDB trusts what a page says of itself, and writes where the list of free pages,
 * which no table shows, tells it to. Source: lmdb-js liblmdb/mdb.c MDB_page, MDB_node, MDB_db, and midl.c: a record of the list is a
 * number of entries, and then those; a run of pages has its length, negative, before it. Omits keys and values.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { META, P_INVALID, readNewestMeta } from './database-meta.ts';

/** Offsets in a page header. */
const PAGE = { flags: 18, lower: 20, upper: 22, overflowPages: 20, end: 24 } as const;
/** Offsets in a node. */
const NODE = { flags: 4, keyBytes: 6, end: 8 } as const;
const P_BRANCH = 1;
const P_LEAF = 2;
const P_OVERFLOW = 4;
const F_BIGDATA = 1;
const F_SUBDATA = 2;
/** MDB_db is the value of a table's node; its root comes last. */
const DB_BYTES = 48;
const DB_ROOT = 40;
/** LMDB goes no deeper (CURSOR_STACK). */
const MAX_DEPTH = 32;

class Damage extends Error {}

/** What is wrong, or undefined. */
export function findPageDamage(path: string): string | undefined {
  const fd = openSync(path, 'r');
  try {
    const meta = readNewestMeta(fd);
    if (!meta) return 'no meta page';
    const pages = new Pages(fd, meta);
    pages.check(meta.readBigUint64LE(META.freeRoot), 'free');
    pages.check(meta.readBigUint64LE(META.mainRoot), 'table');
    return undefined;
  } catch (error) {
    if (error instanceof Damage) return `a page: ${error.message}`;
    throw error;
  } finally {
    closeSync(fd);
  }
}

class Pages {
  readonly #fd: number;
  readonly #pageBytes: number;
  readonly #lastPage: number;
  /** One byte a page. */
  readonly #seen: Uint8Array;
  /** The page at each depth: one buffer for each keeps the check small, whatever the size of the file. */
  readonly #buffers: Buffer[] = [];

  constructor(fd: number, meta: Buffer) {
    this.#fd = fd;
    this.#pageBytes = meta.readUint32LE(META.pageBytes);
    this.#lastPage = Number(meta.readBigUint64LE(META.lastPage));
    demand(this.#lastPage < 2 ** 26, 'the last of all');
    this.#seen = new Uint8Array(this.#lastPage + 1);
  }

  /** @throws Damage */
  check(root: bigint, kind: 'free' | 'table', depth = 0): void {
    if (root !== P_INVALID) this.#checkTree(Number(root), kind, depth);
  }

  #checkTree(pageNumber: number, kind: 'free' | 'table', depth: number): void {
    demand(depth < MAX_DEPTH, 'too deep');
    this.#buffers[depth] ??= Buffer.alloc(this.#pageBytes);
    const page = this.#read(pageNumber, 1, this.#buffers[depth]);
    const flags = page.readUint16LE(PAGE.flags) & (P_BRANCH | P_LEAF | P_OVERFLOW);
    const lower = page.readUint16LE(PAGE.lower);
    const upper = page.readUint16LE(PAGE.upper);
    demand(flags === P_BRANCH || flags === P_LEAF, 'its kind');
    demand(lower % 2 === 0 && lower <= upper && upper <= this.#pageBytes - PAGE.end, 'its bounds');
    for (let i = 0; i < lower / 2; i++) {
      const at = page.readUint16LE(PAGE.end + 2 * i) + PAGE.end;
      demand(at >= PAGE.end + upper && at + NODE.end <= page.length, 'where a node is');
      const valueAt = at + NODE.end + page.readUint16LE(at + NODE.keyBytes);
      demand(valueAt <= page.length, 'the size of a key');
      if (flags === P_BRANCH) this.#checkTree(page.readUIntLE(at, 6), kind, depth + 1);
      else this.#checkRecord(page, at, valueAt, kind, depth);
    }
  }

  #checkRecord(page: Buffer, at: number, valueAt: number, kind: 'free' | 'table', depth: number): void {
    const valueBytes = page.readUint32LE(at);
    const nodeFlags = page.readUint16LE(at + NODE.flags);
    const isElsewhere = (nodeFlags & F_BIGDATA) !== 0;
    demand(valueAt + (isElsewhere ? 8 : valueBytes) <= page.length, 'the size of a value');
    const value = isElsewhere
      ? this.#readOverflow(Number(page.readBigUint64LE(valueAt)), valueBytes)
      : page.subarray(valueAt, valueAt + valueBytes);
    if (kind === 'free') this.#checkFree(value, valueAt - at - NODE.end);
    else if ((nodeFlags & F_SUBDATA) !== 0) {
      demand(value.length === DB_BYTES, 'a table');
      this.check(value.readBigUint64LE(DB_ROOT), 'table', depth + 1);
    }
  }

  #checkFree(value: Buffer, keyBytes: number): void {
    demand(keyBytes === 8 && value.length >= 8 && value.length % 8 === 0, 'a record of free ones');
    const count = Number(value.readBigUint64LE(0));
    demand(count <= value.length / 8 - 1, 'the number of free ones');
    for (let i = 1; i <= count; i++) {
      demand(Math.abs(Number(value.readBigInt64LE(8 * i))) <= this.#lastPage, 'a free one');
    }
  }

  #readOverflow(pageNumber: number, valueBytes: number): Buffer {
    const count = Math.ceil((valueBytes + PAGE.end) / this.#pageBytes);
    const pages = this.#read(pageNumber, count);
    const flags = pages.readUint16LE(PAGE.flags);
    demand((flags & P_OVERFLOW) !== 0 && pages.readUint32LE(PAGE.overflowPages) >= count, 'a large value');
    return pages.subarray(PAGE.end, PAGE.end + valueBytes);
  }

  #read(pageNumber: number, count: number, pages: Buffer = Buffer.alloc(count * this.#pageBytes)): Buffer {
    demand(pageNumber >= 2 && pageNumber + count <= this.#lastPage + 1, 'its number');
    for (let i = pageNumber; i < pageNumber + count; i++) {
      demand(this.#seen[i] === 0, 'used twice');
      this.#seen[i] = 1;
    }
    const read = readSync(this.#fd, pages, 0, pages.length, pageNumber * this.#pageBytes);
    demand(read === pages.length && Number(pages.readBigUint64LE(0)) === pageNumber, 'another one');
    return pages;
  }
}

function demand(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Damage(what);
}
