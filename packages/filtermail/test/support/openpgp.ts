/**
 * Makes OpenPGP packets, armor and PGP/MIME messages for the tests, right or wrong in any one detail. Ciphertext is pseudo-random
 * from a seed, so that a failing test fails again.
 */

import { createHash } from 'node:crypto';
import { CRC24_START, crc24Value, updateCrc24 } from '../../src/crc24.ts';

/** `length` bytes that look random, the same for the same seed. */
export function noise(length: number, seed = 'noise'): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) blocks.push(createHash('sha256').update(`${seed}/${i}`).digest());
  return Buffer.concat(blocks).subarray(0, length);
}

/** One packet in the new format, with the shortest length or one of `lengthOctets`. */
export function packet(tag: number, body: Buffer, lengthOctets?: 1 | 2 | 5): Buffer {
  const length = body.length;
  const octets = lengthOctets ?? (length < 192 ? 1 : length < 8384 ? 2 : 5);
  const head = Buffer.alloc(1 + octets, 0xff);
  head[0] = 0xc0 | tag;
  if (octets === 1) head[1] = length;
  if (octets === 2) head.writeUInt16BE(length - 192 + 0xc000, 1);
  if (octets === 5) head.writeUInt32BE(length, 2);
  return Buffer.concat([head, body]);
}

/** One packet in the old format; length type 0, 1, 2 or 3 (indeterminate). */
export function oldPacket(tag: number, body: Buffer, lengthType: 0 | 1 | 2 | 3): Buffer {
  const head = Buffer.alloc(1 + (lengthType === 3 ? 0 : 2 ** lengthType));
  head[0] = 0x80 | (tag << 2) | lengthType;
  if (lengthType < 3) head.writeUIntBE(body.length, 1, 2 ** lengthType);
  return Buffer.concat([head, body]);
}

/** One packet whose body comes in partial lengths of 2^exponent bytes. */
export function partialPacket(tag: number, body: Buffer, exponent: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0xc0 | tag])];
  let at = 0;
  for (; at + 2 ** exponent < body.length; at += 2 ** exponent) {
    parts.push(Buffer.from([0xe0 | exponent]), body.subarray(at, at + 2 ** exponent));
  }
  return Buffer.concat([...parts, packet(tag, body.subarray(at)).subarray(1)]);
}

/** PKESK version 3 for X25519 (RFC 9580 §5.1.6). */
export function pkeskV3(seed = 'pkesk'): Buffer {
  return Buffer.concat([
    Buffer.from([3]),
    noise(8, 'id'),
    Buffer.from([25]),
    noise(32, seed),
    Buffer.from([41, 9]),
    noise(40, `${seed}2`),
  ]);
}

/** PKESK version 3 for RSA with a modulus of `bytes`. */
export function pkeskRsa(bytes = 256, cipher = noise(bytes, 'rsa')): Buffer {
  const mpi = Buffer.from(cipher);
  mpi[0] = mpi[0]! | 0x80;
  const bits = Buffer.alloc(2);
  bits.writeUInt16BE(bytes * 8);
  return Buffer.concat([Buffer.from([3]), noise(8, 'id'), Buffer.from([1]), bits, mpi]);
}

/** PKESK version 3 for ECDH with Curve25519 (RFC 9580 §5.1.5). */
export function pkeskEcdh(): Buffer {
  return Buffer.concat([
    Buffer.from([3]),
    noise(8, 'id'),
    Buffer.from([18, 0x01, 0x07, 0x40]),
    noise(32, 'ecdh'),
    Buffer.from([48]),
    noise(48, 'wrapped'),
  ]);
}

/** PKESK version 6 for X25519 and a version 4 key, a version 6 key, or nobody named. */
export function pkeskV6(keyVersion: 0 | 4 | 6 = 6): Buffer {
  const key =
    keyVersion === 0
      ? Buffer.from([0])
      : Buffer.concat([Buffer.from([keyVersion === 4 ? 21 : 33, keyVersion]), noise(keyVersion === 4 ? 20 : 32, 'fp')]);
  return Buffer.concat([Buffer.from([6]), key, Buffer.from([25]), noise(32, 'pk'), Buffer.from([40]), noise(40, 'w')]);
}

/** SKESK version 4: AES-256, iterated and salted. */
export function skeskV4(): Buffer {
  return Buffer.concat([Buffer.from([4, 9, 3, 8]), noise(8, 'salt'), Buffer.from([0xe0]), noise(33, 'esk')]);
}

