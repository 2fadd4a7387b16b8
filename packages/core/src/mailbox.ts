/**
 * Where an account lives on disk. The layout is the one existing relays have, so that moving over needs no conversion:
 * `MAILBOXES_DIR/ADDRESS/` is the maildir and also holds the files named here. Paths only; nothing is read or written.
 */

import type { Address } from './address.ts';

/** Holds `{SHA512-CRYPT}...`; its mtime is the day of the last login. Empty means blocked. */
export const PASSWORD_FILE = 'password';
/** While it exists, incoming clear-text mail for this account is refused. */
export const ENFORCE_E2EE_FILE = 'enforceE2EEincoming';

/** Absolute path of the account's directory. Safe by construction: an {@link Address} cannot leave `mailboxesDir`. */
export function mailboxPath(mailboxesDir: string, address: Address): string {
  return `${mailboxesDir}/${address.text}`;
}

/** Absolute path of the account's password file. */
export function passwordPath(mailboxesDir: string, address: Address): string {
  return `${mailboxPath(mailboxesDir, address)}/${PASSWORD_FILE}`;
}

/** Absolute path of the file that makes the account refuse incoming clear-text mail. */
export function enforceE2eePath(mailboxesDir: string, address: Address): string {
  return `${mailboxPath(mailboxesDir, address)}/${ENFORCE_E2EE_FILE}`;
}
