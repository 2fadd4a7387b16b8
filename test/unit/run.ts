/**
 * [io] All unit tests of one package in one process: starting Node and loading tap for every file would otherwise take most
 * of the time. Each file can still be run alone with `node --test FILE`.
 */

import { globSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

/** tap gives a process 30 s, which is for one file; a busy machine takes minutes for a package. */
const TIMEOUT_MS = 600_000;

/** Loads, and thereby runs, the test files of `packages/NAME/test` in the order of their names. */
export async function runPackage(name: string): Promise<void> {
  t.setTimeout(TIMEOUT_MS);
  const directory = join(import.meta.dirname, '../../packages', name, 'test');
  for (const file of globSync('**/*.test.ts', { cwd: directory }).sort()) await import(join(directory, file));
}
