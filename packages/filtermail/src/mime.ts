/**
 * Cuts a multipart body into its parts as it streams by (RFC 2046 §5.1.1), for a judge rather than a mail reader: nothing is
 * repaired. A line that begins like the boundary and goes on differently, a bare LF in a part's header, parts beyond the number
 * expected are faults, because readers disagree on them. Parts are not decoded and nested multiparts not opened.
 * Memory: one part's header, bounded; body bytes are handed on at once.
 */

import { type Fault, fault } from './verdict.ts';

/** Largest header of a part, bytes. Real ones have under 500. */
const MAX_PART_HEADER_BYTES = 4096;
/** Most white space after a boundary, bytes (RFC 2046: transport padding). */
const MAX_PADDING_BYTES = 78;

/** Where the first dash is in a delimiter, after CR and LF. */
const DELIMITER_DASH_AT = 2;

const LF = 10;
const CR = 13;
const DASH = 0x2d;
const SPACE = 0x20;
const TAB = 9;

/** One header field of a part: name in lower case, value unfolded and trimmed. */
export interface PartField {
  readonly name: string;
  readonly value: string;
}

/** What a multipart is made of, in order. Bytes are valid only during the call. A fault ends the reading. */
export interface MultipartVisitor {
  preamble(bytes: Buffer): Fault | undefined;
  partBegin(fields: readonly PartField[]): Fault | undefined;
  partData(bytes: Buffer): Fault | undefined;
  partEnd(): Fault | undefined;
  epilogue(bytes: Buffer): Fault | undefined;
}

type State = 'preamble' | 'delimiter-end' | 'header' | 'body' | 'epilogue';

/** Push reader: {@link push} the body in any chunking, then {@link finish}. Nothing may follow a fault. */
export class MultipartReader {
  readonly #visitor: MultipartVisitor;
  readonly #delimiter: Buffer;
  #state: State = 'preamble';
  /** How much of the delimiter the last bytes were, and how much of that was only assumed: a body begins at a line start. */
  #matched = 2;
  #assumed = 2;
  /** What followed the boundary on its line. */
  #dashes = 0;
  #padding = 0;
  #afterCr = false;
  #header = '';

  /** `boundary` as the Content-Type gives it, without the leading dashes. */
  constructor(boundary: string, visitor: MultipartVisitor) {
    this.#visitor = visitor;
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  }

  push(piece: Buffer): Fault | undefined {
    for (let at = 0; at < piece.length; ) {
      const state = this.#state;
      if (state === 'epilogue') return this.#visitor.epilogue(at === 0 ? piece : piece.subarray(at));
      const result =
        state === 'header'
          ? this.#readHeader(piece, at)
          : state === 'delimiter-end'
            ? this.#endDelimiter(piece[at]!, at)
            : this.#readContent(piece, at);
      if (typeof result !== 'number') return result;
      at = result;
    }
    return undefined;
  }

  finish(): Fault | undefined {
    // The line of the final boundary need not end.
    const isClosed =
      this.#state === 'epilogue' || (this.#state === 'delimiter-end' && this.#dashes === 2 && !this.#afterCr);
    return isClosed ? undefined : fault('final_boundary_missing');
  }

  /** Preamble or part body: everything up to the delimiter, or to where one may begin at the end of the chunk. */
  #readContent(piece: Buffer, from: number): number | Fault {
    const delimiter = this.#delimiter;
    let at = from;
    if (this.#matched > 0) {
      while (at < piece.length && this.#matched < delimiter.length && piece[at] === delimiter[this.#matched]) {
        this.#matched++;
        at++;
      }
      if (this.#matched === delimiter.length) return this.#startDelimiterEnd() ?? at;
      if (at === piece.length) return at;
      // Not the delimiter after all. No byte of it but the first is a CR, so another one can only begin at this byte.
      const held = delimiter.subarray(this.#assumed, this.#matched);
      this.#matched = 0;
      this.#assumed = 0;
      const wrong = held.length > 0 ? this.#emit(held) : undefined;
      if (wrong) return wrong;
    }
    // Encrypted data has no dash: looking for the first one takes a tenth of the time.
    const dash = piece.indexOf(DASH, at);
    const found = dash < 0 ? -1 : piece.indexOf(delimiter, Math.max(at, dash - DELIMITER_DASH_AT));
    const end = found >= 0 ? found : piece.length - delimiterPrefixAtEnd(piece, at, delimiter);
    const wrong = end > at ? this.#emit(piece.subarray(at, end)) : undefined;
    if (wrong) return wrong;
    if (found >= 0) return this.#startDelimiterEnd() ?? found + delimiter.length;
    this.#matched = piece.length - end;
    return piece.length;
  }

  #emit(bytes: Buffer): Fault | undefined {
    return this.#state === 'preamble' ? this.#visitor.preamble(bytes) : this.#visitor.partData(bytes);
  }

