/**
 * What a read brought and its connection cannot take yet, copied because the read buffer belongs to all connections. Large copies
 * go into buffers that are used again: with 50 connections that wait for their turn, new ones would be 20 MB of garbage before the
 * collector looks.
 */

/** As much as one read brings. */
const BUFFER_BYTES = 65_536;
/** Below this a buffer of its own size is cheaper. */
const SMALL_BYTES = 4096;
/** Most buffers kept for later: 4 MB. */
const MAX_SPARE = 64;

const spare: Buffer[] = [];

/** The rest of one connection's last read. */
export class Rest {
  #buffer: Buffer | undefined;
  #bytes: Buffer | undefined;

  /** What is left; undefined when nothing is. */
  get bytes(): Buffer | undefined {
    return this.#bytes;
  }

  /** Keeps a copy. Only when nothing is left of the one before. */
  keep(bytes: Buffer): void {
    if (bytes.length <= SMALL_BYTES || bytes.length > BUFFER_BYTES) {
      this.#bytes = Buffer.from(bytes);
      return;
    }
    this.#buffer = spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    bytes.copy(this.#buffer);
    this.#bytes = this.#buffer.subarray(0, bytes.length);
  }

  /** The first `count` bytes of it are done with: nobody may look at them any more. */
  drop(count: number): void {
    if (this.#bytes === undefined) return;
    if (count < this.#bytes.length) this.#bytes = this.#bytes.subarray(count);
    else this.clear();
  }

  clear(): void {
    this.#bytes = undefined;
    if (this.#buffer !== undefined && spare.length < MAX_SPARE) spare.push(this.#buffer);
    this.#buffer = undefined;
  }
}
