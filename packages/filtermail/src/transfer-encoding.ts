/**
 * Undoes the transfer encoding of a part, as a stream (RFC 2045 §6). 7bit, 8bit and binary pass as they are; quoted-printable
 * and base64 are decoded strictly. uuencode and the like do not exist here.
 */

import { Base64Decoder, type ByteSink } from './base64.ts';
import { theKernel } from './kernel.ts';
import { type Fault, fault } from './verdict.ts';

const LF = 10;
const CR = 13;
const EQUALS = 0x3d;
const SPACE = 0x20;
const TAB = 9;

/** Most blanks in a row; a line has at most 76 characters (RFC 2045 §6.7 rule 5), some senders take 998. */
const MAX_BLANKS = 998;
/** What an escape may come to besides a byte. */
const NOTHING = -1;
const BROKEN = -2;
const NOT_HEX = 255;
const HEX_VALUES = new Uint8Array(256).fill(NOT_HEX);
for (const [at, char] of [...'0123456789ABCDEFabcdef'].entries())
  HEX_VALUES[char.charCodeAt(0)] = at < 16 ? at : at - 6;

export interface TransferDecoder {
  push(piece: Buffer): Fault | undefined;
  finish(): Fault | undefined;
}

/** True for the encodings that change nothing. The value is a header value in lower case, trimmed. */
export function isIdentityEncoding(encoding: string): boolean {
  return encoding === '7bit' || encoding === '8bit' || encoding === 'binary';
}

/** The decoder of one part; undefined when the encoding is not known. `sink` gets the decoded bytes. */
export function createTransferDecoder(encoding: string, sink: ByteSink): TransferDecoder | undefined {
  if (isIdentityEncoding(encoding)) return { push: sink, finish: () => undefined };
  if (encoding === 'base64') return new Base64Part(sink);
  return encoding === 'quoted-printable' ? new QuotedPrintablePart(sink) : undefined;
}

class Base64Part implements TransferDecoder {
  readonly #decoder: Base64Decoder;
  #padding = 0;
  #isOver = false;

  constructor(sink: ByteSink) {
    this.#decoder = new Base64Decoder(theKernel().partScratch, sink);
  }

  push(piece: Buffer): Fault | undefined {
    const at = this.#isOver ? 0 : this.#decoder.decode(piece, 0);
    if (this.#decoder.fault) return this.#decoder.fault;
    for (let i = at; i < piece.length; i++) {
      const byte = piece[i]!;
      this.#isOver = true;
      if (byte === EQUALS) this.#padding++;
      else if (byte !== CR && byte !== LF) return fault('transfer_encoding_malformed', 'base64');
    }
    return undefined;
  }

  finish(): Fault | undefined {
    const isWhole = this.#decoder.finish(this.#padding);
    if (this.#decoder.fault) return this.#decoder.fault;
    return isWhole ? undefined : fault('transfer_encoding_malformed', 'base64');
  }
}

type QuotedState = 'text' | 'escape' | 'second-digit' | 'soft-break' | 'soft-break-cr';

/** RFC 2045 §6.7, strict but for lower-case digits and the length of lines. Blanks at the end of a line do not count (rule 3). */
class QuotedPrintablePart implements TransferDecoder {
  readonly #sink: ByteSink;
  #state: QuotedState = 'text';
  #firstDigit = 0;
  /** Blanks that have come and count only if something follows them in their line. */
  #blanks = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  push(piece: Buffer): Fault | undefined {
    const decoded = Buffer.allocUnsafe(piece.length + this.#blanks);
    let length = 0;
    let isBroken = false;
    for (let at = 0; at < piece.length && !isBroken; at++) {
      const byte = piece[at]!;
      if (this.#state !== 'text') {
        const value = this.#continueEscape(byte);
        if (value === BROKEN) isBroken = true;
        else if (value !== NOTHING) decoded[length++] = value;
      } else if (byte === SPACE || byte === TAB) {
        isBroken = ++this.#blanks > MAX_BLANKS;
      } else {
        if (byte === CR || byte === LF) this.#blanks = 0;
        for (; this.#blanks > 0; this.#blanks--) decoded[length++] = SPACE;
        if (byte === EQUALS) this.#state = 'escape';
        else decoded[length++] = byte;
      }
    }
    const wrong = length === 0 ? undefined : this.#sink(decoded.subarray(0, length));
    return wrong ?? (isBroken ? fault('transfer_encoding_malformed', 'quoted-printable') : undefined);
  }

  finish(): Fault | undefined {
    // A soft line break may be the last thing, its line end taken by the boundary; half an escape may not.
    const isWhole = this.#state === 'text' || this.#state === 'escape' || this.#state === 'soft-break';
    return isWhole ? undefined : fault('transfer_encoding_malformed', 'quoted-printable');
  }

  /** The byte an escape stands for, {@link NOTHING} or {@link BROKEN}. */
  #continueEscape(byte: number): number {
    const digit = HEX_VALUES[byte]!;
    if (this.#state === 'second-digit') {
      this.#state = 'text';
      return digit === NOT_HEX ? BROKEN : this.#firstDigit * 16 + digit;
    }
    if (this.#state === 'escape' && digit !== NOT_HEX) {
      this.#state = 'second-digit';
      this.#firstDigit = digit;
    } else if (byte === LF) {
      this.#state = 'text';
    } else if (this.#state === 'soft-break-cr') {
      return BROKEN;
    } else if (byte === CR) {
      this.#state = 'soft-break-cr';
    } else if (byte === SPACE || byte === TAB) {
      this.#state = 'soft-break';
    } else {
      return BROKEN;
    }
    return NOTHING;
  }
}
