/** [io] When a message has arrived, as seen on the disk: what a demo measures the time of a push from. */

import { readdirSync, watch } from 'node:fs';

/**
 * The time at which the next message appears in a maildir's `new`, ms. What goes from there does not count, nor what is no
 * message: metadata-push wakes sleeping sessions by a file whose name begins with a dot.
 */
export async function nextMail(directory: string, signal: AbortSignal): Promise<number> {
  const before = new Set(readdirSync(directory));
  return await new Promise((resolve, reject) => {
    const watcher = watch(directory, { signal }, (_, name) => {
      if (name === null || name.startsWith('.') || before.has(name)) return;
      const atMs = performance.now();
      watcher.close();
      resolve(atMs);
    });
    watcher.once('error', reject);
  });
}
