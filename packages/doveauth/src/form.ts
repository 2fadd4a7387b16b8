/**
 * `application/x-www-form-urlencoded` (WHATWG URL standard, section 5.1) as bytes: a password need not be UTF-8, and
 * URLSearchParams would replace what is not. Of a name that is given twice the last value counts.
 */

const AMPERSAND = 0x26;
const EQUALS = 0x3d;
const PERCENT = 0x25;
const PLUS = 0x2b;
const SPACE = 0x20;

/** Takes a form apart. Never throws; linear in the length. */
export function parseForm(text: Buffer): Map<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let start = 0; start < text.length; ) {
    const found = text.indexOf(AMPERSAND, start);
    const end = found === -1 ? text.length : found;
    const field = text.subarray(start, end);
    const equals = field.indexOf(EQUALS);
    const name = decode(equals === -1 ? field : field.subarray(0, equals)).toString('latin1');
    if (name !== '') fields.set(name, equals === -1 ? Buffer.alloc(0) : decode(field.subarray(equals + 1)));
    start = end + 1;
  }
  return fields;
}

/** Undoes `+` and `%XX`. A `%` without two hexadecimal digits stands for itself. */
function decode(text: Buffer): Buffer {
  const bytes = Buffer.alloc(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at]!;
    const high = byte === PERCENT ? digit(text[at + 1]) : undefined;
    const low = high === undefined ? undefined : digit(text[at + 2]);
    if (high !== undefined && low !== undefined) {
      bytes[length++] = high * 16 + low;
      at += 2;
    } else {
      bytes[length++] = byte === PLUS ? SPACE : byte;
    }
  }
  return bytes.subarray(0, length);
}

function digit(byte: number | undefined): number | undefined {
  if (byte === undefined) return undefined;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : undefined;
}
