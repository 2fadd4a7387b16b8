/**
 * [io] Looks up whether an account takes incoming clear text: it does when it has a mailbox without the file
 * `enforceE2EEincoming`.
 * Nothing is cached, so that the operator's `rm` and `touch` count at once; only refused mail ever causes a look-up.
 */

import { opendir, stat } from 'node:fs/promises';
import { type Address, enforceE2eePath, mailboxPath, parseAddress } from '#core';
import type { CleartextPolicy } from './incoming.ts';

/** Reads the mailboxes below `mailboxesDir`. */
export function createE2eeStore(mailboxesDir: string): CleartextPolicy {
  return {
    async allowsCleartext(recipient) {
      const address = withoutExtension(recipient);
      if (await exists(enforceE2eePath(mailboxesDir, address))) return false;
      if (await exists(mailboxPath(mailboxesDir, address))) return true;
      // Who has no mailbox has no wish. Where nobody has one, a disk is not mounted, and it is not known who wishes what.
      if (await hasMailboxes(mailboxesDir)) return false;
      throw new Error('mailboxes_dir holds no mailboxes');
    },
  };
}

/** @throws NodeJS.ErrnoException when the directory does not exist or cannot be read */
async function hasMailboxes(mailboxesDir: string): Promise<boolean> {
  for await (const { name } of await opendir(mailboxesDir)) if (parseAddress(name)) return true;
  return false;
}

/** Mail to `name+anything` goes to the mailbox of `name` (Postfix recipient_delimiter), so its wish counts. */
function withoutExtension(recipient: Address): Address {
  const plus = recipient.localPart.indexOf('+');
  if (plus <= 0) return recipient;
  return parseAddress(`${recipient.localPart.slice(0, plus)}@${recipient.domain}`) ?? recipient;
}

/** @throws NodeJS.ErrnoException when it cannot be found out */
async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    throw error;
  }
}
