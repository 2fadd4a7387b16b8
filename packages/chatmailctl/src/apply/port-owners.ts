/**
 * [io] Finds the processes that listen, through /proc.
 */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { type PortOwner, parseListeners } from './ports.ts';

/** The processes that listen on any of these ports, on this machine. */
export async function readPortOwners(ports: readonly number[]): Promise<PortOwner[]> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => read(`/proc/net/${name}`)));
  const wanted = new Map<string, number>();
  for (const { port, inode } of tables.flatMap(parseListeners)) {
    if (ports.includes(port)) wanted.set(`socket:[${inode}]`, port);
  }
  if (wanted.size === 0) return [];
  const owners: PortOwner[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
    const found = [...new Set(links)].flatMap((link) => wanted.get(link) ?? []);
    if (found.length === 0) continue;
    const program = (await read(`/proc/${pid}/comm`)).trim();
    const unit = /\/([^/\n]+\.service)\b/.exec(await read(`/proc/${pid}/cgroup`))?.[1];
    owners.push(...found.map((port) => ({ port, pid: Number(pid), program, unit })));
  }
  return owners;
}

async function read(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
