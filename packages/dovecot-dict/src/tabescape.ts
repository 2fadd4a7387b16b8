/**
 * "Tab-escaping": how every field of the dict protocol carries any byte inside one TAB-separated line.
 * Source: dovecot 2.3.19 src/lib/strescape.c str_tabescape, str_tabunescape.
 * Works on bytes and never decodes text: a password may hold any byte but TAB, LF, CR and 0x01.
 */

const ESCAPE = 0x01;

/** What follows 0x01 for each byte that must be escaped; 0 for all others. */
const escapeLetters = new Uint8Array(256);
/** The byte that 0x01 and this letter stand for. A letter with no meaning stands for itself, as in Dovecot. */
const escapedBytes = Uint8Array.from({ length: 256 }, (_, letter) => letter);

for (const [byte, letter] of [
  [0x00, '0'],
  [0x01, '1'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0d, 'r'],
] as const) {
  escapeLetters[byte] = letter.charCodeAt(0);
  escapedBytes[letter.charCodeAt(0)] = byte;
}

/** Escapes one field. Returns the argument itself when nothing in it needs escaping. */
export function tabEscape(field: Buffer): Buffer {
  let escapes = 0;
  for (let i = 0; i < field.length; i++) {
    if (escapeLetters[field[i]!] !== 0) escapes++;
  }
  if (escapes === 0) return field;

  const escaped = Buffer.allocUnsafe(field.length + escapes);
  let end = 0;
  for (let i = 0; i < field.length; i++) {
    const byte = field[i]!;
    const letter = escapeLetters[byte]!;
    if (letter === 0) {
      escaped[end++] = byte;
    } else {
      escaped[end++] = ESCAPE;
      escaped[end++] = letter;
    }
  }
  return escaped;
}

/** Undoes `tabEscape`. A lone 0x01 at the end is dropped. Returns the argument itself when nothing in it is escaped. */
export function tabUnescape(field: Buffer): Buffer {
  const first = field.indexOf(ESCAPE);
  if (first === -1) return field;

  const bytes = Buffer.allocUnsafe(field.length);
  field.copy(bytes, 0, 0, first);
  let end = first;
  for (let i = first; i < field.length; i++) {
    if (field[i] !== ESCAPE) {
      bytes[end++] = field[i]!;
    } else if (++i < field.length) {
      bytes[end++] = escapedBytes[field[i]!]!;
    }
  }
  return bytes.subarray(0, end);
}
