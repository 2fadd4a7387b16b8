/**
 * Is the value of an Autocrypt field a key and nothing but a key? A securejoin request carries one in clear text, and is the
 * only mail that may: so it must not be a place for anything else. Checked are the attributes (Autocrypt 1.1 §2.1), the base64,
 * that the packets are those of a transferable public key (RFC 9580 §10.1) whose user id names the sender, every field of
 * them (key-packets.ts), and that what must be random looks so, as in encrypted messages.
 */

import type { Address } from '#core';
import { Cursor } from './key-cursor.ts';
import { type PublicKey, readPublicKey, readSignature } from './key-packets.ts';
import { RandomnessTest } from './randomness.ts';
import { TextScan } from './text-scan.ts';

/**
 * Largest key, characters of its base64. Keys of Delta Chat have 800, those of GnuPG with RSA 4096 and one subkey 3,000 to 3,200, with
 * one more that signs 5,300.
 */
const MAX_KEY_CHARACTERS = 12_000;
const MAX_SUBKEYS = 4;
/** Most signatures on the key itself, on its user id, and on one subkey: renewed ones come on top. */
const MAX_SIGNATURES = 4;

const PUBLIC_KEY = 6;
/** The other packets of a transferable public key. */
const SIGNATURE = 2;
const USER_ID = 13;
const SUBKEY = 14;

/** Signatures by what they are on (RFC 9580 §5.2.1): the key itself, its user id, a subkey; and their revocations. */
const ON_KEY = [0x1f, 0x20];
const ON_USER_ID = [0x10, 0x11, 0x12, 0x13, 0x30];
const ON_SUBKEY = [0x18, 0x28];

/** What is wrong with a field: it is `foreign`, not one of the sender's at all, or its key has something that does not belong there. */
export type AutocryptFault = 'foreign' | { readonly keyHas: string };

/** Says what is wrong with the value of an Autocrypt field of that sender, if anything. */
export function findAutocryptFault(value: string, from: Address): AutocryptFault | undefined {
  const attributes =
    /^addr=([^;\s]+);(?:\s*prefer-encrypt=(?:mutual|nopreference);)?\s*keydata=([A-Za-z0-9+/=\s]+);?$/.exec(value);
  if (!attributes || attributes[1]!.toLowerCase() !== from.text) return 'foreign';
  const text = attributes[2]!.replace(/\s+/g, '');
  if (text.length > MAX_KEY_CHARACTERS) return { keyHas: `more than ${MAX_KEY_CHARACTERS} characters` };
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return { keyHas: 'base64 that is not valid' };
  const keyHas = new KeyCheck(bytes, from).run();
  return keyHas === undefined ? undefined : { keyHas };
}

class KeyCheck {
  readonly #bytes: Buffer;
  readonly #from: Address;
  readonly #randomness = new RandomnessTest();
  readonly #text = new TextScan();
  #primary: PublicKey | undefined;
  #subkey: PublicKey | undefined;
  #subkeys = 0;
  #hasUserId = false;
  #signatures = 0;
  #signatureTypes = ON_KEY;

  constructor(bytes: Buffer, from: Address) {
    this.#bytes = bytes;
    this.#from = from;
  }

  run(): string | undefined {
    for (const cursor = new Cursor(this.#bytes); !cursor.isOver; ) {
      const packet = cursor.packet();
      if (!packet) return 'a packet that is cut off';
      const wrong = this.#packet(packet.tag, packet.body);
      if (wrong !== undefined) return wrong;
    }
    if (this.#subkey && this.#signatures === 0) return 'a subkey without a signature';
    const isRandom = this.#randomness.finish();
    return this.#text.finish() && isRandom ? undefined : 'text in place of random numbers';
  }

  #packet(tag: number, body: Buffer): string | undefined {
    if (this.#primary === undefined) return tag === PUBLIC_KEY ? this.#key(body) : `a packet of type ${tag} first`;
    switch (tag) {
      case SIGNATURE:
        return this.#signature(this.#primary, body);
      case USER_ID:
        if (this.#hasUserId || this.#subkey) return 'a second user id';
        this.#hasUserId = true;
        this.#begin(ON_USER_ID);
        return namesSender(body, this.#from) ? undefined : 'a user id that is not the address';
      case SUBKEY:
        if (this.#subkey && this.#signatures === 0) return 'a subkey without a signature';
        if (++this.#subkeys > MAX_SUBKEYS) return `more than ${MAX_SUBKEYS} subkeys`;
        return this.#key(body);
      default:
        return `a packet of type ${tag}`;
    }
  }

  #begin(signatureTypes: number[]): void {
    this.#signatures = 0;
    this.#signatureTypes = signatureTypes;
  }

  #key(body: Buffer): string | undefined {
    const key = readPublicKey(body);
    if (typeof key === 'string') return key;
    if (this.#primary) this.#subkey = key;
    else this.#primary = key;
    this.#begin(this.#subkey ? ON_SUBKEY : ON_KEY);
    this.#judge(key.random);
    return undefined;
  }

  #signature(by: PublicKey, body: Buffer): string | undefined {
    if (++this.#signatures > MAX_SIGNATURES) return `more than ${MAX_SIGNATURES} signatures in a place`;
    const random = readSignature(body, {
      from: this.#from,
      types: this.#signatureTypes,
      by,
      subkey: this.#subkey,
    });
    if (typeof random === 'string') return random;
    this.#judge(random);
    return undefined;
  }

  #judge(random: readonly Buffer[]): void {
    for (const piece of random) {
      this.#randomness.push(piece, 0, piece.length);
      this.#text.push(piece, 0, piece.length, piece.byteOffset - this.#bytes.byteOffset);
    }
  }
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
