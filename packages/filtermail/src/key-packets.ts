/**
 * Is this the body of a public key packet (RFC 9580 §5.5.2) or of a signature (§5.2.3) as they are in keys of Delta Chat, GnuPG and
 * OpenPGP.js? Versions 4 and 6, the algorithms of today, every length exact. What must look random is handed back for autocrypt.ts to
 * judge. Signatures are not verified: whoever lies here is refused by the recipient's client.
 */

import { createHash } from 'node:crypto';
import type { Address } from '#core';
import { Cursor } from './key-cursor.ts';
import { isHash } from './session-key.ts';
import { checkSubpackets } from './signature-subpackets.ts';

/** Sizes of RSA keys, bytes: 1024 to 8192 bits. */
const MIN_RSA_BYTES = 128;
const MAX_RSA_BYTES = 1024;
/** Largest public exponent, bytes; it is 65537 nearly always. */
const MAX_EXPONENT_BYTES = 4;
/** By how many bytes numbers may be shorter than the largest one: chances are 1 in 2^32 for four. */
const MAX_SHORTER_BYTES = 4;
/** Length of the salt of a version 6 signature by its hash algorithm (RFC 9580 §9.5). */
const SALT_BYTES: ReadonlyMap<number, number> = new Map([
  [8, 16],
  [9, 24],
  [10, 32],
  [11, 16],
  [12, 16],
  [14, 32],
]);

const RSA = [1, 2, 3];
const ECDH = 18;
const ECDSA = 19;
const EDDSA_LEGACY = 22;
/** X25519, X448, Ed25519, Ed448: lengths of the key and of a signature, bytes. */
const NATIVE: ReadonlyMap<number, { readonly keyBytes: number; readonly signatureBytes: number }> = new Map([
  [25, { keyBytes: 32, signatureBytes: 0 }],
  [26, { keyBytes: 56, signatureBytes: 0 }],
  [27, { keyBytes: 32, signatureBytes: 64 }],
  [28, { keyBytes: 57, signatureBytes: 114 }],
]);
/** Curves by their object identifiers (RFC 9580 §9.2): bytes of a coordinate, and how a point begins. */
const CURVES: ReadonlyMap<string, { readonly bytes: number; readonly prefix: 4 | 0x40 }> = new Map([
  ['2a8648ce3d030107', { bytes: 32, prefix: 4 }],
  ['2b81040022', { bytes: 48, prefix: 4 }],
  ['2b81040023', { bytes: 66, prefix: 4 }],
  ['2b8104000a', { bytes: 32, prefix: 4 }],
  ['2b2403030208010107', { bytes: 32, prefix: 4 }],
  ['2b240303020801010b', { bytes: 48, prefix: 4 }],
  ['2b240303020801010d', { bytes: 64, prefix: 4 }],
  ['2b06010401da470f01', { bytes: 32, prefix: 0x40 }],
  ['2b060104019755010501', { bytes: 32, prefix: 0x40 }],
]);

export interface PublicKey {
  readonly algorithm: number;
  /** Of a number in its signatures, bytes. */
  readonly numberBytes: number;
  readonly fingerprint: Buffer;
  /** Pieces of the body that must look random. */
  readonly random: readonly Buffer[];
}

/** What must look random in the key's own fields, and the size of numbers in its signatures. */
type Material = Pick<PublicKey, 'random' | 'numberBytes'>;

/** A public key or subkey, or what is wrong with it. */
export function readPublicKey(body: Buffer): PublicKey | string {
  const cursor = new Cursor(body);
  const version = cursor.number(1);
  if (version !== 4 && version !== 6) return `a key of version ${version ?? 'none'}`;
  // The time it was made.
  cursor.number(4);
  const algorithm = cursor.number(1) ?? 0;
  const material = version === 6 ? cursor.block(cursor.number(4)) : body.subarray(6);
  if (!material || (version === 6 && !cursor.isOver)) return 'a key of a wrong length';
  if (!isKeyAlgorithm(algorithm)) return `a key of algorithm ${algorithm}`;
  const fields = readMaterial(new Cursor(material), algorithm);
  if (!fields) return `a key of algorithm ${algorithm} with wrong fields`;
  return { algorithm, ...fields, fingerprint: fingerprintOf(body, version) };
}

function isKeyAlgorithm(id: number): boolean {
  return RSA.includes(id) || id === ECDH || id === ECDSA || id === EDDSA_LEGACY || NATIVE.has(id);
}

