/**
 * [io] For tests: whether another user can read this checkout. Root's own directory is closed to everybody else, and people do
 * clone there.
 */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const FILE = join(import.meta.dirname, '../../package.json');

/** True when a process of that user and group could run what is in the checkout. Needs root. */
export async function canReadCheckout({ uid, gid }: { uid: number; gid: number }): Promise<boolean> {
  const args = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', 'head', '-c', '1', FILE];
  return await promisify(execFile)('setpriv', args).then(
    () => true,
    () => false,
  );
}
