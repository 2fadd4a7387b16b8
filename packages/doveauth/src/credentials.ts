/**
 * A name and a password out of random bytes.
 */

import type { Config } from '#core';

const NAME_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** No punctuation: nothing to escape in a link, nothing to mistype from a screen. */
const PASSWORD_ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** The length clients invent names with where the relay allows it: 46 bits. */
const NAME_LENGTH = 9;
/** 131 bits, as clients that invent their own. */
const PASSWORD_LENGTH = 22;
/** How much longer than asked for a password is where `password_min_length` is near or above that. */
const PASSWORD_MARGIN = 3;

/** Gives so many random bytes. */
export type ByteSource = (count: number) => Uint8Array;

/** A local part within the limits of the configuration. */
export function inventName(
  { username_min_length, username_max_length }: Pick<Config, 'username_min_length' | 'username_max_length'>,
  draw: ByteSource,
): string {
  const length = Math.max(username_min_length, Math.min(NAME_LENGTH, username_max_length));
  return drawCharacters(NAME_ALPHABET, length, draw);
}

/** A password that is long enough for the configuration. */
export function inventPassword({ password_min_length }: Pick<Config, 'password_min_length'>, draw: ByteSource): string {
  return drawCharacters(PASSWORD_ALPHABET, Math.max(PASSWORD_LENGTH, password_min_length + PASSWORD_MARGIN), draw);
}

/** Draws characters, each as likely as any other: bytes from the last, incomplete round of the alphabet are thrown away. */
export function drawCharacters(alphabet: string, length: number, draw: ByteSource): string {
  const fair = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const byte of draw(length - text.length)) {
      if (byte < fair) text += alphabet[byte % alphabet.length];
    }
  }
  return text;
}
