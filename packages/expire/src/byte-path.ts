/**
 * File names as bytes. Linux names are bytes, not text, and a name that is no UTF-8 must still be removable. Everything in
 * this package holds paths as *byte strings*: strings in which each character is one byte (latin1). They compare, split and
 * join like text, cost no object of their own, and become what the file system wants in {@link toSystemPath}.
 */

import { Buffer } from 'node:buffer';

/** A path or a name, one character (U+0000 to U+00FF) for each byte. */
export type BytePath = string;

const NON_ASCII = /[^\x00-\x7f]/;

/** Byte string of a path that came from the configuration or the command line. */
export function fromText(path: string): BytePath {
  return NON_ASCII.test(path) ? Buffer.from(path, 'utf8').toString('latin1') : path;
}

/** What `node:fs` takes: the text itself where it is ASCII, else its bytes. */
export function toSystemPath(path: BytePath): string | Buffer {
  return NON_ASCII.test(path) ? Buffer.from(path, 'latin1') : path;
}

/** Text for people: UTF-8 where the bytes are, `\xHH` for control characters and for bytes that are no UTF-8. */
export function formatPath(path: BytePath): string {
  const bytes = Buffer.from(path, 'latin1');
  const text = bytes.toString('utf8');
  const isUtf8 = Buffer.from(text, 'utf8').equals(bytes);
  return (isUtf8 ? text : path).replace(isUtf8 ? /[\x00-\x1f\x7f-\x9f\\]/g : /[^\x20-\x5b\x5d-\x7e]/g, escapeByte);
}

function escapeByte(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
