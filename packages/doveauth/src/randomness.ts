/**
 * [io] Randomness for `/new`. The cryptography behind it costs 3 MB and is loaded when somebody first asks.
 */

import type { Randomness } from './newcomers.ts';

/** Characters of a pseudonym: 96 bits. */
const PSEUDONYM_LENGTH = 16;

let randomness: Promise<Randomness> | undefined;

/** The randomness of this process. */
export function loadRandomness(): Promise<Randomness> {
  randomness ??= import('node:crypto').then(({ createHmac, randomBytes }) => {
    const key = randomBytes(32);
    return {
      bytes: randomBytes,
      pseudonym: (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, PSEUDONYM_LENGTH),
    };
  });
  return randomness;
}
