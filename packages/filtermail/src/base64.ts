/**
 * Strict base64 as a stream (RFC 4648 §4, line ends as in RFC 2045 §6.8): only the 64 characters and CRLF or LF.
 * It stops at the first byte that is anything else and leaves it to the caller, who knows whether padding, a checksum or a
 * boundary may stand there. Equally long lines, which is nearly all of a real message, are decoded by the kernel
 * (kernel-base64.ts), which is as strict; what it does not take is read byte by byte.
 */

import { INPUT_BYTES, SCRATCH_BYTES, theKernel } from './kernel.ts';
import type { Fault } from './verdict.ts';

const LF = 10;
const CR = 13;
const NOT_BASE64 = 255;

/** Value of each character, or {@link NOT_BASE64}. */
const VALUES = new Uint8Array(256).fill(NOT_BASE64);
for (const [value, char] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  VALUES[char.charCodeAt(0)] = value;
}

/** Shortest and longest line given to the kernel, characters; a multiple of 4. What seems to be a longer one may be many without CR. */
const MIN_LINE_LENGTH = 16;
const MAX_LINE_LENGTH = 1000;

/** Takes decoded bytes, which are valid only during the call. */
export type ByteSink = (bytes: Buffer) => Fault | undefined;

/** The value of one base64 character, or undefined. */
export function base64Value(byte: number): number | undefined {
  const value = VALUES[byte]!;
  return value === NOT_BASE64 ? undefined : value;
}

export class Base64Decoder {
  /** What the sink found wrong, after which nothing more may be decoded. */
  fault: Fault | undefined;

  readonly #kernel = theKernel();
  readonly #scratch: Buffer;
  readonly #sink: ByteSink;
  #used = 0;
  #quantum = 0;
  #bits = 0;
  #lineStart = true;
  #afterCr = false;
  /** What is in the kernel's input buffer: from and to which index of the piece being decoded. */
  #copiedFrom = 0;
  #copied = 0;

  /** `scratch` is one of the kernel's buffers for this, shared by decoders whose sinks do not call each other. */
  constructor(scratch: Buffer, sink: ByteSink) {
    this.#scratch = scratch;
    this.#sink = sink;
  }

  /** Characters of an unfinished group of four. */
  get quantum(): number {
    return this.#quantum;
  }

  /** True when nothing has come since the last line end. */
  get atLineStart(): boolean {
    return this.#lineStart;
  }

  /** True after a CR whose LF has not come. */
  get afterCr(): boolean {
    return this.#afterCr;
  }

  /** Decodes from `from` on; returns where it stopped, `piece.length` when it took everything. See {@link fault} after it. */
  decode(piece: Buffer, from: number): number {
    const scratch = this.#scratch;
    let at = from;
    // Found once and only looked for again when passed, so that no chunk is searched more than once.
    let crAt = -1;
    for (; at < piece.length; at++) {
      if (this.#lineStart && this.#quantum === 0 && !this.#afterCr) {
        if (crAt < at) crAt = indexOrEnd(piece, CR, at);
        const length = crAt - at;
        if (length >= MIN_LINE_LENGTH && length <= MAX_LINE_LENGTH && length % 4 === 0) {
          at = this.#decodeLines(piece, at, length);
          if (this.fault || at === piece.length) break;
        }
      }
      const byte = piece[at]!;
      const value = VALUES[byte]!;
      if (value === NOT_BASE64 || this.#afterCr) {
        if (byte !== LF && (byte !== CR || this.#afterCr)) break;
        this.#afterCr = byte === CR;
        this.#lineStart = byte === LF;
        continue;
      }
      this.#lineStart = false;
      this.#bits = (this.#bits << 6) | value;
      if (++this.#quantum < 4) continue;
      scratch[this.#used] = this.#bits >>> 16;
      scratch[this.#used + 1] = this.#bits >>> 8;
      scratch[this.#used + 2] = this.#bits;
      this.#used += 3;
      this.#quantum = 0;
      this.#bits = 0;
      if (this.#used === SCRATCH_BYTES && !this.#flush()) break;
    }
    if (!this.fault) this.#flush();
    this.#copied = 0;
    return at;
  }

  /**
   * Ends the data with `padding` equals signs. False when they do not fit what came, or spare bits are not zero
   * (RFC 4648 §3.5): then the same bytes could be written in several ways.
   */
  finish(padding: number): boolean {
    const quantum = this.#quantum;
    if (quantum === 0 && padding === 0) return true;
    if (quantum < 2 || quantum + padding !== 4) return false;
    const spareBits = quantum === 2 ? 4 : 2;
    if ((this.#bits & ((1 << spareBits) - 1)) !== 0) return false;
    const bits = this.#bits >>> spareBits;
    if (quantum === 3) this.#scratch[this.#used++] = bits >>> 8;
    this.#scratch[this.#used++] = bits;
    this.#quantum = 0;
    this.#bits = 0;
    this.#flush();
    return true;
  }

  #flush(): boolean {
    if (this.#used === 0) return true;
    const bytes = this.#scratch.subarray(0, this.#used);
    this.#used = 0;
    this.fault ??= this.#sink(bytes);
    return this.fault === undefined;
  }

  /** Decodes lines of that length from `from` on, as many as are clean, and returns where it stopped. */
  #decodeLines(piece: Buffer, from: number, length: number): number {
    const stride = length + 2;
    const bytes = (length / 4) * 3;
    let at = from;
    while (piece.length - at >= stride) {
      if (SCRATCH_BYTES - this.#used < bytes && !this.#flush()) break;
      const [address, end] = this.#locate(piece, at, stride);
      const lines = Math.min(Math.floor((end - at) / stride), Math.floor((SCRATCH_BYTES - this.#used) / bytes));
      const good = this.#kernel.decodeLines(address, length, lines, this.#scratch.byteOffset + this.#used);
      this.#used += good * bytes;
      at += good * stride;
      if (good < lines) break;
    }
    return at;
  }

  /**
   * Where the piece's bytes from `at` on are in the kernel's memory, and to which index of the piece: at least `need` of them.
   * Copies as much as fits when they lie elsewhere.
   */
  #locate(piece: Buffer, at: number, need: number): [address: number, end: number] {
    const { input } = this.#kernel;
    const address = this.#kernel.addressOf(piece);
    if (address !== undefined) return [address + at, piece.length];
    if (at + need > this.#copied && this.#copied < piece.length) {
      this.#copied = at + piece.copy(input, 0, at, at + INPUT_BYTES);
      this.#copiedFrom = at;
    }
    return [input.byteOffset + at - this.#copiedFrom, this.#copied];
  }
}

function indexOrEnd(piece: Buffer, byte: number, from: number): number {
  const at = piece.indexOf(byte, from);
  return at < 0 ? piece.length : at;
}
