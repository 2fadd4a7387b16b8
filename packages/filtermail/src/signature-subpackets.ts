/**
 * Reads the subpackets of a signature on a key (RFC 9580 §5.2.3.7) for autocrypt.ts, which must find no room for text: each kind at
 * most once in an area, each with the length and the values it has. What is a text by itself (policy, key server, signer's user id,
 * regular expression) is refused; so is every notation but the one Delta Chat makes, a list of the sender's own addresses.
 */

import { type Address, parseAddress } from '#core';
import type { Cursor } from './key-cursor.ts';
import { isAead, isCipher, isHash } from './session-key.ts';

/** Most addresses in the notation of Delta Chat, which reads at most as many, and the length of one, bytes. */
const MAX_RELAYS = 5;
const MAX_RELAY_BYTES = 80;
const RELAYS = 'relays@chatmail.at';
/** Readable by humans (RFC 9580 §5.2.3.24). */
const NOTATION_FLAGS = 0x80000000;

const ISSUER_KEY_ID = 16;
const NOTATION = 20;
const EMBEDDED_SIGNATURE = 32;
const ISSUER_FINGERPRINT = 33;

const isFlag = (value: Buffer) => value.length === 1 && value[0]! <= 1;
const isTime = (value: Buffer) => value.length === 4;
/** A list of preferences: ids that exist, none twice. */
const isListOf = (isId: (id: number) => boolean) => (value: Buffer) =>
  value.every(isId) && new Set(value).size === value.length;

/** What the value of a kind may be. Kinds that are not here are unknown, or a text. */
const VALUES: ReadonlyMap<number, (value: Buffer) => boolean> = new Map<number, (value: Buffer) => boolean>([
  [2, isTime],
  [3, isTime],
  [4, isFlag],
  [7, isFlag],
  [9, isTime],
  [11, isListOf(isCipher)],
  [21, isListOf(isHash)],
  [22, isListOf((id) => id <= 3)],
  [23, (value) => value.length === 1 && (value[0]! & 0x7f) === 0],
  [25, isFlag],
  [27, (value) => value.length === 1 || (value.length === 2 && value[1]! <= 0x0c)],
  // The reason for a revocation, without the words for it.
  [29, (value) => value.length === 1 && (value[0]! <= 3 || value[0] === 32)],
  [30, (value) => value.length === 1 && value[0]! <= 0x0f],
  [34, isListOf(isAead)],
  [39, isCipherSuites],
]);

/** Pairs of a cipher and an AEAD algorithm (RFC 9580 §5.2.3.15): at most all there are. */
function isCipherSuites(value: Buffer): boolean {
  const pairs = Array.from({ length: value.length / 2 }, (_, i) => value.readUInt16BE(2 * i));
  const areKnown = pairs.every((pair) => isCipher(pair >> 8) && isAead(pair & 255));
  return value.length % 2 === 0 && areKnown && new Set(pairs).size === pairs.length;
}

export interface SubpacketContext {
  /** Whose key it is. */
  readonly from: Address;
  /** Fingerprints of the keys that may have made the signature. */
  readonly issuers: readonly Buffer[];
  /** Says what is wrong with a signature inside the signature. */
  readonly checkEmbedded: (body: Buffer) => string | undefined;
}

/** Says what is wrong with an area of subpackets, if anything. */
export function checkSubpackets(area: Cursor, context: SubpacketContext): string | undefined {
  const seen = new Set<number>();
  while (!area.isOver) {
    const subpacket = area.block(area.length());
    if (!subpacket || subpacket.length === 0) return 'a signature subpacket that is cut off';
    // The upper bit says that it must be understood.
    const kind = subpacket[0]! & 0x7f;
    if (seen.has(kind)) return `a signature subpacket of type ${kind} twice`;
    seen.add(kind);
    const wrong = checkSubpacket(kind, subpacket.subarray(1), context);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function checkSubpacket(kind: number, value: Buffer, context: SubpacketContext): string | undefined {
  if (kind === NOTATION) return isRelays(value, context.from) ? undefined : 'a notation';
  if (kind === EMBEDDED_SIGNATURE) return context.checkEmbedded(value);
  if (kind === ISSUER_KEY_ID || kind === ISSUER_FINGERPRINT) {
    const fits = context.issuers.some((fingerprint) => isIssuer(kind, value, fingerprint));
    return fits ? undefined : 'a signature by another key';
  }
  const fits = VALUES.get(kind);
  if (!fits) return `a signature subpacket of type ${kind}`;
  return fits(value) ? undefined : `a signature subpacket of type ${kind} with a wrong value`;
}

/** Fingerprints of version 4 have 20 bytes, of version 6 32; key ids are the end or the beginning of them (RFC 9580 §5.5.4). */
function isIssuer(kind: number, value: Buffer, fingerprint: Buffer): boolean {
  const isVersion4 = fingerprint.length === 20;
  if (kind === ISSUER_FINGERPRINT) return value[0] === (isVersion4 ? 4 : 6) && value.subarray(1).equals(fingerprint);
  return value.equals(isVersion4 ? fingerprint.subarray(-8) : fingerprint.subarray(0, 8));
}

/** Where else the owner of the key gets mail: addresses with commas between. */
function isRelays(notation: Buffer, from: Address): boolean {
  if (notation.length < 8 || notation.readUInt32BE(0) !== NOTATION_FLAGS) return false;
  const nameBytes = notation.readUInt16BE(4);
  const name = notation.toString('latin1', 8, 8 + nameBytes);
  const value = notation.subarray(8 + nameBytes);
  if (name !== RELAYS || value.length !== notation.readUInt16BE(6)) return false;
  const addresses = value.toString('utf8').split(',');
  return (
    addresses.length <= MAX_RELAYS &&
    addresses.every((text) => text.length <= MAX_RELAY_BYTES && parseAddress(text) !== undefined) &&
    addresses.some((text) => parseAddress(text)?.text === from.text)
  );
}
