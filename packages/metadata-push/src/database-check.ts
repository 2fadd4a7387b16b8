/**
 * [io] A program of its own: reads a whole database as the daemon would, and ends with {@link EXIT_DAMAGED} when it cannot. LMDB does
 * not check what it reads and damage may end the process, so the daemon has this done by another one. Prints {@link READING} when
 * whatever happens next is the file's doing, and after it what is wrong. Omits the values outside of `meta`: a token or push that is
 * none is no reason to lose all the others, and the stores drop it.
 *
 *   node database-check.ts FILE
 */

import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Key } from 'lmdb';
import { openRoot } from './database-root.ts';
import { EXIT_DAMAGED, READING } from './database-use.ts';
import { findPageDamage } from './page-check.ts';

type KeyShape = readonly ('string' | 'number')[];

/** Our tables; a key of the others is a list. */
const KEY_SHAPES = new Map<unknown, KeyShape | 'name'>([
  ['meta', 'name'],
  ['tokens', ['string', 'string']],
  ['queue', ['string', 'string']],
  ['queue-by-due', ['number', 'string', 'string']],
  ['queue-by-queued', ['number', 'string', 'string']],
]);

/** What is wrong, or undefined. */
function findDamage(path: string): string | undefined {
  // First, since LMDB may go back to an earlier transaction when the machine went down.
  const root = openRoot(path);
  const damage = findPageDamage(path);
  if (damage !== undefined) return damage;
  for (const name of root.getKeys()) {
    const shape = KEY_SHAPES.get(name);
    // The name may be a piece of a token by now, so nobody gets to see it.
    if (typeof name !== 'string' || !shape) return 'a table that is not ours';
    const table = root.openDB<unknown, Key>(name, { encoding: 'json', cache: false });
    const { entryCount } = table.getStats() as { entryCount: number };
    let count = 0;
    for (const key of table.getKeys()) {
      // Damage can make a circle of a table.
      if (++count > entryCount) return `more records in ${name} than there are`;
      if (!hasShape(key, shape)) return `a key in ${name}`;
      if (shape === 'name' && !isNumber(() => table.get(key))) return `a value in ${name}`;
    }
    if (count !== entryCount) return `fewer records in ${name} than there are`;
  }
  return undefined;
}

function hasShape(key: unknown, shape: KeyShape | 'name'): boolean {
  if (shape === 'name') return typeof key === 'string';
  return Array.isArray(key) && key.length === shape.length && shape.every((type, index) => typeof key[index] === type);
}

/** All of `meta` are numbers. */
function isNumber(read: () => unknown): boolean {
  try {
    return typeof read() === 'number';
  } catch {
    return false;
  }
}

/** True for what the system says, such as too little memory: that is no damage. LMDB's own numbers are negative. */
function isSystemError(error: unknown): boolean {
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  return syscall !== undefined || (typeof code === 'number' && code > 0 && code !== constants.errno.EINVAL);
}

writeSync(1, READING);
let damage: string | undefined;
try {
  damage = findDamage(process.argv[2]!);
} catch (error) {
  // At once, and no close: closing a damaged database would be another risk.
  if (isSystemError(error)) process.exit(75);
  damage = 'LMDB cannot read it';
}
if (damage !== undefined) writeSync(1, damage);
process.exit(damage === undefined ? 0 : EXIT_DAMAGED);
