/**
 * [io] Deletes an account. First the mailbox is renamed out of the way, into `MAILBOXES_DIR/.expired/RUN/`, where chatmail-expire
 * does the same: what is interrupted here is finished by its next run. Then metadata-push forgets tokens and queued pushes,
 * and only then the last trace of the name goes.
 */

import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { type Address, forgetAccounts, mailboxPath, syncDirectory } from '#core';
import { asOwnerOf, type RelayAccess } from './relay-access.ts';

const EXPIRED_DIRECTORY = '.expired';

/** `forget-later`: the account and its mail are gone, but metadata-push could not be told; chatmail-expire will. */
export type DeleteOutcome = 'deleted' | 'forget-later' | 'missing';

/** Deletes an account that nobody is logged in to. */
export async function deleteAccount(relay: RelayAccess, address: Address): Promise<DeleteOutcome> {
  const { config, metadataSocket } = relay;
  const mailboxesDir = config.mailboxes_dir;
  const aside = await asOwnerOf(mailboxesDir, () => setAside(mailboxesDir, address));
  if (aside === undefined) return 'missing';
  const isForgotten = await forgetAccounts([address.text], metadataSocket, config.state_dir).then(
    () => true,
    () => false,
  );
  await asOwnerOf(mailboxesDir, async () => {
    // chatmail-expire may be finishing the same mailbox: what it has removed is no trouble.
    const names = await orMissing(readdir(aside.mailbox));
    for (const name of names ?? []) await rm(`${aside.mailbox}/${name}`, { recursive: true, force: true });
    // The empty directory is chatmail-expire's note that somebody is still to be told.
    if (!isForgotten) return;
    for (const path of [aside.mailbox, aside.run, `${mailboxesDir}/${EXPIRED_DIRECTORY}`]) removeIfEmpty(path);
  });
  return isForgotten ? 'deleted' : 'forget-later';
}

interface Aside {
  readonly run: string;
  readonly mailbox: string;
}

/** Renames a mailbox out of the way; undefined when there is none. `rename` is handed in by tests. */
export async function setAside(
  mailboxesDir: string,
  address: Address,
  rename = renameSync,
): Promise<Aside | undefined> {
  let aside: Aside | undefined;
  try {
    aside = moveAside(mailboxesDir, address, rename);
  } catch (error) {
    // chatmail-expire removes empty directories of `.expired`, ours among them.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    aside = moveAside(mailboxesDir, address, rename);
  }
  if (aside === undefined) return undefined;
  await orMissing(syncDirectory(aside.run));
  await syncDirectory(mailboxesDir);
  return aside;
}

function moveAside(mailboxesDir: string, address: Address, rename: typeof renameSync): Aside | undefined {
  const mailbox = mailboxPath(mailboxesDir, address);
  if (!lstatSync(mailbox, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const expired = `${mailboxesDir}/${EXPIRED_DIRECTORY}`;
  const run = `${expired}/run-${randomBytes(6).toString('hex')}`;
  mkdirSync(expired, { recursive: true, mode: 0o700 });
  mkdirSync(run, { mode: 0o700 });
  const aside = `${run}/${address.text}`;
  rename(mailbox, aside);
  return { run, mailbox: aside };
}

async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
  }
}