  #startDelimiterEnd(): Fault | undefined {
    const wrong = this.#state === 'body' ? this.#visitor.partEnd() : undefined;
    this.#state = 'delimiter-end';
    this.#matched = 0;
    this.#assumed = 0;
    this.#dashes = 0;
    this.#padding = 0;
    this.#afterCr = false;
    return wrong;
  }

  /** The rest of a boundary's line: `--` when it is the final one, blanks, CRLF. */
  #endDelimiter(byte: number, at: number): number | Fault {
    const ambiguous = fault('boundary_ambiguous');
    if (this.#afterCr) {
      if (byte !== LF || this.#dashes === 1) return ambiguous;
      this.#header = '';
      this.#state = this.#dashes === 2 ? 'epilogue' : 'header';
    } else if (byte === DASH && this.#padding === 0 && this.#dashes < 2) {
      this.#dashes++;
    } else if (byte === CR) {
      this.#afterCr = true;
    } else if ((byte === SPACE || byte === TAB) && this.#dashes !== 1 && this.#padding < MAX_PADDING_BYTES) {
      this.#padding++;
    } else {
      return ambiguous;
    }
    return at + 1;
  }

  /** Up to the end of a line, or all of the header at once if it is there. */
  #readHeader(piece: Buffer, from: number): number | Fault {
    const wholeEnd = this.#header === '' ? endOfHeader(piece, from) : -1;
    const lf = wholeEnd < 0 ? piece.indexOf(LF, from) : wholeEnd - 1;
    const end = lf < 0 ? piece.length : lf + 1;
    if (this.#header.length + end - from > MAX_PART_HEADER_BYTES) return fault('part_header_too_long');
    this.#header += piece.toString('latin1', from, end);
    if (lf < 0) return end;
    const header = this.#header;
    if (header.at(-2) !== '\r') return fault('line_end_bare');
    if (wholeEnd < 0 && header !== '\r\n' && !header.endsWith('\r\n\r\n')) return end;
    const fields = parsePartHeader(header, this.#delimiter.toString('latin1'));
    if (!Array.isArray(fields)) return fields as Fault;
    this.#state = 'body';
    // The empty line's end may be the beginning of the next delimiter.
    this.#matched = 2;
    this.#assumed = 2;
    return this.#visitor.partBegin(fields) ?? end;
  }
}

/** Where a header that begins at `from` ends with its empty line; negative when it does not, has a bare LF before, or may be too long. */
function endOfHeader(piece: Buffer, from: number): number {
  let end = from;
  while (end - from <= MAX_PART_HEADER_BYTES) {
    const lf = piece.indexOf(LF, end);
    if (lf < 1 || piece[lf - 1] !== CR) return -1;
    if (lf === end + 1) return lf + 1;
    end = lf + 1;
  }
  return -1;
}

/** Length of the longest proper beginning of the delimiter with which the piece, from `from` on, ends. */
function delimiterPrefixAtEnd(piece: Buffer, from: number, delimiter: Buffer): number {
  const start = Math.max(from, piece.length - delimiter.length + 1);
  const cr = piece.lastIndexOf(CR);
  if (cr < start) return 0;
  const length = piece.length - cr;
  return piece.compare(delimiter, 0, length, cr, piece.length) === 0 ? length : 0;
}

/** The fields of a header that ends with its empty line (RFC 5322 §2.2). */
function parsePartHeader(header: string, delimiter: string): PartField[] | Fault {
  if (`\r\n${header}`.includes(delimiter)) return fault('part_header_malformed');
  const fields: PartField[] = [];
  const lines = header
    .slice(0, -2)
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n');
  for (const line of lines.slice(0, -1)) {
    if (/[\r\0]/.test(line)) return fault('line_end_bare');
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    // A blank before the colon hides the field from some readers.
    if (!/^[!-9;-~]+$/.test(name)) return fault('part_header_malformed');
    fields.push({ name: name.toLowerCase(), value: line.slice(colon + 1).trim() });
  }
  return fields;
}
