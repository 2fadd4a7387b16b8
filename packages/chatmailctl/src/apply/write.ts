/**
 * [io] Writes what has been decided, after a backup of all it replaces.
 */

import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createBackup, type Manifest } from './backup.ts';
import { exists, makeDirectories, mustRun, statPath, writePath } from './host.ts';
import { clearPending, markPending } from './pending.ts';
import type { ApplyInput, Survey } from './survey.ts';
import { putBack } from './undo.ts';

/**
 * Backs up, stops what must not run any longer, and writes; a failure half way puts back what was done.
 *
 * @throws NodeJS.ErrnoException of the disk, ExitError 78 of systemctl
 */
export async function writeChanges(
  input: ApplyInput,
  { changes, record, enable, states, retire, isPending }: Survey,
): Promise<{ directory: string; manifest: Manifest }> {
  const { host } = input;
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
  const directory = await createBackup(host, input.now, manifest);
  await markPending(host);
  try {
    if (retire.length > 0) await mustRun(host, 'systemctl', ['disable', '--now', ...retire.map(({ name }) => name)]);
    for (const path of directories) await makeDirectories(host, path);
    for (const { path, after } of changes) {
      if (after) await writePath(host, path, after.text, { mode: after.mode });
      else await rm(host.root + path, { force: true });
    }
  } catch (error) {
    await putBack(host, { directory, manifest }, input.note, []);
    if (!isPending) await clearPending(host);
    throw error;
  }
  return { directory, manifest };
}
