/**
 * [io] Writes the files of a checked archive, as the owner of the mailboxes: owner and mode are ours, whatever the archive says, and
 * every file is a new one, so that no link leads anywhere. Names were checked (contents.ts) and are checked again here.
 */

import { closeSync, futimesSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { EXIT_TEMPORARY, ExitError } from '#core';
import { ArchiveReader } from './archive.ts';
import { type Item, itemOf } from './contents.ts';
import type { TarEntry } from './tar.ts';

/** Where things go. */
export interface ExtractTarget {
  /** New and empty. */
  readonly accounts: string;
  readonly invitations: string;
}

export interface FileTally {
  /** Invitations that were not there yet. */
  invitations: number;
}

/** Entries between two looks at signals. */
const BATCH = 256;

/**
 * Reads the archive a second time and writes what goes into mailboxes and invitations.
 *
 * @param tokens device tokens that are to lie in the mailbox, where metadata-push finds them at its first start
 * @throws ExitError 75 when the command was ended
 */
export async function buildFiles(
  fd: number,
  { accounts, invitations }: ExtractTarget,
  tokens: ReadonlyMap<string, readonly string[]>,
  tally: FileTally,
  signal: AbortSignal,
): Promise<void> {
  const reader = new ArchiveReader(fd);
  let seen = 0;
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const item = itemOf(entry);
    const path = pathOf(item, accounts);
    if (item.kind === 'invitation') {
      const isNew = writeFile(`${invitations}/${item.name}`, entry, reader, true);
      if (isNew && item.name.endsWith('.json')) tally.invitations++;
    } else if (path !== undefined) {
      if (entry.type === 'directory') mkdirSync(path, { mode: 0o700 });
      else writeFile(path, entry, reader, false);
      if (item.kind === 'account') writeTokens(path, tokens.get(item.address.text) ?? []);
    }
    if (++seen % BATCH !== 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) throw new ExitError(EXIT_TEMPORARY, 'ended before everything was restored; no account was');
  }
}

function pathOf(item: Item, accounts: string): string | undefined {
  switch (item.kind) {
    case 'account':
      return `${accounts}/${item.address.text}`;
    case 'account-file':
    case 'account-directory':
      return `${accounts}/${item.address.text}/${item.path}`;
    default:
      return undefined;
  }
}

/** Writes a file that must not exist; false when it does and may. */
function writeFile(path: string, entry: TarEntry, reader: ArchiveReader, mayExist: boolean): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if (mayExist && (error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  try {
    for (const chunk of reader.chunks()) {
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    }
    futimesSync(fd, entry.mtime, entry.mtime);
  } finally {
    closeSync(fd);
  }
  return true;
}

/** In the form relays had before metadata-push. */
function writeTokens(mailbox: string, tokens: readonly string[]): void {
  if (tokens.length === 0) return;
  const fd = openSync(`${mailbox}/metadata.json`, 'wx', 0o600);
  try {
    writeSync(fd, JSON.stringify({ devicetoken: tokens }));
  } finally {
    closeSync(fd);
  }
}
