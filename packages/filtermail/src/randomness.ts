/**
 * Tells ciphertext from data that only claims to be: text, base64 of something, uncompressed files.
 *
 * Good ciphertext is indistinguishable from independent, uniform bytes. For n such bytes sorted into k equally likely classes
 * with frequencies h_1..h_k, the relative entropy n*D = sum h_i * ln(k * h_i / n) has, for every n, the moment bound
 * E[exp(s*n*D)] <= (1 - s)^-(k-1), 0 <= s < 1 (R. Agrawal, "Finite-sample concentration of the multinomial in relative
 * entropy", IEEE Trans. Inf. Theory 66, 2020). Chernoff's inequality with s = 1 - (k-1)/t gives, for t > k-1,
 *
 *     P(n*D >= t) <= exp(-t) * (e*t / (k-1))^(k-1).
 *
 * The limits below are where this is under 1e-15. Each window of 4096 bytes takes two tests, the message as a whole two more, so even a message of 2 GB
 * (524,288 windows) is refused wrongly with a probability below 524288 * 2 * 1e-15 = 1.1e-9, one of the default 30 MB below
 * 1.6e-11, and one of 100 KB below 6e-14. No table of critical values and no normal approximation is involved: the bound
 * also holds for short windows.
 *
 * What it catches: what is no ciphertext and no text either, such as base64 or hexadecimal inside the armor, uncompressed files, any
 * script in UTF-8. English text carries about 1.5 nats per byte in the high-nibble test and 2.6 in the byte test, and is found from
 * about 50 bytes on when it stands alone, from 600 inside a random window; text-scan.ts finds much less of it, and text in the
 * characters of the armor. What is less in every window is found by the test of the whole. Compressed data looks as random as
 * ciphertext and is not found; only the keys could tell.
 */

import { BYTE_LIMIT_NATS, NIBBLE_LIMIT_NATS, theKernel, WINDOW_BYTES } from './kernel.ts';

/**
 * For k = 256 classes, one for each byte value, 412.3 nats bound the error by 1e-15, for k = 16, the high halves of the bytes,
 * 73.6; rounded up. The window is small enough to find short texts inside long random data.
 */
export { BYTE_LIMIT_NATS, NIBBLE_LIMIT_NATS };

/** Whose counts are in the kernel; nobody's are when the last one is finished, and then they are 0. */
let loaded: RandomnessTest | undefined;

/**
 * Judges a stream of bytes in any chunking, window by window and as a whole. The counts are in the kernel (kernel-counts.ts) as long
 * as no other test needs it; then 3 KB of memory keep them.
 */
export class RandomnessTest {
  readonly #kernel = theKernel();
  /** Its counts when they are not in the kernel, once they have been there. */
  #saved: Uint8Array | undefined;
  #isSaved = false;
  #total = 0;
  #failed = false;

  /** Takes bytes `from` to `to` of `bytes`. */
  push(bytes: Uint8Array, from: number, to: number): void {
    if (from >= to) return;
    this.#load();
    this.#kernel.withAddresses(bytes, from, to, (at, end) => {
      if (this.#kernel.count(at, end, this.#total % WINDOW_BYTES) !== 0) this.#failed = true;
      this.#total += end - at;
    });
  }

  /** True once a finished window did not look random. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Judges what has come since the last full window, and everything together; true when all of it looked random. */
  finish(): boolean {
    if (this.#total === 0) return true;
    this.#load();
    const rest = this.#total % WINDOW_BYTES;
    if (rest > 0 && this.#kernel.judge(...limits(rest)) !== 0) this.#failed = true;
    // A single window has just been judged.
    if (this.#total > WINDOW_BYTES && !isNearlyEven(this.#kernel.totals, this.#total, this.#kernel.hLnH))
      this.#failed = true;
    loaded = undefined;
    return !this.#failed;
  }

  #load(): void {
    if (loaded === this) return;
    const { countState, totals } = this.#kernel;
    if (loaded) loaded.#save(countState);
    if (this.#isSaved) countState.set(this.#saved!);
    else if (loaded) countState.fill(0);
    // A window that is judged leaves zeros, but for the sums.
    else totals.fill(0);
    loaded = this;
    this.#isSaved = false;
  }

  #save(counts: Uint8Array): void {
    this.#saved ??= new Uint8Array(counts.length);
    this.#saved.set(counts);
    this.#isSaved = true;
  }
}

/** Below which the sums h*ln(h) of both tests of `n` bytes must be: sum h*ln(k*h/n) = sum h*ln(h) - n*ln(n/k). */
function limits(n: number): [bytes: number, nibbles: number] {
  return [BYTE_LIMIT_NATS + n * Math.log(n / 256), NIBBLE_LIMIT_NATS + n * Math.log(n / 16)];
}

/** Both tests on a histogram of `n` bytes, as the kernel does them for windows. */
function isNearlyEven(counts: Uint32Array, n: number, table: Float64Array): boolean {
  const hLnH = (h: number) => (h <= WINDOW_BYTES ? table[h]! : h * Math.log(h));
  let bytes = 0;
  let nibbles = 0;
  for (let high = 0; high < 256; high += 16) {
    let sum = 0;
    for (let value = high; value < high + 16; value++) {
      const h = counts[value]!;
      sum += h;
      bytes += hLnH(h);
    }
    nibbles += hLnH(sum);
  }
  const [byteLimit, nibbleLimit] = limits(n);
  return bytes < byteLimit && nibbles < nibbleLimit;
}

/** The same test for a few bytes at once. */
export function looksRandom(bytes: Uint8Array): boolean {
  const test = new RandomnessTest();
  test.push(bytes, 0, bytes.length);
  return test.finish();
}
