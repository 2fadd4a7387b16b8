/**
 * Reply values, and their bytes. Only replies of the protocol's table can be built: an unexpected letter, or an empty
 * line for a lookup, makes Dovecot 2.3.19 crash the user's IMAP process.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.h DICT_PROTOCOL_REPLY_*.
 * Omits the optional timing fields and the asynchronous ids (`*`, `+`): replies are sent in order of arrival.
 */
import { tabEscape } from './tabescape.ts';

/** Bytes to send: a Buffer as it is, a string as UTF-8. */
export type Bytes = Buffer | string;

export interface Found {
  readonly kind: 'found';
  /** May be empty. */
  readonly value: Bytes;
}

export interface FoundMany {
  readonly kind: 'foundMany';
  /** Most callers in Dovecot use only the first. */
  readonly values: readonly [Bytes, ...Bytes[]];
}

/** For a commit: an increment of a key that does not exist. */
export interface NotFound {
  readonly kind: 'notFound';
}

/** `text` goes to Dovecot's log: a short reason without anything private. */
export interface Failed {
  readonly kind: 'failed';
  readonly text: string;
}

export interface Committed {
  readonly kind: 'committed';
}

/** The commit may or may not have happened. */
export interface Uncertain {
  readonly kind: 'uncertain';
  readonly text: string;
}

export type LookupReply = Found | FoundMany | NotFound | Failed;
export type CommitReply = Committed | NotFound | Failed | Uncertain;

/** One result of an iteration. The key starts with the path that was asked for, and is longer than nothing. */
export interface DictRow {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly moreValues?: readonly Bytes[];
}

export function found(value: Bytes): Found {
  return { kind: 'found', value };
}

export function foundMany(values: readonly [Bytes, ...Bytes[]]): FoundMany {
  return { kind: 'foundMany', values };
}

export const notFound: NotFound = { kind: 'notFound' };

export function failed(text: string): Failed {
  return { kind: 'failed', text };
}

export const committed: Committed = { kind: 'committed' };

export function uncertain(text: string): Uncertain {
  return { kind: 'uncertain', text };
}

const TAB = 0x09;
const LF = 0x0a;
const LETTER_OK = 0x4f;
const LETTER_MULTI = 0x4d;
const LETTER_NOT_FOUND = 0x4e;
const LETTER_FAIL = 0x46;
const LETTER_UNCERTAIN = 0x57;

/** Longest error text sent, characters: it becomes part of one log line. */
const MAX_TEXT_CHARS = 200;

/** @throws TypeError if the value is not a lookup reply; nothing else may reach the wire. */
export function encodeLookupReply(reply: LookupReply): Buffer {
  switch (reply.kind) {
    case 'found':
      return encodeLine(LETTER_OK, [tabEscape(toBuffer(reply.value))]);
    case 'foundMany': {
      if (reply.values.length === 0) break;
      // The list is escaped twice: each value, then their joined line as the one field of the reply.
      const list = encodeLine(
        LETTER_MULTI,
        reply.values.map((value) => tabEscape(toBuffer(value))),
      ).subarray(1, -1);
      return encodeLine(LETTER_MULTI, [tabEscape(list)]);
    }
    case 'notFound':
      return encodeLine(LETTER_NOT_FOUND, []);
    case 'failed':
      return encodeLine(LETTER_FAIL, [encodeText(reply.text)]);
  }
  throw new TypeError('not a lookup reply');
}

/** `id` is the transaction's. @throws TypeError if the value is not a commit reply. */
export function encodeCommitReply(reply: CommitReply, id: number): Buffer {
  switch (reply.kind) {
    case 'committed':
      return encodeLine(LETTER_OK, []);
    case 'notFound':
      return encodeLine(LETTER_NOT_FOUND, []);
    case 'failed':
      return encodeLine(LETTER_FAIL, [Buffer.from(`${id}`, 'latin1'), encodeText(reply.text)]);
    case 'uncertain':
      return encodeLine(LETTER_UNCERTAIN, [Buffer.from(`${id}`, 'latin1'), encodeText(reply.text)]);
  }
  throw new TypeError('not a commit reply');
}

/** `withoutValues`: the client set `DICT_ITERATE_FLAG_NO_VALUE`; the TAB before the value stays. */
export function encodeRow(row: DictRow, withoutValues: boolean): Buffer {
  const fields = withoutValues ? [row.key, ''] : [row.key, row.value, ...(row.moreValues ?? [])];
  return encodeLine(
    LETTER_OK,
    fields.map((field) => tabEscape(toBuffer(field))),
  );
}

/** Without one of the two ends of an iteration the client waits for 60 s. */
export function encodeIterationEnd(): Buffer {
  return Buffer.of(LF);
}

/** @throws TypeError if the value is not `Failed`. */
export function encodeIterationFailure(reply: Failed): Buffer {
  if (reply.kind !== 'failed') throw new TypeError('not a failure');
  return encodeLine(LETTER_FAIL, [encodeText(reply.text)]);
}

export function toBuffer(bytes: Bytes): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8');
  if (Buffer.isBuffer(bytes)) return bytes;
  throw new TypeError('neither a Buffer nor a string');
}

/** Control characters become spaces: the client unescapes the text again before it writes its log line. */
function encodeText(text: string): Buffer {
  return Buffer.from(text.slice(0, MAX_TEXT_CHARS).replace(/\p{Cc}/gu, ' '), 'utf8');
}

function encodeLine(letter: number, escapedFields: readonly Buffer[]): Buffer {
  let length = 2 + Math.max(0, escapedFields.length - 1);
  for (const field of escapedFields) length += field.length;
  const line = Buffer.allocUnsafe(length);
  line[0] = letter;
  let end = 1;
  escapedFields.forEach((field, index) => {
    if (index > 0) line[end++] = TAB;
    end += field.copy(line, end);
  });
  line[end] = LF;
  return line;
}
