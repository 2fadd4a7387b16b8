/**
 * [io] Backups of what `apply` replaces: a directory for each run below /var/lib/chatmail/backups, with the files and what must be
 * known to put them back. Configuration only; mail, keys and state are never touched.
 */

import { mkdir, readdir, rename, rm, rmdir, symlink, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EXIT_CONFIG, ExitError } from '#core';
import { type Host, makeDirectories, readBytes, readText, statPath, writePath } from './host.ts';
import type { AppliedRecord, FileService } from './plan.ts';

export const BACKUPS = '/var/lib/chatmail/backups';
const RECORD = '/var/lib/chatmail/applied.json';

export interface SavedFile {
  readonly path: string;
  readonly service: FileService;
  /** `undefined`: there was none, and undoing removes it. */
  readonly was:
    | { readonly mode: number; readonly uid: number; readonly gid: number; readonly link?: string }
    | undefined;
}

export interface Manifest {
  readonly version: 1;
  readonly files: readonly SavedFile[];
  /** Directories that were made for the files; the uppermost first. */
  readonly directories: readonly string[];
  /** Units that were not enabled before. */
  readonly enabledUnits: readonly string[];
  /** Units that were enabled before, and were stopped and disabled. */
  readonly retiredUnits: readonly string[];
  /** What the run before had left. */
  readonly record: AppliedRecord | undefined;
}

/** Where the last apply says what it wrote. */
export async function readRecord(host: Host): Promise<AppliedRecord | undefined> {
  const text = await readText(host, RECORD);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as AppliedRecord;
  } catch (error) {
    throw new ExitError(EXIT_CONFIG, `${RECORD} is damaged; remove it and run apply again`, { cause: error });
  }
}

/** Remembers what was written; `undefined` forgets it. */
export async function writeRecord(host: Host, record: AppliedRecord | undefined): Promise<void> {
  if (record) await writePath(host, RECORD, `${JSON.stringify(record, undefined, 1)}\n`, { mode: 0o644 });
  else await rm(host.root + RECORD, { force: true });
}

/** A backup on the disk. */
export interface Backup {
  readonly directory: string;
  readonly manifest: Manifest;
}

/** Saves the files and the rest of the manifest; returns the backup's directory. */
export async function createBackup(host: Host, now: Date, manifest: Manifest): Promise<string> {
  await makeDirectories(host, BACKUPS);
  const stamp = now.toISOString().replace(/\..*/, 'Z').replaceAll(':', '');
  let directory = join(BACKUPS, stamp);
  for (let number = 2; await statPath(host, directory); number++) directory = join(BACKUPS, `${stamp}-${number}`);
  await mkdir(host.root + directory, { mode: 0o700 });
  for (const { path, was } of manifest.files) {
    if (!was || was.link !== undefined) continue;
    const data = await readBytes(host, path);
    if (data) await writePath(host, join(directory, 'files', path), data, { mode: was.mode & 0o600 });
  }
  await writeManifest(host, directory, manifest);
  return directory;
}

/** Replaces the manifest of a backup. */
export async function writeManifest(host: Host, directory: string, manifest: Manifest): Promise<void> {
  await writePath(host, join(directory, 'manifest.json'), `${JSON.stringify(manifest, undefined, 1)}\n`, {
    mode: 0o600,
  });
}

/** The backups that were not undone yet, the newest first. */
export async function readBackups(host: Host): Promise<Backup[]> {
  const names = await readdir(host.root + BACKUPS).catch(() => []);
  const newestFirst = names.filter((name) => /^\d{4}-[-\dTZ]+$/.test(name)).sort((a, b) => byTimeAndNumber(b, a));
  const backups: Backup[] = [];
  for (const name of newestFirst) {
    const directory = join(BACKUPS, name);
    const text = await readText(host, join(directory, 'manifest.json'));
    // Without one (a full disk, a kill) the backup was not done, and nothing had been changed.
    if (text !== undefined) backups.push({ directory, manifest: JSON.parse(text) as Manifest });
  }
  return backups;
}

/**
 * Puts back what a backup holds, and removes what was not there before. Services are the caller's affair. A file that makes trouble
 * does not keep the others from coming back.
 *
 * @returns what went wrong, a sentence for each file
 */
export async function restoreBackup(host: Host, directory: string, manifest: Manifest): Promise<string[]> {
  const problems: string[] = [];
  const attempt = async (path: string, work: Promise<unknown>) => {
    await work.catch((error: Error) => problems.push(`${path}: ${error.message}`));
  };
  for (const file of manifest.files) await attempt(file.path, restoreFile(host, directory, file));
  // Not empty: somebody else has put something there.
  for (const path of manifest.directories.toReversed()) await rmdir(host.root + path).catch(() => {});
  await attempt(RECORD, writeRecord(host, manifest.record));
  return problems;
}

async function restoreFile(host: Host, directory: string, { path, was }: SavedFile): Promise<void> {
  if (!was || was.link !== undefined) await unlink(host.root + path).catch(ignoreMissing);
  if (!was) return;
  if (was.link !== undefined) {
    await makeDirectories(host, dirname(path));
    await symlink(was.link, host.root + path);
    return;
  }
  const data = await readBytes(host, join(directory, 'files', path));
  if (!data) throw new ExitError(EXIT_CONFIG, `it is missing in ${directory}`);
  await writePath(host, path, data, { mode: was.mode, owner: { uid: was.uid, gid: was.gid } });
}

/** Keeps an undone backup from being the newest again. */
export async function retireBackup(host: Host, directory: string): Promise<void> {
  const name = `undone-${directory.slice(BACKUPS.length + 1)}`;
  await rm(join(host.root + BACKUPS, name), { recursive: true, force: true });
  await rename(host.root + directory, join(host.root + BACKUPS, name));
}

function byTimeAndNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
