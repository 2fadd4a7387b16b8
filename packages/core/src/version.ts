/**
 * [io] The version of the installed package.
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Version as in package.json, which lies above this file in a checkout (packages/) and in a package (dist/packages/) alike. */
export function packageVersion(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json')) && directory !== '/') directory = dirname(directory);
  return String(JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')).version);
}
