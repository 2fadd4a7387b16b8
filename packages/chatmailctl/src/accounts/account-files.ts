/**
 * [io] Accounts as they lie on disk, for the operator: an account is a directory with a password file (core/mailbox.ts). A blocked
 * one has an empty password file, and beside it, under another name, the one that was there. Called as the owner of the
 * mailboxes (relay-access.ts).
 */

import { linkSync, lstatSync, opendirSync, renameSync, unlinkSync, utimesSync } from 'node:fs';
import {
  type Address,
  enforceE2eePath,
  mailboxPath,
  PASSWORD_FILE,
  parseAddress,
  passwordPath,
  syncDirectory,
  writeNewFile,
} from '#core';
import { type MailboxSize, readMailboxSize } from './mailbox-size.ts';

/** Keeps the hash of a blocked account. */
export const BLOCKED_FILE = 'password.blocked';
/** Accounts looked at before others get their turn. */
const BATCH = 64;
const DAY_MS = 86_400_000;

export interface Account extends MailboxSize {
  readonly address: string;
  readonly isBlocked: boolean;
  /** The day, YYYY-MM-DD in UTC. */
  readonly lastLogin: string;
}

export interface AccountDetails extends Account {
  /** It can be unblocked: its password has been kept. */
  readonly hasPassword: boolean;
  readonly refusesCleartext: boolean;
}

/** All accounts, in no order, without ever holding more than a few. */
export async function* listAccounts(mailboxesDir: string, signal: AbortSignal): AsyncGenerator<Account> {
  const directory = opendirSync(mailboxesDir, { bufferSize: 256 });
  try {
    let seen = 0;
    for (let entry = directory.readSync(); entry !== null && !signal.aborted; entry = directory.readSync()) {
      const address = parseAddress(entry.name);
      const account = address?.text === entry.name ? readAccount(mailboxesDir, address) : undefined;
      if (account) yield account;
      // Signals are seen between two turns of the event loop only.
      if (++seen % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    directory.closeSync();
  }
}

/** An account, or undefined when there is none of that name. */
export function readAccount(mailboxesDir: string, address: Address): Account | undefined {
  // A link to a mailbox is none: it would lead out of theirs.
  if (!lstatSync(mailboxPath(mailboxesDir, address), { throwIfNoEntry: false })?.isDirectory()) return undefined;
  const password = lstatSync(passwordPath(mailboxesDir, address), { throwIfNoEntry: false });
  if (!password?.isFile()) return undefined;
  return {
    address: address.text,
    isBlocked: password.size === 0,
    lastLogin: new Date(password.mtimeMs).toISOString().slice(0, 10),
    ...readMailboxSize(mailboxPath(mailboxesDir, address)),
  };
}

/** More about an account. */
export function readAccountDetails(mailboxesDir: string, address: Address): AccountDetails | undefined {
  const account = readAccount(mailboxesDir, address);
  if (!account) return undefined;
  const exists = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  return {
    ...account,
    hasPassword: !account.isBlocked || exists(blockedPath(mailboxesDir, address)),
    refusesCleartext: exists(enforceE2eePath(mailboxesDir, address)),
  };
}

/**
 * Blocks an account: its password file becomes an empty one of the same date; the hash is kept beside it. Interrupted anywhere,
 * the account is blocked or not, and never without its hash.
 *
 * @returns false when it was blocked already
 * @throws NodeJS.ErrnoException ENOENT when there is no such account
 */
export async function blockAccount(mailboxesDir: string, address: Address): Promise<boolean> {
  const path = passwordPath(mailboxesDir, address);
  const password = lstatSync(path);
  if (password.size === 0) return false;
  const kept = blockedPath(mailboxesDir, address);
  removeIfThere(kept);
  linkSync(path, kept);
  const directory = mailboxPath(mailboxesDir, address);
  const empty = `${directory}/.${PASSWORD_FILE}.block`;
  removeIfThere(empty);
  await writeNewFile(empty, '', { mode: 0o600 });
  utimesSync(empty, password.atimeMs / 1000, password.mtimeMs / 1000);
  await syncDirectory(directory);
  renameSync(empty, path);
  await syncDirectory(directory);
  return true;
}

/**
 * Lets an account in again, with the password it had. It counts as used today: blocked for long, it would otherwise be deleted as
 * unused before its owner hears of it.
 *
 * @throws NodeJS.ErrnoException ENOENT when its password was not kept
 */
export async function unblockAccount(mailboxesDir: string, address: Address): Promise<void> {
  const kept = blockedPath(mailboxesDir, address);
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  if (lstatSync(kept).mtimeMs < today) utimesSync(kept, today / 1000, today / 1000);
  renameSync(kept, passwordPath(mailboxesDir, address));
  await syncDirectory(mailboxPath(mailboxesDir, address));
}

function blockedPath(mailboxesDir: string, address: Address): string {
  return `${mailboxPath(mailboxesDir, address)}/${BLOCKED_FILE}`;
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
