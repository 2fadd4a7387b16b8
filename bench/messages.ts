/**
 * Encrypted messages of any size, as Delta Chat sends them: PGP/MIME (RFC 3156) around an armored OpenPGP message (RFC 9580)
 * of two PKESK and one SEIPD packet. The ciphertext is random bytes, which is what ciphertext looks like without the key;
 * nobody can decrypt it, and no filter can tell. Deterministic: a seed gives the same message every time.
 */

import { createCipheriv, createHash } from 'node:crypto';

const BOUNDARY = '18b2a4f6c0d1e2f3a4b5c6d7e8f90a1b2c';

/** Octets of base64 per armor line: 64 characters. */
const LINE_OCTETS = 48;

export interface MessageOptions {
  /** Size of the whole message with CRLF line ends, bytes. The message is at most this long, and at most 66 shorter. */
  readonly bytes: number;
  readonly from: string;
  readonly to: string;
  readonly seed?: string;
}

/**
 * Makes a message as it stands on the wire: CRLF line ends; no line starts with a dot, so that it is dot-stuffed already.
 *
 * @throws RangeError when `bytes` cannot hold headers and packets, about 1,800 bytes
 */
export function encryptedMessage(options: MessageOptions): Buffer {
  const { bytes, from, to, seed = 'chatmail' } = options;
  const random = randomStream(seed);
  const recipients = Buffer.concat([pkesk(random), pkesk(random)]);
  const [head, tail] = frame(from, to);
  // What is left for the armored lines; each line of 64 characters has a CRLF, and the checksum line takes 7 bytes.
  const room = bytes - head.length - tail.length - 7;
  const octets = Math.floor(room / 66) * LINE_OCTETS;
  // Tag, five-octet length, version.
  const ciphertextOctets = octets - recipients.length - 7;
  if (ciphertextOctets < 32) throw new RangeError(`${bytes} bytes are too few for an encrypted message`);
  const packets = Buffer.concat([recipients, seipd(random(ciphertextOctets))]);
  const checksum = Buffer.alloc(3);
  checksum.writeUIntBE(crc24(packets), 0, 3);
  return Buffer.concat([head, base64Lines(packets), Buffer.from(`=${checksum.toString('base64')}\r\n`), tail]);
}

/** What stands before and after the armored lines. */
function frame(from: string, to: string): [head: Buffer, tail: Buffer] {
  const head = [
    `From: <${from}>`,
    `To: <${to}>`,
    'Subject: [...]',
    'Date: Wed, 07 Oct 2026 12:00:00 +0000',
    'Message-ID: <4c3c7a3e-0b53-4d6e-9f0b-6a3f5d6c7b8a@localhost>',
    'Chat-Version: 1.0',
    'MIME-Version: 1.0',
    `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n\tboundary="${BOUNDARY}"`,
    '',
    '',
    `--${BOUNDARY}`,
    'Content-Type: application/pgp-encrypted; charset="utf-8"',
    'Content-Description: PGP/MIME version identification',
    'Content-Transfer-Encoding: 7bit',
    '',
    'Version: 1',
    '',
    `--${BOUNDARY}`,
    'Content-Type: application/octet-stream; name="encrypted.asc"; charset="utf-8"',
    'Content-Description: OpenPGP encrypted message',
    'Content-Disposition: inline; filename="encrypted.asc";',
    'Content-Transfer-Encoding: 7bit',
    '',
    '-----BEGIN PGP MESSAGE-----',
    '',
    '',
  ];
  const tail = ['-----END PGP MESSAGE-----', '', `--${BOUNDARY}--`, ''];
  return [Buffer.from(head.join('\r\n')), Buffer.from(tail.join('\r\n'))];
}

type RandomBytes = (octets: number) => Buffer;

/** AES-256 in counter mode over zeros: as random as a ciphertext is, because it is one. */
function randomStream(seed: string): RandomBytes {
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), Buffer.alloc(16));
  return (octets) => cipher.update(Buffer.alloc(octets));
}

/**
 * A version 3 PKESK for an ECDH key on Curve25519 (RFC 9580 §5.1.1, §5.1.5): key id, algorithm, ephemeral point of 263
 * bits, wrapped session key.
 */
function pkesk(random: RandomBytes): Buffer {
  const body = Buffer.concat([
    Buffer.of(3),
    random(8),
    Buffer.of(18, 0x01, 0x07, 0x40),
    random(32),
    Buffer.of(48),
    random(48),
  ]);
  return Buffer.concat([Buffer.of(0xc0 | 1, body.length), body]);
}

/** A version 1 SEIPD (RFC 9580 §5.13.1) with a five-octet length, which fits every size. */
function seipd(ciphertext: Buffer): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(0xc0 | 18, 0);
  head.writeUInt8(0xff, 1);
  head.writeUInt32BE(ciphertext.length + 1, 2);
  head.writeUInt8(1, 6);
  return Buffer.concat([head, ciphertext]);
}

/** `octets` must be whole lines. */
function base64Lines(octets: Buffer): Buffer {
  const lines = Buffer.alloc((octets.length / LINE_OCTETS) * 66);
  let at = 0;
  for (let start = 0; start < octets.length; start += LINE_OCTETS) {
    at += lines.write(`${octets.toString('base64', start, start + LINE_OCTETS)}\r\n`, at, 'latin1');
  }
  return lines;
}

/** The checksum of ASCII armor (RFC 9580 §6.1.1). */
function crc24(octets: Buffer): number {
  const table = Uint32Array.from({ length: 256 }, (_, index) => {
    let crc = index << 16;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x800000 ? (crc << 1) ^ 0x1864cfb : crc << 1;
    return crc & 0xffffff;
  });
  let crc = 0xb704ce;
  for (const octet of octets) crc = ((crc << 8) & 0xffffff) ^ table[((crc >> 16) ^ octet) & 0xff]!;
  return crc;
}
