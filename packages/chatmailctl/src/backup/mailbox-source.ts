/**
 * [io] Puts a mailbox into an archive while it is in use. Messages are files that never change; they may be renamed or removed
 * meanwhile, so a name that is gone is looked for once more. What Dovecot can make anew (indexes, quota sum) is left out; its
 * list of message numbers comes last, so that it knows every message before it.
 */

import { closeSync, constants, fstatSync, openSync, readdirSync } from 'node:fs';
import type { ArchiveWriter } from './archive.ts';
import { ACCOUNT_FILES, isLeftOut, isSafeSegment } from './contents.ts';

/** Counts of what was written, and of what had a name no archive of ours can hold. */
export interface MailboxTally {
  files: number;
  unnamed: number;
}

/**
 * Adds the files that make an account.
 *
 * @returns false when there is no account any more; nothing was added then
 */
export function addAccountFiles(writer: ArchiveWriter, mailbox: string, archivePath: string): boolean {
  const [passwordName = '', ...others] = Object.keys(ACCOUNT_FILES);
  const add = (name: string, before: () => void = () => {}) =>
    addFile(writer, `${mailbox}/${name}`, `${archivePath}/${name}`, before);
  // The password decides whether there is an account: nothing is written before it could be opened.
  const isAccount = add(passwordName, () =>
    writer.add({ path: archivePath, type: 'directory', mode: 0o700, mtime: 0 }),
  );
  if (isAccount) for (const name of others) add(name);
  return isAccount;
}

/** Adds the mail of an account. */
export function addMail(writer: ArchiveWriter, mailbox: string, archivePath: string, tally: MailboxTally): void {
  const folders = entriesOf(mailbox).filter((entry) => entry.isDirectory() && isFolder(entry.name));
  for (const folder of ['', ...folders.map(({ name }) => `/${name}`)]) {
    const [from, to] = [mailbox + folder, archivePath + folder];
    if (!isSafePath(folder)) {
      tally.unnamed++;
      continue;
    }
    if (folder !== '') writer.add({ path: to, type: 'directory', mode: 0o700, mtime: 0 });
    for (const kind of ['cur', 'new', 'tmp']) {
      writer.add({ path: `${to}/${kind}`, type: 'directory', mode: 0o700, mtime: 0 });
      if (kind !== 'tmp') addMessages(writer, `${from}/${kind}`, `${to}/${kind}`, tally);
    }
    for (const entry of entriesOf(from)) {
      const isOwn = folder === '' && Object.hasOwn(ACCOUNT_FILES, entry.name);
      if (!entry.isFile() || isOwn || isLeftOut(entry.name)) continue;
      addCounted(writer, `${from}/${entry.name}`, `${to}/${entry.name}`, entry.name, tally);
    }
  }
}

function isFolder(name: string): boolean {
  return name.startsWith('.') && name !== '.' && name !== '..';
}

function isSafePath(folder: string): boolean {
  return folder === '' || isSafeSegment(folder.slice(1));
}

function addMessages(writer: ArchiveWriter, from: string, to: string, tally: MailboxTally): void {
  const done = new Set<string>();
  // Twice: a message whose flags change is renamed, and found under its new name.
  for (let round = 0, isComplete = false; round < 2 && !isComplete; round++) {
    isComplete = true;
    for (const entry of entriesOf(from)) {
      const id = entry.name.split(':', 1)[0]!;
      if (!entry.isFile() || done.has(id) || isLeftOut(entry.name)) continue;
      if (addCounted(writer, `${from}/${entry.name}`, `${to}/${entry.name}`, entry.name, tally)) done.add(id);
      else isComplete = false;
    }
  }
}

function addCounted(writer: ArchiveWriter, from: string, to: string, name: string, tally: MailboxTally): boolean {
  if (!isSafeSegment(name)) {
    tally.unnamed++;
    return true;
  }
  if (!addFile(writer, from, to, () => {})) return false;
  tally.files++;
  return true;
}

/** Adds a regular file; false when there is none of that name, which includes links. */
export function addFile(writer: ArchiveWriter, from: string, to: string, before: () => void): boolean {
  let fd: number;
  try {
    fd = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return false;
    throw error;
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return false;
    before();
    writer.addFrom({ path: to, type: 'file', size: stats.size, mode: 0o600, mtime: stats.mtimeMs / 1000 }, fd);
    return true;
  } finally {
    closeSync(fd);
  }
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}
