/**
 * Finds readable text in what should be ciphertext, from about 40 characters on, also between random data: the scores of
 * text-model.ts are summed up, and a sum that falls below 0 begins anew. Text is looked for in the characters of the armor, where
 * everybody can read it, and in the bytes they stand for. randomness.ts finds what is no text but not random either.
 *
 * Only blocks that are suspicious are summed (kernel-text.ts), with the block before and as many after as are worth it. That can only
 * make sums smaller, so the bound of a false positive holds; it takes 0.2 ms for a megabyte and not 10.
 */

import { theKernel } from './kernel.ts';
import {
  BEFORE_OFFSET,
  BLOCK_BYTES,
  FAILED_OFFSET,
  REST_OFFSET,
  SUMS_OFFSET,
  TEXT_STATE_BYTES,
  WATCHING_OFFSET,
} from './kernel-text.ts';

/** Whose state is in the kernel. */
let loaded: TextScan | undefined;

/** Takes the random parts of armored data, in order and in any chunking. Memory: 64 bytes, in the kernel while no other needs it. */
export class TextScan {
  readonly #kernel = theKernel();
  /** Its state when it is not in the kernel, once it has been there. */
  #saved: Uint8Array | undefined;
  #failed = false;
  /** Bytes of a block that is not complete. */
  #restBytes = 0;
  /** How many of them are only there to fill a group of three bytes. */
  #missing = 0;
  /** There is a block of this part before the next one. */
  #hasBefore = false;
  #isInPart = false;
  /** Where the next byte is when it belongs to the same part. */
  #next = 0;

  /**
   * Takes bytes `from` to `to` of `bytes`. `position` is the place of the first one in the armored data: three bytes are four
   * characters, counted from its beginning. A place that does not follow the last one begins another part.
   */
  push(bytes: Uint8Array, from: number, to: number, position: number): void {
    if (from >= to || this.#failed) return;
    this.#load();
    if (position !== this.#next || !this.#isInPart) this.#beginPart(position % 3);
    this.#next = position + to - from;
    const at = this.#restBytes > 0 ? this.#fill(bytes, from, to) : from;
    if (this.#restBytes === BLOCK_BYTES) this.#endBlock();
    const end = to - ((to - at) % BLOCK_BYTES);
    if (end > at) this.#blocks(bytes, at, end);
    if (at < to) this.#fill(bytes, end, to);
    this.#failed = this.#kernel.textState[FAILED_OFFSET] !== 0;
  }

  /** True once a text has been found. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Looks at what is left; true when no text has been found. */
  finish(): boolean {
    this.#load();
    this.#endPart();
    this.#isInPart = false;
    this.#failed = this.#kernel.textState[FAILED_OFFSET] !== 0;
    return !this.#failed;
  }

  #load(): void {
    if (loaded === this) return;
    const { textState } = this.#kernel;
    if (loaded) {
      loaded.#saved ??= new Uint8Array(TEXT_STATE_BYTES);
      loaded.#saved.set(textState);
    }
    if (this.#saved) textState.set(this.#saved);
    else textState.fill(0);
    loaded = this;
  }

  #beginPart(missing: number): void {
    this.#endPart();
    this.#isInPart = true;
    this.#hasBefore = false;
    this.#restBytes = missing;
    this.#missing = missing;
  }

  /** Part of a block is summed in any case, and sums are kept: many short parts may be one text. */
  #endPart(): void {
    const { sumText, textState } = this.#kernel;
    if (this.#restBytes > this.#missing) sumText(textState.byteOffset + REST_OFFSET, this.#missing, this.#restBytes);
    this.#restBytes = 0;
    this.#missing = 0;
    textState[WATCHING_OFFSET] = 0;
    for (let at = SUMS_OFFSET; at < WATCHING_OFFSET; at++) textState[WATCHING_OFFSET]! |= textState[at]!;
  }

  /** Completes the rest as far as possible; returns where it stopped. */
  #fill(bytes: Uint8Array, from: number, to: number): number {
    const { textState } = this.#kernel;
    let at = from;
    while (at < to && this.#restBytes < BLOCK_BYTES) textState[REST_OFFSET + this.#restBytes++] = bytes[at++]!;
    return at;
  }

  /** The rest is a whole block. */
  #endBlock(): void {
    const { sumText, textState: state } = this.#kernel;
    const at = state.byteOffset + REST_OFFSET;
    if (this.#missing === 0) {
      this.#scan(at, at + BLOCK_BYTES);
    } else {
      sumText(at, this.#missing, BLOCK_BYTES);
      if (state[WATCHING_OFFSET] === 0) state.fill(0, SUMS_OFFSET, WATCHING_OFFSET);
    }
    this.#missing = 0;
    this.#restBytes = 0;
  }

  /** Whole blocks. Nearly all bytes lie in the kernel's memory, and then nothing is allocated. */
  #blocks(bytes: Uint8Array, from: number, to: number): void {
    const address = this.#kernel.addressOf(bytes);
    if (address !== undefined) this.#scan(address + from, address + to);
    else this.#kernel.withAddresses(bytes, from, to, (at, end) => this.#scan(at, end));
  }

  #scan(at: number, end: number): void {
    const { scanText, textState } = this.#kernel;
    scanText(at, end, this.#hasBefore ? textState.byteOffset + BEFORE_OFFSET : 0);
    this.#hasBefore = true;
  }
}
