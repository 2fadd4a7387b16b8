/**
 * The `{SHA512-CRYPT}` password scheme: `$6$SALT$DIGEST`, 5000 rounds.
 * Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.6; checked against `openssl passwd -6` and
 * `doveadm pw -t`. Omits the `rounds=` parameter on purpose: no relay writes it, and a stored number would let whoever
 * wrote the file decide how long we compute.
 */

import { hash as digest, timingSafeEqual } from 'node:crypto';
import { runRounds } from './sha512-rounds.ts';

/** Prefix that makes Dovecot use the scheme whatever its default is. */
const SCHEME = '{SHA512-CRYPT}';
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const STORED = /^\{SHA512-CRYPT\}\$6\$([^$:\n]{1,16})\$[./0-9A-Za-z]{86}$/;

/** Random bytes a salt is made of: one character, six bits, from each. */
export const SALT_BYTES = 16;

/** Makes a salt of {@link SALT_BYTES} random bytes. 64 divides 256, so no character is likelier than another. */
export function formatSalt(random: Uint8Array): string {
  return Array.from(random, (byte) => ALPHABET[byte & 63]).join('');
}

/** Hashes a password with a salt of 1 to 16 characters. Takes milliseconds: for the worker, not for the event loop. */
export function hashPassword(password: Uint8Array, salt: string): string {
  return `${SCHEME}$6$${salt}$${encodeDigest(cryptDigest(password, Buffer.from(salt, 'latin1')))}`;
}

/** What is stored is no hash of ours, so no password can be called right or wrong. */
export class UnknownHashError extends Error {
  override readonly name = 'UnknownHashError';
}

/**
 * True when a stored hash of this scheme is that of the password. As slow as {@link hashPassword}.
 *
 * @throws UnknownHashError when the stored text is damaged or of another scheme
 */
export function verifyPassword(password: Uint8Array, stored: string): boolean {
  const salt = STORED.exec(stored)?.[1];
  if (salt === undefined) throw new UnknownHashError('the stored hash is not {SHA512-CRYPT}$6$SALT$DIGEST');
  return timingSafeEqual(Buffer.from(hashPassword(password, salt), 'latin1'), Buffer.from(stored, 'latin1'));
}

function sha512(...parts: Uint8Array[]): Buffer {
  return digest('sha512', parts.length === 1 ? parts[0]! : Buffer.concat(parts), 'buffer');
}

function repeatTo(bytes: Uint8Array, length: number): Buffer {
  return Buffer.alloc(length, bytes);
}

function cryptDigest(password: Uint8Array, salt: Buffer): Buffer {
  // Steps 1 to 12: A mixes password, salt and B by the bits of the password's length.
  const b = sha512(password, salt, password);
  const parts: Uint8Array[] = [password, salt, repeatTo(b, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1) parts.push(bits & 1 ? b : password);
  const a = sha512(...parts);
  // Steps 13 to 20: P and S stand for password and salt in the rounds, at the same lengths.
  const p = repeatTo(sha512(...Array<Uint8Array>(password.length).fill(password)), password.length);
  const s = repeatTo(sha512(...Array<Uint8Array>(16 + a[0]!).fill(salt)), salt.length);
  return runRounds(a, p, s);
}

/** Step 22: groups of three bytes, each a third of the digest apart, least significant six bits first. */
function encodeDigest(bytes: Buffer): string {
  let text = '';
  let [first, second, third] = [0, 21, 42];
  for (let group = 0; group < 21; group++) {
    text += encodeBits((bytes[first]! << 16) | (bytes[second]! << 8) | bytes[third]!, 4);
    [first, second, third] = [second + 1, third + 1, first + 1];
  }
  return text + encodeBits(bytes[63]!, 2);
}

function encodeBits(value: number, characters: number): string {
  let text = '';
  for (let index = 0; index < characters; index++) text += ALPHABET[(value >> (6 * index)) & 63];
  return text;
}
