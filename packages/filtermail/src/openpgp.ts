/**
 * Walks the packets of an encrypted OpenPGP message as a stream (RFC 9580 §10.3: "ESK Sequence, Encrypted Data"): one or more
 * PKESK or SKESK, then exactly one SEIPD, version 1 or 2, that ends where the data ends. Packet headers in the old and the new
 * format; partial lengths for the SEIPD only; no indeterminate lengths. Incoming mail may also have GnuPG's OCB packet
 * (tag 20, draft-ietf-openpgp-rfc4880bis). Marker, padding and every other packet is refused, as is anything that would
 * need a key to understand. Memory: 17 session keys (of at most 4 KiB), two tests of randomness (6 KB), three scans for text.
 */

import { RandomnessTest } from './randomness.ts';
import {
  aeadNonceBytes,
  checkPkesk,
  checkSkesk,
  isAead,
  isCipher,
  MAX_SESSION_KEY_BYTES,
  type SessionKeyResult,
} from './session-key.ts';
import { TextScan } from './text-scan.ts';
import { type Fault, fault } from './verdict.ts';

const PKESK = 1;
const SKESK = 3;
const SEIPD = 18;
const OCB_DATA = 20;

/** RFC 9580 §4.2.1.4, bytes. */
const MIN_FIRST_PARTIAL_BYTES = 512;
/** Version, a block of 8 and its repetition (10), the shortest literal packet (8), modification detection (22) (RFC 9580 §5.13.1). */
const MIN_SEIPD_V1_BYTES = 1 + 10 + 8 + 22;
/** Version, cipher, AEAD, chunk size, salt (RFC 9580 §5.13.2). */
const SEIPD_V2_FIELDS_BYTES = 4 + 32;
/** Authentication tag, bytes: one for each chunk, of which there is at least one, and one at the end. */
const TAG_BYTES = 16;
/** RFC 9580 §5.13.2. GnuPG's packet had a higher bound. */
const MAX_CHUNK_SIZE_OCTET = 16;
const MAX_OCB_CHUNK_SIZE_OCTET = 56;

/** Session keys whose random parts are kept to be counted together. */
const MAX_SESSION_KEYS_KEPT = 16;
/** Most session keys: 1,000 recipients with ten keys each. The smallest ones have 6 bytes and cost as much as 10 KB of data. */
const MAX_SESSION_KEYS = 10_000;

type State = 'tag' | 'length' | 'session-key' | 'data' | 'partial-length' | 'ended';

export interface PacketOptions {
  /** GnuPG's OCB packet is accepted in place of the SEIPD. */
  readonly allowOcb: boolean;
}

/** Push reader: {@link push} the binary message in any chunking, then {@link finish}. Nothing may follow a fault. */
export class PacketWalker {
  readonly #options: PacketOptions;
  /** What has come of a session key that comes in pieces. */
  #sessionKey: Buffer | undefined;
  readonly #randomness = new RandomnessTest();
  readonly #sessionKeyRandomness = new RandomnessTest();
  /** The random parts of session keys that are still to be counted. */
  #sessionKeys: Buffer[] = [];
  #sessionKeyCount = 0;
  /** Text in session keys; in the ids and salts that come with them, each too short for a text; in the data. */
  readonly #keyText = new TextScan();
  readonly #idText = new TextScan();
  readonly #text = new TextScan();
  /** Bytes before those that are being pushed. */
  #pushed = 0;
  #state: State = 'tag';
  #tag = 0;
  #oldLengthBytes = 0;
  #length: number[] = [];
  /** Bytes to come of this packet, or of this part of it. */
  #remaining = 0;
  #isPartial = false;
  #used = 0;
  #sessionKeyVersions = new Set<number>();
  /** The fields ahead of salt, nonce and ciphertext, and how many of them there are. */
  #fields: number[] = [];
  #fieldsBytes = 1;
  #dataBytes = 0;

  constructor(options: PacketOptions) {
    this.#options = options;
  }

