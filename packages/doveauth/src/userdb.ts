/**
 * What Dovecot is told about an account: one flat JSON object per look-up, because its dict driver refuses nested ones
 * (dovecot 2.3 src/auth/db-dict.c). uid and gid are numbers in text: the owner of the mailboxes, which also works where
 * that user has no name, unlike the `vmail` of older relays.
 */

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The userdb reply of an account whose mailbox directory is `home`. */
export function formatUserdbReply(home: string, owner: Owner): string {
  return JSON.stringify({ uid: String(owner.uid), gid: String(owner.gid), home });
}

/** The passdb reply with which Dovecot verifies the password itself. */
export function formatPassdbReply(hash: string): string {
  return JSON.stringify({ password: hash });
}

/** The passdb reply for a password that is already verified. */
export const VERIFIED_PASSDB_REPLY = JSON.stringify({ nopassword: 'Y' });
