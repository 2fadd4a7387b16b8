/**
 * [io] Looks up whether an account takes incoming clear text: it does when its mailbox has no file `enforceE2EEincoming`.
 * Nothing is cached, so that the operator's `rm` and `touch` count at once; only refused mail ever causes a look-up.
 */

import { stat } from 'node:fs/promises';
import { type Address, enforceE2eePath, parseAddress } from '#core';
import type { CleartextPolicy } from './incoming.ts';

/** Reads the mailboxes below `mailboxesDir`. */
export function createE2eeStore(mailboxesDir: string): CleartextPolicy {
  return {
    async allowsCleartext(recipient) {
      if (await exists(enforceE2eePath(mailboxesDir, withoutExtension(recipient)))) return false;
      // All mailboxes missing is a disk that is not mounted, and not everybody's wish.
      if (await exists(mailboxesDir)) return true;
      throw new Error('the directory of all mailboxes does not exist');
    },
  };
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
