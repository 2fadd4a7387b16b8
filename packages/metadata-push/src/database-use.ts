/**
 * [io] Whether the process before this one ended as it should have. While a database is in use a file beside it, `PATH.open`, holds the
 * process ID; one that is left over means an abnormal end. A damaged page may have been the reason, so the file is then read from
 * end to end by database-check.ts in a process of its own, before this one lives with what is in it.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Exit code of the check: the file is damaged. */
export const EXIT_DAMAGED = 65;
/** What the check prints before it opens the file. A process that ends sooner says nothing about the file. */
export const READING = 'reading';
/** A backstop only: the check is bounded by the number of records. 100,000 tokens take half a second. */
const CHECK_TIMEOUT_MS = 120_000;
/** It shares the memory the service may use with us, who wait and have not begun to grow; it keeps no record. */
const NODE_FLAGS = ['--max-old-space-size=32', '--max-semi-space-size=1', '--v8-pool-size=1'];

/** `unknown`: the check itself did not work, for lack of memory say. */
export type CheckResult =
  | { readonly kind: 'sound' }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'damaged'; readonly reason: string };

/** @returns true when an earlier process did not end its use; one that is still there does not count */
export function wasLeftOpen(path: string): boolean {
  const owner = ownerOf(path);
  return owner !== undefined && (owner === process.pid || !isAlive(owner));
}

/** From here on an end without {@link endUse} is abnormal. Never throws: on a full disk it only goes without the file. */
export function beginUse(path: string): void {
  if (wasLeftOpen(path) || ownerOf(path) === undefined)
    ignoreErrors(() => writeFileSync(`${path}.open`, `${process.pid}\n`));
}

/** The file is closed. */
export function endUse(path: string): void {
  if (ownerOf(path) === process.pid) ignoreErrors(() => rmSync(`${path}.open`, { force: true }));
}

/** Reads all of a database that nobody writes to. What is wrong is told without any content. */
export function checkDatabase(path: string): CheckResult {
  const program = fileURLToPath(new URL(`./database-check${extname(import.meta.url)}`, import.meta.url));
  const { status, signal, stdout, error } = spawnSync(process.execPath, [...NODE_FLAGS, program, path], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: CHECK_TIMEOUT_MS,
  });
  if (status === 0) return { kind: 'sound' };
  if (status === EXIT_DAMAGED) return { kind: 'damaged', reason: stdout.slice(READING.length) };
  // SIGKILL is the kernel, out of memory, or somebody else; SIGTERM our time limit or systemd.
  const isCrash = signal !== null && signal !== 'SIGKILL' && signal !== 'SIGTERM';
  if (!error && isCrash && stdout === READING) return { kind: 'damaged', reason: `reading it ends with ${signal}` };
  return { kind: 'unknown' };
}

/** The process that uses the database, or did; 0 when the file does not say. */
function ownerOf(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(`${path}.open`, 'utf8'));
    return Number.isInteger(pid) ? pid : 0;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // Another user's would be another program.
    return false;
  }
}

function ignoreErrors(work: () => void): void {
  try {
    work();
  } catch {
    // Without the file the next process does not check the database, as it would after a clean end.
  }
}