  push(bytes: Buffer): Fault | undefined {
    for (let at = 0; at < bytes.length; ) {
      let wrong: Fault | undefined;
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#remaining);
        wrong = this.#data(bytes, at, end);
        at = end;
      } else if (this.#state === 'session-key') {
        const end = Math.min(bytes.length, at + this.#remaining);
        wrong = this.#sessionKeyData(bytes.subarray(at, end), this.#pushed + end);
        at = end;
      } else {
        wrong = this.#header(bytes[at++]!);
      }
      if (wrong) return wrong;
    }
    this.#pushed += bytes.length;
    return undefined;
  }

  finish(): Fault | undefined {
    if (this.#state !== 'ended') {
      const nothing = this.#state === 'tag' && this.#sessionKeyVersions.size === 0;
      return fault(nothing ? 'packet_malformed' : 'packet_truncated');
    }
    if (this.#dataBytes < this.#minDataBytes()) return fault('packet_size');
    // The data first: its counts are at hand.
    const isDataRandom = this.#randomness.finish() && this.#text.finish();
    this.#countSessionKeys();
    const areKeysRandom = this.#keyText.finish() && this.#idText.finish();
    if (!this.#sessionKeyRandomness.finish() || !areKeysRandom) return fault('session_key_fake');
    return isDataRandom ? undefined : fault('ciphertext_fake');
  }

  /** All at once, and not between the tests of the single keys: two tests that take turns have to make room for each other. */
  #countSessionKeys(): void {
    for (const random of this.#sessionKeys) this.#sessionKeyRandomness.push(random, 0, random.length);
    this.#sessionKeys = [];
  }

  #header(byte: number): Fault | undefined {
    switch (this.#state) {
      case 'tag':
        return this.#tagOctet(byte);
      case 'length':
      case 'partial-length':
        this.#length.push(byte);
        return this.#lengthOctet();
      default:
        return fault('packet_trailing');
    }
  }

  #tagOctet(byte: number): Fault | undefined {
    if (byte < 0x80) return fault('packet_malformed');
    const isNew = (byte & 0x40) !== 0;
    this.#tag = isNew ? byte & 0x3f : (byte >> 2) & 0x0f;
    const isSessionKey = this.#tag === PKESK || this.#tag === SKESK;
    const isData = this.#tag === SEIPD || (this.#tag === OCB_DATA && this.#options.allowOcb);
    if (!isSessionKey && !isData) return fault('packet_unexpected', String(this.#tag));
    if (isData && this.#sessionKeyVersions.size === 0) return fault('session_key_missing');
    if (isSessionKey && ++this.#sessionKeyCount > MAX_SESSION_KEYS) return fault('session_keys_too_many');
    this.#oldLengthBytes = isNew ? 0 : (1 << (byte & 3)) % 8;
    if (!isNew && this.#oldLengthBytes === 0) return fault('packet_length');
    this.#state = 'length';
    return undefined;
  }

  /** RFC 9580 §4.2.1 (new format) and §4.2.2 (old). */
  #lengthOctet(): Fault | undefined {
    const octets = this.#length;
    const first = octets[0]!;
    if (this.#oldLengthBytes > 0) {
      return octets.length < this.#oldLengthBytes ? undefined : this.#startBody(bigEndian(octets), false);
    }
    if (first < 192) return this.#startBody(first, false);
    if (first < 224) {
      return octets.length < 2 ? undefined : this.#startBody(((first - 192) << 8) + octets[1]! + 192, false);
    }
    if (first === 255) return octets.length < 5 ? undefined : this.#startBody(bigEndian(octets.slice(1)), false);
    const partialBytes = 2 ** (first & 0x1f);
    const isAllowed = this.#tag >= SEIPD && (this.#dataBytes > 0 || partialBytes >= MIN_FIRST_PARTIAL_BYTES);
    return isAllowed ? this.#startBody(partialBytes, true) : fault('packet_length');
  }

  #startBody(length: number, isPartial: boolean): Fault | undefined {
    this.#length = [];
    this.#remaining = length;
    this.#isPartial = isPartial;
    if (this.#tag >= SEIPD) {
      this.#state = length === 0 ? 'ended' : 'data';
      return undefined;
    }
    this.#state = 'session-key';
    this.#used = 0;
    return length === 0 || length > MAX_SESSION_KEY_BYTES ? fault('packet_size') : undefined;
  }

  /** `end` is the place after the piece. */
  #sessionKeyData(piece: Buffer, end: number): Fault | undefined {
    this.#remaining -= piece.length;
    if (this.#remaining === 0 && this.#used === 0) return this.#endSessionKey(piece, end);
    this.#sessionKey ??= Buffer.allocUnsafe(MAX_SESSION_KEY_BYTES);
    this.#used += piece.copy(this.#sessionKey, this.#used);
    return this.#remaining > 0 ? undefined : this.#endSessionKey(this.#sessionKey.subarray(0, this.#used), end);
  }

  #endSessionKey(body: Buffer, end: number): Fault | undefined {
    const result: SessionKeyResult = this.#tag === PKESK ? checkPkesk(body) : checkSkesk(body);
    if ('code' in result) return result;
    const { version, key, other } = result;
    this.#sessionKeyVersions.add(version);
    const place = end - body.length - body.byteOffset;
    for (const part of key) this.#keyText.push(part, 0, part.length, place + part.byteOffset);
    if (other) this.#idText.push(other, 0, other.length, place + other.byteOffset);
    if (this.#keyText.failed || this.#idText.failed) return fault('session_key_fake');
    if (key.length > 0 || other) this.#sessionKeys.push(Buffer.concat(other ? [other, ...key] : key));
    if (this.#sessionKeys.length >= MAX_SESSION_KEYS_KEPT) this.#countSessionKeys();
    this.#state = 'tag';
    return undefined;
  }

  #data(bytes: Buffer, from: number, end: number): Fault | undefined {
    let at = from;
    this.#remaining -= end - from;
    this.#dataBytes += end - from;
    while (at < end && this.#fields.length < this.#fieldsBytes) {
      this.#fields.push(bytes[at++]!);
      if (this.#fields.length === 1 || this.#fields.length === 4) {
        const wrong = this.#checkFields();
        if (wrong) return wrong;
      }
    }
    this.#randomness.push(bytes, at, end);
    this.#text.push(bytes, at, end, this.#pushed + at);
    if (this.#randomness.failed || this.#text.failed) return fault('ciphertext_fake');
    if (this.#remaining === 0) this.#state = this.#isPartial ? 'partial-length' : 'ended';
    return undefined;
  }

  /** After the version, and again after the fourth octet of those versions that have more. */
  #checkFields(): Fault | undefined {
    const [version, cipher, aead, chunkSize] = this.#fields;
    const wrong = fault('packet_version');
    if (this.#tag === SEIPD && version === 1) return this.#hasSessionKeysOnlyOf(3, 4) ? undefined : wrong;
    if (this.#tag === SEIPD && version !== 2) return wrong;
    if (this.#tag === OCB_DATA && version !== 1) return wrong;
    if (cipher === undefined) {
      this.#fieldsBytes = 4;
      // RFC 9580 §10.3.2.1: session keys must be of the version that goes with the data.
      const fits = this.#tag === SEIPD ? this.#hasSessionKeysOnlyOf(6) : this.#hasSessionKeysOnlyOf(3, 4, 5);
      return fits ? undefined : wrong;
    }
    const maxChunkSize = this.#tag === SEIPD ? MAX_CHUNK_SIZE_OCTET : MAX_OCB_CHUNK_SIZE_OCTET;
    if (!isCipher(cipher) || !isAead(aead) || chunkSize! > maxChunkSize) return wrong;
    return undefined;
  }

  #hasSessionKeysOnlyOf(...versions: number[]): boolean {
    return [...this.#sessionKeyVersions].every((version) => versions.includes(version));
  }

  #aeadFieldsBytes(): number {
    return this.#tag === SEIPD ? SEIPD_V2_FIELDS_BYTES : 4 + aeadNonceBytes(this.#fields[2]!);
  }

  #minDataBytes(): number {
    const isVersion1 = this.#tag === SEIPD && this.#fields[0] === 1;
    if (isVersion1) return MIN_SEIPD_V1_BYTES;
    return this.#fields.length < 4 ? Number.POSITIVE_INFINITY : this.#aeadFieldsBytes() + 1 + 2 * TAG_BYTES;
  }
}

/** Unsigned, up to four octets. */
function bigEndian(octets: readonly number[]): number {
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}
