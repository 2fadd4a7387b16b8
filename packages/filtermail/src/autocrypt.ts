/**
 * Is the value of an Autocrypt field a key and nothing but a key? A securejoin request carries one in clear text, and is the
 * only mail that may: so it must not be a place for anything else. Checked are the attributes (Autocrypt 1.1 §2.1), the base64,
 * and that the packets are those of a transferable public key (RFC 9580 §10.1) whose user id names the sender.
 * Signatures are not verified: whoever lies here is refused by the recipient's client.
 */

import type { Address } from '#core';

/** Largest key, bytes of its base64. Keys of Delta Chat have 1,000; those with RSA 4096 or ML-KEM under 8,000. */
const MAX_KEY_CHARACTERS = 24_000;
const PUBLIC_KEY = 6;
/** The other packets of a transferable public key: signature, user id, subkey. */
const SIGNATURE = 2;
const USER_ID = 13;
const SUBKEY = 14;

/** True for a value as Autocrypt 1.1 has it, for that sender. */
export function isTransferableKey(value: string, from: Address): boolean {
  const attributes =
    /^addr=([^;\s]+);(?:\s*prefer-encrypt=(?:mutual|nopreference);)?\s*keydata=([A-Za-z0-9+/=\s]+);?$/.exec(value);
  if (!attributes || attributes[1]!.toLowerCase() !== from.text) return false;
  const text = attributes[2]!.replace(/\s+/g, '');
  if (text.length > MAX_KEY_CHARACTERS) return false;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text && isKey(bytes, from);
}

function isKey(bytes: Buffer, from: Address): boolean {
  let isFirst = true;
  for (let at = 0; at < bytes.length; isFirst = false) {
    const packet = readPacket(bytes, at);
    if (!packet) return false;
    const { tag, body, end } = packet;
    if (isFirst !== (tag === PUBLIC_KEY)) return false;
    if (tag === USER_ID && !namesSender(body, from)) return false;
    if (!isFirst && tag !== USER_ID && tag !== SIGNATURE && tag !== SUBKEY) return false;
    at = end;
  }
  return !isFirst;
}

/** The address, bare or in angle brackets: a name would be free text. */
function namesSender(userId: Buffer, from: Address): boolean {
  return (
    userId
      .toString('utf8')
      .replace(/^<(.*)>$/, '$1')
      .toLowerCase() === from.text
  );
}

/** One packet with a known length (RFC 9580 §4.2); keys have no others. */
function readPacket(bytes: Buffer, at: number): { tag: number; body: Buffer; end: number } | undefined {
  const head = bytes[at]!;
  if (head < 0x80) return undefined;
  const isNew = (head & 0x40) !== 0;
  const first = bytes[at + 1] ?? 0;
  const lengthBytes = isNew ? (first < 192 ? 1 : first < 224 ? 2 : first === 255 ? 5 : 0) : (1 << (head & 3)) % 8;
  if (lengthBytes === 0 || at + 1 + lengthBytes > bytes.length) return undefined;
  let length: number;
  if (isNew && lengthBytes === 2) length = ((first - 192) << 8) + bytes[at + 2]! + 192;
  else if (isNew && lengthBytes === 5) length = bytes.readUInt32BE(at + 2);
  else length = bytes.readUIntBE(at + 1, lengthBytes);
  const from = at + 1 + lengthBytes;
  const end = from + length;
  if (end > bytes.length) return undefined;
  return { tag: isNew ? head & 0x3f : (head >> 2) & 0x0f, body: bytes.subarray(from, end), end };
}
