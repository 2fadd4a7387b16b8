/**
 * [io] The machine that init and apply work on: its files and its programs. Everything goes through here, so that a test can
 * put a directory in the place of the machine's root and watch what would be run.
 */

import { chmod, chown, lstat, mkdir, readFile, readlink, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT_CONFIG, ExitError, syncDirectory, writeFileAtomic } from '#core';
import { type RunResult, run } from '../run.ts';
import { readPortOwners } from './port-owners.ts';
import type { PortOwner } from './ports.ts';

/** A user with its primary group. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

export interface Host {
  /** Stands before every path; empty on the machine itself. */
  readonly root: string;
  /** Runs a program to its end; how it ended is the result. */
  run(program: string, args: readonly string[]): Promise<RunResult>;
  /** The processes that listen on any of these TCP ports. */
  portOwners(ports: readonly number[]): Promise<readonly PortOwner[]>;
  /** Lets time pass. */
  pause(ms: number): Promise<unknown>;
}

/** `su` without `-` leaves an operator without these. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** This machine. Its programs speak English, as far as we read what they say. */
export function localHost(): Host {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:${SYSTEM_PATH}`, LC_ALL: 'C.UTF-8' };
  return { root: '', run: (program, args) => run(program, args, { env }), portOwners: readPortOwners, pause: sleep };
}

/** Refuses what only root can do.
 *
 * @throws ExitError 78 */
export function requireRoot(what: string): void {
  if (process.geteuid?.() !== 0) throw new ExitError(EXIT_CONFIG, `${what} writes to /etc: run it as root`);
}

/** The bytes of a file, through symbolic links; undefined when there is none.
 *
 * @throws NodeJS.ErrnoException for any other trouble */
export async function readBytes(host: Host, path: string): Promise<Buffer | undefined> {
  return await orMissing(readFile(host.root + path));
}

/** As {@link readBytes}, as text. */
export async function readText(host: Host, path: string): Promise<string | undefined> {
  return (await readBytes(host, path))?.toString('utf8');
}

/** What is at a path, a symbolic link being a thing of its own. */
export async function statPath(host: Host, path: string) {
  const found = await orMissing(lstat(host.root + path));
  if (!found) return undefined;
  const link = found.isSymbolicLink() ? await readlink(host.root + path) : undefined;
  return { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid, link, isDirectory: found.isDirectory() };
}

/** Whether there is something at a path. */
export async function exists(host: Host, path: string): Promise<boolean> {
  return (await orMissing(stat(host.root + path))) !== undefined;
}

/** Writes a file whole or not at all, and the directories it lies in. Returns the directories that were made. */
export async function writePath(
  host: Host,
  path: string,
  data: string | Uint8Array,
  options: { mode: number; owner?: Account },
): Promise<string[]> {
  const made = await makeDirectories(host, dirname(path));
  await writeFileAtomic(host.root + path, data, options);
  return made;
}

/** Makes a directory and those above it, for everybody to pass; returns those that were missing, the uppermost first. */
export async function makeDirectories(host: Host, path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let directory = path; directory !== '/' && !(await exists(host, directory)); directory = dirname(directory)) {
    missing.unshift(directory);
  }
  for (const directory of missing) {
    await mkdir(host.root + directory);
    // The umask of an operator may be a narrow one.
    await chmod(host.root + directory, 0o755);
    await syncDirectory(dirname(host.root + directory));
  }
  return missing;
}

/** Makes a directory of somebody's own, unless it is there; true when it was made. */
export async function makeOwnDirectory(host: Host, path: string, mode: number, owner: Account): Promise<boolean> {
  if (await exists(host, path)) return false;
  await makeDirectories(host, dirname(path));
  await mkdir(host.root + path, { mode });
  await chmod(host.root + path, mode);
  await chown(host.root + path, owner.uid, owner.gid);
  return true;
}

/** Looks up a user in the machine's passwd file. */
export async function findUser(host: Host, name: string): Promise<Account | undefined> {
  const lines = ((await readText(host, '/etc/passwd')) ?? '').split('\n').map((line) => line.split(':'));
  const entry = lines.find((fields) => fields[0] === name);
  return entry ? { uid: Number(entry[2]), gid: Number(entry[3]) } : undefined;
}

/**
 * Runs what must succeed, and returns what it said.
 *
 * @throws ExitError with `exitCode` and the program's words
 */
export async function mustRun(
  host: Host,
  program: string,
  args: readonly string[],
  exitCode = EXIT_CONFIG,
): Promise<string> {
  const { code, output } = await host.run(program, args);
  if (code === 0) return output;
  throw new ExitError(exitCode, `${[program, ...args].join(' ')} failed: ${output.trim() || `exit code ${code}`}`);
}

async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
