/**
 * [io] Files that are either there completely or not at all, also after a power cut: written under a temporary name, synced,
 * renamed into place, and the directory synced so that the new name is on disk too.
 */

import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface AtomicFileOptions {
  /** Permission bits; default 0600. */
  readonly mode?: number;
  /** Owner, when it is not to be the writing process. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/**
 * Replaces the contents of a file atomically. When the promise resolves, the new contents survive a power cut; when it
 * rejects, the old contents are untouched.
 *
 * @throws NodeJS.ErrnoException of the step that failed
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: AtomicFileOptions = {},
): Promise<void> {
  // Unique is enough, the file is made with O_EXCL: loading node:crypto for it would cost every daemon 3 MB.
  const temporary = join(dirname(path), `.${basename(path)}.${Math.random().toString(36).slice(2)}.tmp`);
  try {
    await writeNewFile(temporary, data, options);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Writes and syncs a file that must not exist yet. The caller syncs the directory when the name must survive too.
 *
 * @throws NodeJS.ErrnoException; EEXIST when the name is taken
 */
export async function writeNewFile(
  path: string,
  data: string | Uint8Array,
  options: AtomicFileOptions = {},
): Promise<void> {
  await withHandle(await open(path, 'wx', options.mode ?? 0o600), async (handle) => {
    if (options.owner) await handle.chown(options.owner.uid, options.owner.gid);
    // The mode given to open() is cut by the umask; this one is not.
    if (options.mode !== undefined) await handle.chmod(options.mode);
    await handle.writeFile(data);
    await handle.sync();
  });
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  await withHandle(await open(path, 'r'), (handle) => handle.sync());
}

async function withHandle(handle: FileHandle, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}
