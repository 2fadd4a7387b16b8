/**
 * [io] Writes what has been decided, after a backup of all it replaces. What fails is put back by who calls.
 */

import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Backup, createBackup, type Manifest } from './backup.ts';
import { exists, makeDirectories, mustRun, statPath, writePath } from './host.ts';
import { markPending } from './pending.ts';
import type { ApplyInput, Survey } from './survey.ts';

/**
 * Keeps all that {@link writeChanges} replaces, and notes that an apply is at work.
 *
 * @throws NodeJS.ErrnoException of the disk, when nothing has changed yet
 */
export async function backUp(
  { host, now }: ApplyInput,
  { changes, record, enable, states, retire }: Survey,
): Promise<Backup> {
  const files = await Promise.all(
    changes.map(async ({ path, service }) => {
      const found = await statPath(host, path);
      const was = found && {
        mode: found.mode,
        uid: found.uid,
        gid: found.gid,
        ...(found.link !== undefined ? { link: found.link } : {}),
      };
      return { path, service, was };
    }),
  );
  const directories: string[] = [];
  for (const { path, after } of changes) {
    if (!after) continue;
    let missing = dirname(path);
    for (
      ;
      missing !== '/' && !directories.includes(missing) && !(await exists(host, missing));
      missing = dirname(missing)
    ) {
      directories.push(missing);
    }
  }
  directories.sort();
  const wasEnabled = new Set(states.filter(({ isEnabled }) => isEnabled).map(({ name }) => name));
  const manifest: Manifest = {
    version: 1,
    files,
    directories,
    enabledUnits: enable.filter((unit) => !wasEnabled.has(unit) || retire.some(({ name }) => name === unit)),
    retiredUnits: retire.filter(({ isEnabled }) => isEnabled).map(({ name }) => name),
    record,
  };
  const directory = await createBackup(host, now, manifest);
  await markPending(host);
  return { directory, manifest };
}

/**
 * Stops what must not run any longer, and writes.
 *
 * @throws NodeJS.ErrnoException of the disk, ExitError 78 of systemctl
 */
export async function writeChanges(
  { host }: ApplyInput,
  { changes, retire }: Survey,
  { manifest }: Backup,
): Promise<void> {
  if (retire.length > 0) await mustRun(host, 'systemctl', ['disable', '--now', ...retire.map(({ name }) => name)]);
  for (const path of manifest.directories) await makeDirectories(host, path);
  for (const { path, after } of changes) {
    if (after) await writePath(host, path, after.text, { mode: after.mode });
    else await rm(host.root + path, { force: true });
  }
}
