/**
 * Is this the body of an encrypted session key packet? PKESK (RFC 9580 §5.1) versions 3 and 6, SKESK (§5.3) versions 4 and 6,
 * and version 5 of GnuPG. Every length inside must fit exactly, and what must be random for its algorithm has to look it, salts
 * and key ids too: session keys are the one place besides the data itself where text could travel. What is random is handed
 * back, so that all of a message can be judged together: many short texts are no better than a long one.
 * Nothing is decrypted and no key is looked up. Algorithms unknown here (new post-quantum ones) are judged by their size only.
 */

import { looksRandom } from './randomness.ts';
import { type Fault, fault } from './verdict.ts';

/** Largest body, bytes. RSA with 16,384 bits takes 2,060, those of draft-ietf-openpgp-pqc under 1,800. */
export const MAX_SESSION_KEY_BYTES = 4096;

/** Smallest encrypted session key: 16 bytes of key wrapped (RFC 3394), after a public value of 32. */
const MIN_PKESK_KEY_BYTES = 32 + 1 + 24;
/** Largest encrypted session key in a SKESK: nonce (16), algorithm (1), key (32), tag (16). */
const MAX_SKESK_KEY_BYTES = 16 + 1 + 32 + 16;
/** Length of an s2k specifier by its type, and of the salt in it (RFC 9580 §3.7.1). */
const S2K: ReadonlyMap<number, { readonly bytes: number; readonly saltFrom: number; readonly saltBytes: number }> =
  new Map([
    [0, { bytes: 2, saltFrom: 2, saltBytes: 0 }],
    [1, { bytes: 10, saltFrom: 2, saltBytes: 8 }],
    [3, { bytes: 11, saltFrom: 2, saltBytes: 8 }],
    [4, { bytes: 20, saltFrom: 1, saltBytes: 16 }],
  ]);
const ARGON2 = 4;

const RSA = [1, 2];
const ELGAMAL = 16;
const ECDH = 18;
const X25519 = 25;
const X448 = 26;
/** Algorithms that cannot encrypt (RFC 9580 §9.1, draft-ietf-openpgp-pqc), and the reserved 0. */
const SIGN_ONLY = [0, 3, 17, 19, 22, 27, 28, 30, 31, 32, 33, 34];

export interface SessionKey {
  readonly version: number;
  /** What is random in the encrypted key: pieces of the body, in order. */
  readonly key: readonly Buffer[];
  /** The key id, the fingerprint or the salt, a piece of the body too, when there is one. */
  readonly other: Buffer | undefined;
}

/** What a PKESK or SKESK has, when all of its body fits; else what does not. */
export type SessionKeyResult = SessionKey | Fault;

export function checkPkesk(body: Buffer): SessionKeyResult {
  const version = body[0];
  let algorithmAt: number;
  let keyId: Buffer;
  if (version === 3) {
    algorithmAt = 9;
    keyId = body.subarray(1, algorithmAt);
  } else if (version === 6) {
    // Octets of key version and fingerprint: none for an anonymous recipient, else a version 4 or a version 6 key.
    const keyBytes = body[1];
    const fits = keyBytes === 0 || (keyBytes === 21 && body[2] === 4) || (keyBytes === 33 && body[2] === 6);
    if (!fits) return fault('packet_version');
    algorithmAt = 2 + keyBytes!;
    keyId = body.subarray(3, algorithmAt);
  } else {
    return fault('packet_version');
  }
  const key = body.subarray(algorithmAt + 1);
  if (key.length < MIN_PKESK_KEY_BYTES) return fault('packet_size');
  if (SIGN_ONLY.includes(body[algorithmAt]!)) return fault('packet_version');
  const random = randomPartsOf(key, body[algorithmAt]!, version);
  if (random === undefined) return fault('packet_size');
  // Zeros stand for a recipient who is not named.
  return judge(version, random, keyId.every((byte) => byte === 0) ? undefined : keyId);
}

/** `other` is too short to be judged alone. */
function judge(version: number, key: readonly Buffer[], other: Buffer | undefined): SessionKeyResult {
  const bytes = key.length === 1 ? key[0]! : Buffer.concat(key);
  return looksRandom(bytes) ? { version, key, other } : fault('session_key_fake');
}

