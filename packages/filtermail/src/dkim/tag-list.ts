/**
 * Tag lists, `name=value; name=value` (RFC 6376 §3.2): what DKIM signatures and keys are written in. Strict: a name given twice
 * or a value with a control character makes the whole list invalid. Bounded in bytes and in tags.
 */

/** Longest list, bytes: an RSA signature of 4096 bits has 700, names of signed fields some more. */
const MAX_LIST_BYTES = 8192;
/** Most tags. RFC 6376 and its extensions define under 20. */
const MAX_TAGS = 40;

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/;
/** VALCHAR, blanks and line folds between, and bytes of UTF-8 (RFC 8616). */
const VALUE = /^[\t\n\r -~\x80-\xff]*$/;

export interface Tag {
  /** Without blanks and line folds around it; those inside are still there. */
  readonly value: string;
  /** Where the value begins in the list, right after the `=`, and where it ends, at its `;` or the end. */
  readonly start: number;
  readonly end: number;
}

/** Parses a byte string; undefined when it is not a tag list. */
export function parseTagList(text: string): ReadonlyMap<string, Tag> | undefined {
  if (text.length > MAX_LIST_BYTES) return undefined;
  const tags = new Map<string, Tag>();
  for (let at = 0; at < text.length; ) {
    const semicolon = text.indexOf(';', at);
    const end = semicolon < 0 ? text.length : semicolon;
    const equals = text.indexOf('=', at);
    const isLast = semicolon < 0;
    if (equals < 0 || equals > end) {
      // Only the last semicolon may have nothing after it.
      return isLast && trimBlanks(text.slice(at)) === '' && tags.size > 0 ? tags : undefined;
    }
    const name = trimBlanks(text.slice(at, equals));
    const value = trimBlanks(text.slice(equals + 1, end));
    if (!NAME.test(name) || !VALUE.test(value) || tags.has(name) || tags.size === MAX_TAGS) return undefined;
    tags.set(name, { value, start: equals + 1, end });
    at = end + 1;
  }
  return tags.size > 0 ? tags : undefined;
}

/** Takes blanks and line folds away from all of a value, as in base64. */
export function withoutBlanks(value: string): string {
  return value.replace(/[ \t\r\n]+/g, '');
}

/** Decodes base64 with blanks and line folds in it, strictly; undefined when it is none or nothing. */
export function decodeBase64(value: string): Buffer | undefined {
  const text = withoutBlanks(value);
  if (text === '' || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, 'base64');
}

function trimBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text, from)) from++;
  while (to > from && isBlank(text, to - 1)) to--;
  return text.slice(from, to);
}

function isBlank(text: string, at: number): boolean {
  const char = text[at];
  return char === ' ' || char === '\t' || char === '\n' || char === '\r';
}
