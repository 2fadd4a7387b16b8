/**
 * [io] Whether the machine is what chatmail.ini says: the files that apply writes, and the daemons, which it tells to read it again.
 */

import { hash } from 'node:crypto';
import { CONFIG_PATHS } from '#core';
import { readRecord } from '../apply/backup.ts';
import { type Host, readBytes, readText } from '../apply/host.ts';
import type { RenderedFile } from '../layout.ts';

/**
 * What apply would change, for people to read: mostly paths.
 *
 * @throws NodeJS.ErrnoException when a file cannot be read
 */
export async function readChangedFiles(host: Host, rendered: readonly RenderedFile[]): Promise<string[]> {
  const changed: string[] = [];
  for (const { path, text } of rendered) if ((await readText(host, path)) !== text) changed.push(path);
  const record = await readRecord(host);
  if (record && record.configHash !== (await configHash(host))) {
    changed.push('the daemons, which have not read its last change');
  }
  return changed;
}

async function configHash(host: Host): Promise<string | undefined> {
  for (const path of CONFIG_PATHS) {
    const data = await readBytes(host, path);
    if (data !== undefined) return hash('sha256', data);
  }
  return undefined;
}
