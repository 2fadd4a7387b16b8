/**
 * Reads one ASCII-armored PGP message as a stream and hands on its bytes (RFC 9580 §6): begin line, header lines, empty line,
 * base64, optional checksum, end line, and nothing else but blank lines around it. The checksum is optional, as §6.1 has it,
 * but a wrong one is a fault. Header lines (`Version:`, `Comment:`) are readable text: the caller says whether they may be.
 * Other armor types (keys, signatures, cleartext) are not read: mail has no use for them here.
 */

import { Base64Decoder, type ByteSink, base64Value } from './base64.ts';
import { CRC24_START, crc24Value, updateCrc24 } from './crc24.ts';
import { theKernel } from './kernel.ts';
import { type Fault, fault } from './verdict.ts';

const BEGIN_LINE = '-----BEGIN PGP MESSAGE-----';
const END_LINE = '-----END PGP MESSAGE-----';
/** Longest line outside the base64 data, bytes: a `Comment:` or `Version:` line and then some. */
const MAX_LINE_BYTES = 200;
/** Most header lines, where they may be at all. */
const MAX_HEADER_LINES = 8;
/** Most white space before and after the armor, bytes. */
const MAX_BLANK_BYTES = 200;

const LF = 10;
const DASH = 0x2d;
const EQUALS = 0x3d;

type State = 'before' | 'headers' | 'data' | 'padding' | 'checksum' | 'end' | 'after';

export interface ArmorOptions {
  /** Header lines are skipped instead of refused. */
  readonly allowHeaders: boolean;
}

/** Push reader: {@link push} the text in any chunking, then {@link finish}. Nothing may follow a fault. */
export class ArmorReader {
  readonly #options: ArmorOptions;
  readonly #decoder: Base64Decoder;
  #state: State = 'before';
  #line = '';
  #crc = CRC24_START;
  #headerLines = 0;
  #blankBytes = 0;

  /** `sink` takes the binary message. */
  constructor(options: ArmorOptions, sink: ByteSink) {
    this.#options = options;
    this.#decoder = new Base64Decoder(theKernel().armorScratch, (bytes) => {
      this.#crc = updateCrc24(this.#crc, bytes);
      return sink(bytes);
    });
  }

  push(piece: Buffer): Fault | undefined {
    for (let at = 0; at < piece.length; ) {
      if (this.#state === 'data') {
        at = this.#decoder.decode(piece, at);
        if (this.#decoder.fault) return this.#decoder.fault;
        const wrong = at < piece.length ? this.#endOfData(piece[at]!) : undefined;
        if (wrong) return wrong;
        continue;
      }
      const lf = piece.indexOf(LF, at);
      const end = lf < 0 ? piece.length : lf;
      if (this.#line.length + end - at > MAX_LINE_BYTES) return this.#lineFault();
      this.#line += piece.toString('latin1', at, end);
      at = end + 1;
      if (lf < 0) break;
      const line = this.#line;
      this.#line = '';
      const wrong = this.#endOfLine(line.endsWith('\r') ? line.slice(0, -1) : line);
      if (wrong) return wrong;
    }
    return undefined;
  }

  /** Says what is missing, if anything. The last line needs no line end: it belongs to the MIME boundary after it. */
  finish(): Fault | undefined {
    if (this.#state === 'data' && this.#decoder.afterCr) return fault('armor_base64');
    if (this.#state !== 'data' && this.#line !== '') {
      const wrong = this.#endOfLine(this.#line);
      if (wrong) return wrong;
    }
    if (this.#state === 'before') return fault('armor_missing');
    return this.#state === 'after' ? undefined : fault('armor_unfinished');
  }

  /** Takes the byte that is not base64: padding, the checksum's mark or the end line must begin here. */
  #endOfData(byte: number): Fault | undefined {
    const { quantum, atLineStart, afterCr } = this.#decoder;
    if (afterCr) return fault('armor_base64');
    if (byte === EQUALS && quantum >= 2) this.#state = 'padding';
    else if (byte === EQUALS && quantum === 0 && atLineStart) this.#state = 'checksum';
    else if (byte === DASH && quantum === 0 && atLineStart) this.#state = 'end';
    else return fault('armor_base64');
    return undefined;
  }

  #endOfLine(line: string): Fault | undefined {
    switch (this.#state) {
      case 'before':
        if (this.#isBlank(line)) return undefined;
        if (trimBlanks(line) !== BEGIN_LINE || this.#blankBytes > MAX_BLANK_BYTES) return fault('armor_missing');
        this.#blankBytes = 0;
        this.#state = 'headers';
        return undefined;
      case 'headers':
        return this.#headerLine(line);
      case 'padding':
        this.#state = 'checksum';
        if (line !== '=' && line !== '==') return fault('armor_base64');
        if (!this.#decoder.finish(line.length)) return this.#decoder.fault ?? fault('armor_base64');
        return this.#decoder.fault;
      case 'checksum':
        if (line.startsWith('=')) return this.#checksumLine(line);
        return this.#endLine(line);
      case 'end':
        return this.#endLine(line);
      default:
        return this.#isBlank(line) && this.#blankBytes <= MAX_BLANK_BYTES ? undefined : fault('armor_trailing');
    }
  }

  #headerLine(line: string): Fault | undefined {
    if (isBlankLine(line)) {
      this.#state = 'data';
      return undefined;
    }
    // RFC 9580 §6.2.2: a name, a colon, a space. Without the empty line, data would be taken for a header.
    if (!/^[A-Za-z][A-Za-z0-9-]*: /.test(line)) return fault('armor_malformed');
    if (!this.#options.allowHeaders) return fault('armor_header');
    return ++this.#headerLines > MAX_HEADER_LINES ? fault('armor_malformed') : undefined;
  }

  #checksumLine(line: string): Fault | undefined {
    if (line.length !== 5) return fault('armor_base64');
    let expected = 0;
    for (let i = 1; i < 5; i++) {
      const value = base64Value(line.charCodeAt(i));
      if (value === undefined) return fault('armor_base64');
      expected = (expected << 6) | value;
    }
    this.#state = 'end';
    return expected === crc24Value(this.#crc) ? undefined : fault('armor_checksum');
  }

  #endLine(line: string): Fault | undefined {
    if (trimBlanks(line) !== END_LINE) return fault('armor_malformed');
    this.#state = 'after';
    return undefined;
  }

  #isBlank(line: string): boolean {
    this.#blankBytes += line.length + 2;
    return isBlankLine(line);
  }

  #lineFault(): Fault {
    if (this.#state === 'before') return fault('armor_missing');
    return fault(this.#state === 'after' ? 'armor_trailing' : 'armor_malformed');
  }
}

/** Without the blanks RFC 9580 §6.2.1 allows after a begin or end line; other white space is not blank. */
function trimBlanks(line: string): string {
  return line.endsWith(' ') || line.endsWith('\t') ? line.replace(/[ \t]+$/, '') : line;
}

function isBlankLine(line: string): boolean {
  return line === '' || /^[ \t]*$/.test(line);
}
