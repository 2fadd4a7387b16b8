/**
 * What the corpus is made of: one message with what filtermail must say to it in each direction, and the parts messages share.
 */

import {
  armor,
  BOUNDARY,
  encryptedBytes,
  type MimeDetails,
  mimeBody,
} from '../../../packages/filtermail/test/support/openpgp.ts';

export interface Entry {
  /** Of the file, without `.eml`. */
  readonly name: string;
  /** Reason codes of verdict.ts. */
  readonly outgoing: string;
  readonly incoming: string;
  /** One line for whoever reads expected.tsv. */
  readonly why: string;
  /** Lines end in CRLF. */
  readonly text: string;
}

export const FROM = 'From: <alice@relay.test>';
export const TYPE = `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="${BOUNDARY}"`;

/** The header of most messages, without Content-Type. */
export function commonHeader(from = FROM): string[] {
  return [
    from,
    'To: "hidden-recipients": ;',
    'Subject: [...]',
    'Date: Mon, 1 Jan 2024 10:00:00 +0000',
    'Message-ID: <b1946ac9-2492-4d23-87c6-235b4d2611184@localhost>',
    'MIME-Version: 1.0',
  ];
}

/** A whole message. */
export function message(header: readonly string[], body: string): string {
  return `${header.join('\r\n')}\r\n\r\n${body}`;
}

/** A PGP/MIME message as Delta Chat shapes it, unless said otherwise. */
export function pgpMime(details: MimeDetails = {}, header: readonly string[] = [...commonHeader(), TYPE]): string {
  return message(header, mimeBody(details).toString('latin1'));
}

/** A PGP/MIME message with these packets, or with the text of an armor. */
export function withArmor(content: Buffer | string): string {
  return pgpMime({ second: typeof content === 'string' ? crlf(content) : armor(content) });
}

/** What somebody would like to send in clear text. */
export const NOON = 'Dear Bob, let us meet at noon under the old clock, and tell nobody of it. ';

/** Packets of a message that is good in itself. */
export const GOOD = armor(encryptedBytes(300));

/** Line ends as they go over the wire. */
export function crlf(text: string): string {
  return text.replace(/\r?\n/g, '\r\n');
}

/** Accepted in both directions. */
export function encrypted(name: string, why: string, text: string): Entry {
  return { name, outgoing: 'encrypted', incoming: 'encrypted', why, text };
}

/** Refused in both directions for the same reason. */
export function refused(name: string, reason: string, why: string, text: string): Entry {
  return { name, outgoing: reason, incoming: reason, why, text };
}
