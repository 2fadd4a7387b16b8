/** Reads the fields of a key one after the other, for autocrypt.ts. What is not there is undefined, and the end is never passed. */

import { mpiEnd } from './session-key.ts';

export class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isOver(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** An unsigned number of `bytes` octets. */
  number(bytes: 1 | 2 | 4): number | undefined {
    const block = this.block(bytes);
    return block?.readUIntBE(0, bytes);
  }

  /** That many octets, where a number says how many. */
  block(bytes: number | undefined): Buffer | undefined {
    if (bytes === undefined || this.#at + bytes > this.#bytes.length) return undefined;
    const block = this.#bytes.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    return block;
  }

  /** An MPI (RFC 9580 §3.2): its octets without the length. */
  mpi(): Buffer | undefined {
    const end = mpiEnd(this.#bytes, this.#at);
    if (end === undefined) return undefined;
    const value = this.#bytes.subarray(this.#at + 2, end);
    this.#at = end;
    return value;
  }

  /** A length of one, two or five octets (RFC 9580 §4.2.1, §5.2.3.7). */
  length(): number | undefined {
    const first = this.number(1);
    if (first === undefined || first < 192) return first;
    if (first === 255) return this.number(4);
    const second = this.number(1);
    return second === undefined ? undefined : ((first - 192) << 8) + second + 192;
  }

  /** The tag and the body of a packet in either format with a known length (RFC 9580 §4.2); keys have no others. */
  packet(): { readonly tag: number; readonly body: Buffer } | undefined {
    const head = this.number(1) ?? 0;
    if (head < 0x80) return undefined;
    const isNew = (head & 0x40) !== 0;
    // Partial lengths are those of 224 to 254, the indeterminate one is 3.
    const next = this.#bytes[this.#at] ?? 0;
    if (isNew ? next >= 224 && next < 255 : (head & 3) === 3) return undefined;
    const body = this.block(isNew ? this.length() : this.number((1 << (head & 3)) as 1 | 2 | 4));
    return body && { tag: isNew ? head & 0x3f : (head >> 2) & 0x0f, body };
  }
}
