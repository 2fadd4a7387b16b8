/**
 * Messages of the shapes a relay tells apart, for the raw SMTP client. The encrypted one is OpenPGP framing around bytes
 * that look random (RFC 9580 section 10): what a relay can check, and all it can check.
 */

import { createHash } from 'node:crypto';

export interface Envelope {
  readonly from: string;
  readonly to: string;
}

function headers(envelope: Envelope, more: readonly string[]): string {
  return [
    `From: <${envelope.from}>`,
    `To: <${envelope.to}>`,
    'Date: Thu, 01 Jan 2026 00:00:00 +0000',
    `Message-ID: <demo@${envelope.from.split('@')[1]}>`,
    'MIME-Version: 1.0',
    'Subject: [...]',
    ...more,
    '',
    '',
  ].join('\r\n');
}

/** What any ordinary mail program sends. */
export function clearTextMessage(envelope: Envelope): string {
  return `${headers(envelope, ['Content-Type: text/plain; charset=utf-8'])}Everybody on the way can read this.\r\n`;
}

/** PGP/MIME (RFC 3156 section 4) with `contentBytes` of ciphertext; the same bytes for the same envelope. */
export function encryptedMessage(envelope: Envelope, contentBytes = 300): string {
  const noise = createHash('shake256', { outputLength: RSA_BYTES + contentBytes })
    .update(`${envelope.from} ${envelope.to}`)
    .digest();
  // An RSA number of 2048 bits has its first bit set.
  noise[0]! |= 0x80;
  const keyId = Buffer.alloc(8, 0x5a);
  const sessionKey = packet(1, [3, ...keyId, 1, 8, 0], noise.subarray(0, RSA_BYTES));
  const content = packet(18, [1], noise.subarray(RSA_BYTES));
  const armored = Buffer.concat([sessionKey, content])
    .toString('base64')
    .replace(/.{1,64}/g, '$&\r\n');
  return `${headers(envelope, ['Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"'])}\
--b\r
Content-Type: application/pgp-encrypted\r
\r
Version: 1\r
\r
--b\r
Content-Type: application/octet-stream; name="encrypted.asc"\r
\r
-----BEGIN PGP MESSAGE-----\r
\r
${armored}-----END PGP MESSAGE-----\r
\r
--b--\r
`;
}

const RSA_BYTES = 256;

/** A packet in the new format with a length of five octets (RFC 9580 section 4.2.1). */
function packet(tag: number, fields: readonly number[], rest: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fields.length + rest.length);
  return Buffer.concat([Uint8Array.of(0xc0 | tag, 0xff), length, Uint8Array.from(fields), rest]);
}
