/**
 * The text outside the parts of a multipart, which mail programs do not show but anybody on the way can read: blank, or one of
 * the notices that programs put before an encrypted message.
 */

import type { Direction } from './part-header.ts';

/** Most bytes looked at before the first part. */
export const MAX_PREAMBLE_BYTES = 256;
/** Most line ends and blanks after the last part. */
export const MAX_EPILOGUE_BYTES = 256;

/** What Enigmail, Thunderbird, K-9, GPGMail, ProtonMail and Python's email package write, word for word. */
const NOTICES = new Set([
  'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)',
  'This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)',
  'This is a multi-part message in MIME format.',
  'This is a cryptographically signed message in MIME format.',
  'This is a MIME-encapsulated message',
]);
/** Incoming, other wordings of such a notice too: one line, short. */
const INCOMING_NOTICE = /^This is an? (?:Open)?PGP\/MIME [ -~]{1,80}$/;

/** True for a preamble, a byte string, that says nothing of the sender's own. */
export function isHarmlessPreamble(text: string, direction: Direction): boolean {
  const notice = text.trim();
  return notice === '' || NOTICES.has(notice) || (direction === 'incoming' && INCOMING_NOTICE.test(notice));
}

/** True when all bytes are blanks and line ends. */
export function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 9 || byte === 13 || byte === 10);
}
