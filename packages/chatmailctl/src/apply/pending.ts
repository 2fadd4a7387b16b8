/**
 * [io] Only one `apply` or `undo` works on a machine at a time, and one that is killed half way is known to the next: the files may be
 * new by then while the servers run with the old ones, and no comparison of files shows that.
 */

import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { EXIT_TEMPORARY, ExitError } from '#core';
import { exists, type Host, readText, writePath } from './host.ts';

const PENDING = '/var/lib/chatmail/apply-pending';
/** Below /run: a reboot ends every process. */
const LOCK = '/run/chatmailctl-apply.lock';

/** Notes, before the first file is written, that the machine is between two states. */
export async function markPending(host: Host): Promise<void> {
  await writePath(host, PENDING, 'An apply was begun and has not ended; the next one makes up for it.\n', {
    mode: 0o644,
  });
}

/** Whether the last run did not come to its end. */
export async function isPending(host: Host): Promise<boolean> {
  return await exists(host, PENDING);
}

/** The servers run with the files there are. */
export async function clearPending(host: Host): Promise<void> {
  await rm(host.root + PENDING, { force: true });
}

/**
 * Does the work while nobody else does any.
 *
 * @throws ExitError 75 when another process is at it
 */
export async function alone<T>(host: Host, work: () => Promise<T>): Promise<T> {
  const lock = host.root + LOCK;
  const own = `${lock}.${process.pid}-${performance.now()}`;
  // Whole before it has its name: who finds a lock can read whose it is.
  await writeFile(own, `${process.pid} ${await startOf(process.pid)}\n`, { mode: 0o600 });
  try {
    while (!(await took(own, lock))) await removeDead(host, lock);
  } finally {
    await rm(own, { force: true });
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function took(own: string, lock: string): Promise<boolean> {
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes away the lock of a process that was killed, and refuses when it lives. */
async function removeDead(host: Host, lock: string): Promise<void> {
  const text = await readText(host, LOCK);
  if (text === undefined) return;
  const [pid, start] = text.trim().split(' ');
  if (start !== undefined && (await startOf(Number(pid))) === start) {
    throw new ExitError(
      EXIT_TEMPORARY,
      `another chatmailctl apply is at work (process ${pid}); run this again when it has ended`,
    );
  }
  const aside = `${lock}.dead-${process.pid}`;
  await rename(lock, aside).catch(() => {});
  const taken = await readFile(aside, 'utf8').catch(() => text);
  // Somebody else was faster, and this is their lock.
  if (taken !== text) await link(aside, lock).catch(() => {});
  await rm(aside, { force: true });
}

/** When a process began, in the kernel's ticks (proc(5), field 22 of stat): numbers of processes are used again. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The program's name, in brackets, may have blanks.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