function readMaterial(cursor: Cursor, algorithm: number): Material | undefined {
  const native = NATIVE.get(algorithm);
  if (native) {
    const key = cursor.block(native.keyBytes);
    return key && cursor.isOver ? { random: [key], numberBytes: native.signatureBytes } : undefined;
  }
  if (RSA.includes(algorithm)) {
    const [modulus, exponent] = [cursor.mpi(), cursor.mpi()];
    if (!modulus || !exponent || !cursor.isOver || exponent.length > MAX_EXPONENT_BYTES) return undefined;
    if (modulus.length < MIN_RSA_BYTES || modulus.length > MAX_RSA_BYTES) return undefined;
    return { random: [modulus.subarray(1)], numberBytes: modulus.length };
  }
  const curve = CURVES.get(cursor.block(cursor.number(1))?.toString('hex') ?? '');
  const point = cursor.mpi();
  if (!curve || !point || point[0] !== curve.prefix) return undefined;
  if (point.length !== 1 + curve.bytes * (curve.prefix === 4 ? 2 : 1)) return undefined;
  // How keys are derived: three octets, of which the first is 1, a hash, a cipher (RFC 9580 §5.5.5.6).
  const derivation = algorithm === ECDH ? cursor.block(4) : undefined;
  if (algorithm === ECDH) {
    const [bytes, reserved, hash, cipher] = derivation ?? [];
    if (bytes !== 3 || reserved !== 1 || !isHash(hash) || cipher! < 7 || cipher! > 9) return undefined;
  }
  return cursor.isOver ? { random: [point.subarray(1)], numberBytes: curve.bytes } : undefined;
}

/** RFC 9580 §5.5.4. */
function fingerprintOf(body: Buffer, version: 4 | 6): Buffer {
  const head = Buffer.alloc(version === 4 ? 3 : 5, version === 4 ? 0x99 : 0x9b);
  head.writeUIntBE(body.length, 1, version === 4 ? 2 : 4);
  return createHash(version === 4 ? 'sha1' : 'sha256')
    .update(head)
    .update(body)
    .digest();
}

export interface SignatureContext {
  readonly from: Address;
  /** Types it may have. */
  readonly types: readonly number[];
  readonly by: PublicKey;
  /** The subkey it binds, which signs in return, inside of it. */
  readonly subkey?: PublicKey | undefined;
}

const BACK_SIGNATURE = 0x19;

/** The pieces of a signature that must look random, or what is wrong with it. */
export function readSignature(body: Buffer, context: SignatureContext): readonly Buffer[] | string {
  const cursor = new Cursor(body);
  const version = cursor.number(1);
  if (version !== 4 && version !== 6) return `a signature of version ${version ?? 'none'}`;
  const [type, algorithm, hash] = [cursor.number(1), cursor.number(1), cursor.number(1)];
  if (!context.types.includes(type ?? -1)) return `a signature of type ${type ?? 'none'} where none belongs`;
  if (algorithm !== context.by.algorithm || !isHash(hash)) return 'a signature of another algorithm than its key';
  const random: Buffer[] = [];
  for (let area = 0; area < 2; area++) {
    const subpackets = cursor.block(cursor.number(version === 4 ? 2 : 4));
    if (!subpackets) return 'a signature that is cut off';
    const wrong = checkSubpackets(new Cursor(subpackets), {
      from: context.from,
      issuers: [context.by.fingerprint],
      checkEmbedded: (embedded) => checkBackSignature(embedded, context, random),
    });
    if (wrong !== undefined) return wrong;
  }
  // The beginning of the hash, to find wrong keys early.
  cursor.number(2);
  if (version === 6) {
    const salt = cursor.block(cursor.number(1));
    if (!salt || salt.length !== SALT_BYTES.get(hash!)) return 'a signature with a wrong salt';
    random.push(salt);
  }
  const numbers = readNumbers(cursor, context.by);
  if (!numbers || !cursor.isOver) return `a signature of algorithm ${algorithm} with wrong fields`;
  return [...random, ...numbers];
}

/** A subkey that signs says so itself (RFC 9580 §5.2.1.10). */
function checkBackSignature(body: Buffer, { from, subkey }: SignatureContext, random: Buffer[]): string | undefined {
  if (!subkey) return 'a signature inside a signature';
  const result = readSignature(body, { from, types: [BACK_SIGNATURE], by: subkey });
  if (typeof result === 'string') return result;
  random.push(...result);
  return undefined;
}

function readNumbers(cursor: Cursor, { algorithm, numberBytes }: PublicKey): Buffer[] | undefined {
  if (NATIVE.has(algorithm)) {
    const signature = numberBytes > 0 ? cursor.block(numberBytes) : undefined;
    return signature && [signature];
  }
  const numbers = RSA.includes(algorithm) ? [cursor.mpi()] : [cursor.mpi(), cursor.mpi()];
  const fits = numbers.every(
    (number) => number && number.length <= numberBytes && number.length >= numberBytes - MAX_SHORTER_BYTES,
  );
  return fits && algorithm !== ECDH ? numbers.map((number) => number!.subarray(1)) : undefined;
}
