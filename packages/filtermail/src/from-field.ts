/**
 * Finds the one address of a From field (RFC 5322 §3.4 and §3.6.2), or says why there is not exactly one.
 * Reads quoted strings and comments as what they are, so that no address can be hidden in or shown by them; groups, lists
 * and an unquoted `@` in a display name are refused, because readers disagree on whom such mail is from.
 */

import { type Address, parseAddress } from '#core';

/** Longest value read, bytes. Display names of encoded words may take a few lines. */
const MAX_VALUE_BYTES = 4096;
/** Deepest nesting of comments. */
const MAX_COMMENT_DEPTH = 8;

export type FromResult =
  | { readonly ok: true; readonly address: Address }
  | { readonly ok: false; readonly reason: 'from_malformed' | 'from_not_one_address' };

const MALFORMED: FromResult = { ok: false, reason: 'from_malformed' };
const NOT_ONE: FromResult = { ok: false, reason: 'from_not_one_address' };

/** Parses the value of a From field, a byte string (UTF-8 allowed, RFC 6532). Linear in its length. */
export function parseFrom(value: string): FromResult {
  if (value.length > MAX_VALUE_BYTES) return MALFORMED;
  const text = /^[\0-\x7f]*$/.test(value) ? value : Buffer.from(value, 'latin1').toString('utf8');
  let bare = '';
  let angle: string | undefined;
  for (let at = 0; at < text.length; ) {
    const char = text[at]!;
    if (char === '"' || char === '(') {
      const end = char === '"' ? endOfQuoted(text, at) : endOfComment(text, at);
      if (end < 0) return MALFORMED;
      // A quoted string stands for a word: it must not glue what is around it into an address.
      bare += char === '"' ? '"' : ' ';
      at = end;
    } else if (char === '<') {
      const end = text.indexOf('>', at);
      if (angle !== undefined) return NOT_ONE;
      if (end < 0) return MALFORMED;
      angle = text.slice(at + 1, end);
      if (bare.includes('@')) return NOT_ONE;
      bare = '';
      at = end + 1;
    } else if (char === ',' || char === ':' || char === ';') {
      // A colon inside an unquoted address literal is part of it: [IPv6:...].
      if (char !== ':' || !bare.includes('@[')) return NOT_ONE;
      bare += char;
      at++;
    } else if ((char < ' ' && char !== '\t' && char !== '\n' && char !== '\r') || char === '\x7f' || char === '>') {
      return MALFORMED;
    } else {
      bare += char;
      at++;
    }
  }
  bare = bare.trim();
  if (angle !== undefined && bare !== '') return bare.includes('@') ? NOT_ONE : MALFORMED;
  const address = parseAddress((angle ?? bare).trim());
  return address ? { ok: true, address } : MALFORMED;
}

/** Index after the closing quote, or -1. */
function endOfQuoted(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return -1;
}

/** Index after the closing parenthesis, or -1. */
function endOfComment(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '(' && ++depth > MAX_COMMENT_DEPTH) return -1;
    else if (text[at] === ')' && --depth === 0) return at + 1;
  }
  return -1;
}
