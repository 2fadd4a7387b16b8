/**
 * [io] What the machine has to spare, from /proc and statfs(2). Asked only when an account is about to be created. A value
 * that cannot be read is left out rather than guessed: it is no reason to refuse anybody.
 */

import { access, readFile, statfs } from 'node:fs/promises';
import type { HostState } from './registration.ts';

export interface HostPaths {
  readonly loadavg: string;
  readonly meminfo: string;
  /** While this file exists nobody can create an account; known from older relays. */
  readonly nocreate: string;
}

const HOST_PATHS: HostPaths = {
  loadavg: '/proc/loadavg',
  meminfo: '/proc/meminfo',
  nocreate: '/etc/chatmail-nocreate',
};

/** Reads the state of this host, and the free space of the file system that holds the mailboxes. Never rejects. */
export async function readHostState(mailboxesDir: string, paths: HostPaths = HOST_PATHS): Promise<HostState> {
  const [load1, availableMemoryBytes, freeDiskBytes, isCreationStopped] = await Promise.all([
    readNumber(paths.loadavg, /^([\d.]+) /),
    readNumber(paths.meminfo, /^MemAvailable:\s+(\d+) kB$/m).then((kb) => kb && kb * 1024),
    // Of what is free, only the part that is not reserved for root.
    statfs(mailboxesDir).then(({ bavail, bsize }) => bavail * bsize, unreadable),
    access(paths.nocreate).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
    ),
  ]);
  return { load1, availableMemoryBytes, freeDiskBytes, isCreationStopped };
}

async function readNumber(path: string, pattern: RegExp): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(unreadable);
  const digits = text === undefined ? undefined : pattern.exec(text)?.[1];
  const value = Number(digits);
  return digits === undefined || Number.isNaN(value) ? undefined : value;
}

function unreadable(): undefined {}
