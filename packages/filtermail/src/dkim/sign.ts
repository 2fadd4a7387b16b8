/**
 * DKIM-Signature fields for mail of ours (RFC 6376 §5, RFC 8463): relaxed/relaxed, because some servers on the way still change
 * blanks; no `l=`, no `x=`. Fields that matter to readers are over-signed: named once more than they are there, so that
 * nobody can add another one.
 */

import { hash, type KeyObject, sign as signBytes } from 'node:crypto';
import { type Canonicalization, type RawField, signedHeader } from './canonical.ts';

export interface SigningKey {
  readonly selector: string;
  /** RSA or Ed25519, private. */
  readonly key: KeyObject;
}

/** The form in which bodies are to be hashed for {@link signMessage}. */
export const SIGNED_BODY_FORM: Canonicalization = 'relaxed';

/** Signed, and over-signed: what says who wrote to whom, when, in answer to what, and how the content is to be read. */
const OVERSIGNED = [
  'from',
  'to',
  'cc',
  'subject',
  'date',
  'reply-to',
  'in-reply-to',
  'references',
  'autocrypt',
  'content-type',
];
/** Signed as often as they are there. Fields of the way, which servers add and change, are in neither list. */
const SIGNED = new Set([
  ...OVERSIGNED,
  'sender',
  'message-id',
  'mime-version',
  'content-transfer-encoding',
  'content-disposition',
  'auto-submitted',
  'autocrypt-setup-message',
]);
/** Families of fields, by how their names begin: of the client, and of mailing lists. */
const SIGNED_FAMILIES = /^(?:chat-|secure-join|list-|resent-)/;

/** Most fields signed; further ones at the top of the header go unsigned. Bounds the length of `h=`. */
const MAX_SIGNED_FIELDS = 100;
/** Longest line of the field, characters (RFC 5322 §2.1.1). */
const LINE_LENGTH = 76;

/** What is to be signed. */
export interface UnsignedMessage {
  /** The header as it will leave. */
  readonly fields: readonly RawField[];
  /** The hash of the body in {@link SIGNED_BODY_FORM}. */
  readonly bodyHash: Buffer;
  /** That of From, ASCII. */
  readonly domain: string;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
}

/** The value of a DKIM-Signature field, folded with LF and TAB, without a blank at its beginning. */
export function signMessage(
  { fields, bodyHash, domain, nowSeconds }: UnsignedMessage,
  { selector, key }: SigningKey,
): string {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const names = fieldNamesToSign(fields);
  const value = fold([
    'v=1;',
    `a=${isRsa ? 'rsa' : 'ed25519'}-sha256;`,
    `c=relaxed/${SIGNED_BODY_FORM};`,
    `d=${domain};`,
    `s=${selector};`,
    `t=${nowSeconds};`,
    ...names.map((name, i) => `${i === 0 ? 'h=' : ''}${name}${i === names.length - 1 ? ';' : ':'}`),
    `bh=${bodyHash.toString('base64')};`,
    'b=',
  ]);
  const data = signedHeader('relaxed', names, fields, { rawName: 'DKIM-Signature', rawValue: value });
  // RFC 8463 §3: Ed25519 signs the hash.
  const bytes = isRsa ? signBytes('sha256', data, key) : signBytes(null, hash('sha256', data, 'buffer'), key);
  return value + bytes.toString('base64').replace(/.{1,74}/g, '\n\t$&');
}

/** `h=`: in the order of the header from its end, as verifiers take the fields (§5.4.2). */
function fieldNamesToSign(fields: readonly RawField[]): string[] {
  const present = fields.map(({ name }) => name).filter((name) => SIGNED.has(name) || SIGNED_FAMILIES.test(name));
  return [...present.reverse().slice(0, MAX_SIGNED_FIELDS), ...OVERSIGNED];
}

/** Words with a blank between them, or a line fold where a line would get too long; none inside `h=`. */
function fold(words: readonly string[]): string {
  let text = '';
  let lineLength = 'DKIM-Signature: '.length;
  for (const word of words) {
    const separator = text === '' || text.endsWith(':') ? '' : ' ';
    if (lineLength + separator.length + word.length > LINE_LENGTH) {
      text += `\n\t${word}`;
      lineLength = 1 + word.length;
    } else {
      text += separator + word;
      lineLength += separator.length + word.length;
    }
  }
  return text;
}
