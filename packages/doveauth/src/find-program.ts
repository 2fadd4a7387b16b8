/**
 * [io] Finds a program as a shell would, so that one that cannot be run is known before anything becomes it.
 */

import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

/** What sh takes where PATH is not set. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The executable file a name means, along PATH unless there is a slash in it; undefined when there is none for us. */
export function findProgram(name: string, searchPath = DEFAULT_PATH): string | undefined {
  // An empty part of PATH is the working directory.
  const candidates = name.includes('/')
    ? [name]
    : searchPath.split(':').map((directory) => join(directory || '.', name));
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