/** What must look random in the algorithm's own fields; undefined when their lengths do not fit. */
function randomPartsOf(key: Buffer, algorithm: number, version: number): Buffer[] | undefined {
  if (RSA.includes(algorithm)) return mpiEnd(key, 0) === key.length ? [key.subarray(3)] : undefined;
  if (algorithm === ELGAMAL) {
    const second = mpiEnd(key, 0);
    const fits = second !== undefined && mpiEnd(key, second) === key.length;
    return fits ? [key.subarray(3, second), key.subarray(second + 3)] : undefined;
  }
  if (algorithm === ECDH) {
    const end = mpiEnd(key, 0);
    const fits = end !== undefined && end + 1 + key[end]! === key.length;
    // The first octet of the point only says how it is written.
    return fits ? [key.subarray(3, end), key.subarray(end + 1)] : undefined;
  }
  if (algorithm === X25519 || algorithm === X448) {
    const publicBytes = algorithm === X25519 ? 32 : 56;
    const wrappedBytes = key[publicBytes];
    if (wrappedBytes === undefined || publicBytes + 1 + wrappedBytes !== key.length) return undefined;
    // Version 3 names the cipher in the clear, ahead of the wrapped key; it must be AES (RFC 9580 §5.1.6).
    if (version === 3 && !isAes(key[publicBytes + 1])) return undefined;
    return [key.subarray(0, publicBytes), key.subarray(publicBytes + 2)];
  }
  return [key];
}

/** Index after the MPI at `from` (RFC 9580 §3.2); undefined when its length is not that of its highest bit. */
export function mpiEnd(bytes: Buffer, from: number): number | undefined {
  if (from + 3 > bytes.length) return undefined;
  const bits = bytes.readUInt16BE(from);
  const end = from + 2 + Math.ceil(bits / 8);
  const topBits = bits % 8 === 0 ? 8 : bits % 8;
  return bits > 0 && end <= bytes.length && 32 - Math.clz32(bytes[from + 2]!) === topBits ? end : undefined;
}

export function checkSkesk(body: Buffer): SessionKeyResult {
  const version = body[0];
  if (version !== 4 && version !== 5 && version !== 6) return fault('packet_version');
  // Version 6 counts what follows, and the s2k by itself; 5 and 6 name an AEAD algorithm.
  const cipherAt = version === 6 ? 2 : 1;
  const s2kAt = version === 4 ? 2 : version === 5 ? 3 : 5;
  const aead = body[cipherAt + 1];
  const s2k = readS2k(body, s2kAt);
  if (!isCipher(body[cipherAt]) || s2k === undefined || (version !== 4 && !isAead(aead)))
    return fault('packet_version');
  if (version === 6) {
    if (body[4] !== s2k.bytes) return fault('packet_version');
    if (body[1] !== 3 + s2k.bytes + aeadNonceBytes(aead!)) return fault('packet_size');
  }
  const key = body.subarray(s2kAt + s2k.bytes);
  if (s2kAt + s2k.bytes > body.length || key.length > MAX_SKESK_KEY_BYTES) return fault('packet_size');
  // Without it the password's hash is the session key itself.
  return key.length === 0 ? { version, key: [], other: s2k.salt } : judge(version, [key], s2k.salt);
}

/** An s2k specifier: its length and its salt; undefined when its type or its hash algorithm does not exist. */
function readS2k(body: Buffer, at: number): { bytes: number; salt: Buffer | undefined } | undefined {
  const shape = S2K.get(body[at] ?? -1);
  if (!shape || (body[at] !== ARGON2 && !isHash(body[at + 1]))) return undefined;
  const saltFrom = at + shape.saltFrom;
  return {
    bytes: shape.bytes,
    salt: shape.saltBytes > 0 ? body.subarray(saltFrom, saltFrom + shape.saltBytes) : undefined,
  };
}

/** RFC 9580 §9.5. */
export function isHash(id: number | undefined): boolean {
  return id !== undefined && id >= 1 && id <= 14 && (id <= 3 || id >= 8);
}

/** RFC 9580 §9.3, without plaintext. */
export function isCipher(id: number | undefined): boolean {
  return id !== undefined && id >= 1 && id <= 13 && id !== 5 && id !== 6;
}

/** RFC 9580 §9.3: 128, 192, 256 bits. */
function isAes(id: number | undefined): boolean {
  return id === 7 || id === 8 || id === 9;
}

/** RFC 9580 §9.6: EAX, OCB, GCM. */
export function isAead(id: number | undefined): boolean {
  return id !== undefined && id >= 1 && id <= 3;
}

/** RFC 9580 §9.6, bytes. */
export function aeadNonceBytes(id: number): number {
  return id === 1 ? 16 : id === 2 ? 15 : 12;
}
