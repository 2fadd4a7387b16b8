/**
 * Bytes in any chunking in, LF-terminated lines out. Splits bytes, never characters: a field may hold invalid UTF-8.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.h: commands and replies are lines of TAB-separated fields.
 * Lines are pulled with `next`, so a reader that must wait simply stops pulling. Omits CR handling: clients send none.
 */
import { DictProtocolError } from './errors.ts';

const LF = 0x0a;
const EMPTY = Buffer.alloc(0);

/** Smallest buffer, bytes, that collects a line which arrives in pieces. */
const MIN_PARTIAL_BYTES = 256;

/** Holds at most one chunk and one unfinished line of at most `maxBytes` bytes, in a buffer at most twice that. */
export class LineReader {
  readonly #maxBytes: number;
  #chunk: Buffer = EMPTY;
  #offset = 0;
  /** The start of a line whose end has not arrived: the first `#partialBytes` bytes. */
  #partial: Buffer = EMPTY;
  #partialBytes = 0;

  /** `maxBytes`: the longest line accepted, bytes, LF not counted. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True between lines: no byte of a line has been held back. */
  get atBoundary(): boolean {
    return this.#partialBytes === 0 && this.#offset === this.#chunk.length;
  }

  /** Takes bytes, which the caller must not change afterwards. Pull all lines before pushing again to keep memory bounded. */
  push(chunk: Buffer): void {
    const unread = this.#chunk.subarray(this.#offset);
    this.#chunk = unread.length === 0 ? chunk : Buffer.concat([unread, chunk]);
    this.#offset = 0;
  }

  /**
   * Returns the next complete line without its LF, or undefined when more bytes are needed. The line may be a view of a
   * pushed chunk.
   * @throws DictProtocolError `line-too-long`
   */
  next(): Buffer | undefined {
    const start = this.#offset;
    const lf = this.#chunk.indexOf(LF, start);
    const end = lf === -1 ? this.#chunk.length : lf;
    if (this.#partialBytes + end - start > this.#maxBytes) {
      throw new DictProtocolError('line-too-long', `a line is longer than ${this.#maxBytes} bytes`);
    }
    if (lf === -1) {
      this.#keep(start);
      return undefined;
    }
    this.#offset = lf + 1;
    if (this.#partialBytes === 0) return this.#chunk.subarray(start, lf);
    const line = Buffer.concat([this.#partial.subarray(0, this.#partialBytes), this.#chunk.subarray(start, lf)]);
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    return line;
  }

  /** Copies the rest of the chunk. A list of chunks would cost an object per byte when a peer sends single bytes. */
  #keep(start: number): void {
    const rest = this.#chunk.length - start;
    const needed = this.#partialBytes + rest;
    if (needed > this.#partial.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * needed, this.#maxBytes), MIN_PARTIAL_BYTES));
      this.#partial.copy(grown, 0, 0, this.#partialBytes);
      this.#partial = grown;
    }
    this.#chunk.copy(this.#partial, this.#partialBytes, start);
    this.#partialBytes = needed;
    this.#chunk = EMPTY;
    this.#offset = 0;
  }
}