/** SKESK version 6: AES-256, OCB, iterated and salted (RFC 9580 §5.3.2). */
export function skeskV6(): Buffer {
  const s2k = Buffer.concat([Buffer.from([3, 8]), noise(8, 'salt'), Buffer.from([0xe0])]);
  return Buffer.concat([Buffer.from([6, 3 + 11 + 15, 9, 2, 11]), s2k, noise(15, 'iv'), noise(32 + 16, 'esk')]);
}

/** SEIPD version 1 with `length` bytes of ciphertext, or with this one. */
export function seipdV1(cipher: number | Buffer = 200): Buffer {
  return Buffer.concat([Buffer.from([1]), typeof cipher === 'number' ? noise(cipher, 'v1') : cipher]);
}

/** SEIPD version 2: AES-256, OCB, chunks of 4 KiB. */
export function seipdV2(cipher: number | Buffer = 200): Buffer {
  const bytes = typeof cipher === 'number' ? noise(cipher, 'v2') : cipher;
  return Buffer.concat([Buffer.from([2, 9, 2, 6]), noise(32, 'salt'), bytes]);
}

/** GnuPG's OCB packet: AES-256, OCB, chunks of 4 MiB. */
export function ocbData(length = 200): Buffer {
  return Buffer.concat([Buffer.from([1, 9, 2, 16]), noise(15 + length, 'ocb')]);
}

/** A whole binary message as most programs make it. */
export function encryptedBytes(cipherBytes = 200): Buffer {
  return Buffer.concat([packet(1, pkeskV3()), packet(18, seipdV1(cipherBytes))]);
}

export interface ArmorDetails {
  readonly crc?: 'right' | 'wrong' | 'none';
  readonly headers?: readonly string[];
  readonly lineLength?: number;
  readonly eol?: string;
}

/** ASCII armor. */
export function armor(bytes: Buffer, details: ArmorDetails = {}): string {
  const { crc = 'right', headers = [], lineLength = 64, eol = '\r\n' } = details;
  const sum = Buffer.alloc(3);
  sum.writeUIntBE(crc24Value(updateCrc24(CRC24_START, bytes)) ^ (crc === 'wrong' ? 1 : 0), 0, 3);
  const text = bytes.toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < text.length; at += lineLength) lines.push(text.slice(at, at + lineLength));
  const checksum = crc === 'none' ? [] : [`=${sum.toString('base64')}`];
  return ['-----BEGIN PGP MESSAGE-----', ...headers, '', ...lines, ...checksum, '-----END PGP MESSAGE-----', ''].join(
    eol,
  );
}

export const BOUNDARY = 'YFrteb74qSXmggbOxZL9dRnhymywAi';

export interface MimeDetails {
  readonly preamble?: string;
  readonly epilogue?: string;
  readonly firstHeader?: readonly string[];
  readonly first?: string;
  readonly secondHeader?: readonly string[];
  readonly second?: string;
  /** Whole parts, header included, after the two. */
  readonly more?: readonly string[];
  readonly end?: string;
}

/** The body of a PGP/MIME message, as Delta Chat writes it unless said otherwise. */
export function mimeBody(details: MimeDetails = {}): Buffer {
  const {
    preamble = '\r\n',
    epilogue = '\r\n',
    firstHeader = [
      'Content-Type: application/pgp-encrypted; charset="utf-8"',
      'Content-Transfer-Encoding: 7bit',
      'Content-Description: PGP/MIME version identification',
    ],
    first = 'Version: 1\r\n',
    secondHeader = [
      'Content-Type: application/octet-stream; name="encrypted.asc";',
      '\tcharset="utf-8"',
      'Content-Description: OpenPGP encrypted message',
      'Content-Disposition: inline; filename="encrypted.asc";',
      'Content-Transfer-Encoding: 7bit',
    ],
    second = armor(encryptedBytes()),
    more = [],
    end = `--${BOUNDARY}--`,
  } = details;
  const parts = [
    `${firstHeader.concat('', first).join('\r\n')}`,
    `${secondHeader.concat('', second).join('\r\n')}`,
    ...more,
  ];
  return Buffer.from(
    `${preamble}${parts.map((part) => `--${BOUNDARY}\r\n${part}\r\n`).join('')}${end}${epilogue}`,
    'latin1',
  );
}
