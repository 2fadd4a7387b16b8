/**
 * The kernel's functions in plain JavaScript, for processors on which the engine offers no vectors: x86 without SSE 4.1, as some
 * hosters' virtual machines pretend to be (QEMU's kvm64). A third as fast, the same results: the tests run both side by side.
 * What the functions do stands in kernel-counts.ts, kernel-crc.ts, kernel-base64.ts and kernel-text.ts.
 */

import { type CountLayout, TOTALS_OFFSET } from './kernel-counts.ts';
import type { TextLayout } from './kernel-text.ts';
import { plainTextFunctions, type TextFunctions } from './kernel-text-plain.ts';

const CR = 13;
const LF = 10;
const NOT_BASE64 = 255;

const VALUES = new Uint8Array(256).fill(NOT_BASE64);
for (const [value, char] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  VALUES[char.charCodeAt(0)] = value;
}

export interface KernelFunctions extends TextFunctions {
  readonly judge: (byteLimit: number, nibbleLimit: number) => number;
  readonly count: (at: number, end: number, filled: number) => number;
  readonly crc: (register: number, at: number, end: number) => number;
  readonly decodeLines: (at: number, length: number, lines: number, out: number) => number;
}

/** Makes the functions for a memory that is laid out like the kernel's. */
export function plainFunctions(
  memory: ArrayBuffer,
  layout: CountLayout,
  crcTables: number,
  text: TextLayout,
): KernelFunctions {
  const { windowBytes, byteLimit, nibbleLimit } = layout;
  const bytes = new Uint8Array(memory);
  const counts = new Uint16Array(memory, layout.counts, 256);
  const totals = new Uint32Array(memory, layout.counts + TOTALS_OFFSET, 256);
  const hLnH = new Float64Array(memory, layout.hLnH, windowBytes + 1);
  const crcTable = new Int32Array(memory, crcTables, 256);

  function judge(bytesBelow: number, nibblesBelow: number): number {
    let byteSum = 0;
    let nibbleSum = 0;
    for (let upper = 0; upper < 256; upper += 16) {
      let sum = 0;
      for (let value = upper; value < upper + 16; value++) {
        const h = counts[value]!;
        totals[value]! += h;
        sum += h;
        byteSum += hLnH[h]!;
      }
      nibbleSum += hLnH[sum]!;
    }
    counts.fill(0);
    return byteSum < bytesBelow && nibbleSum < nibblesBelow ? 0 : 1;
  }

  function tally(at: number, end: number): void {
    for (let i = at; i < end; i++) counts[bytes[i]!]!++;
  }

  const windowLimits = [
    byteLimit + windowBytes * Math.log(windowBytes / 256),
    nibbleLimit + windowBytes * Math.log(windowBytes / 16),
  ] as const;

  function count(from: number, end: number, filled: number): number {
    let failed = 0;
    let at = from;
    for (let to = at + windowBytes - filled; to <= end; to += windowBytes) {
      tally(at, to);
      failed |= judge(...windowLimits);
      at = to;
    }
    tally(at, end);
    return failed;
  }

  function crc(register: number, at: number, end: number): number {
    let value = register;
    for (let i = at; i < end; i++) value = (value >>> 8) ^ crcTable[(value ^ bytes[i]!) & 255]!;
    return value;
  }

  function decodeLines(from: number, length: number, lines: number, out: number): number {
    let at = from;
    let to = out;
    for (let done = 0; done < lines; done++) {
      const end = at + length;
      if (bytes[end] !== CR || bytes[end + 1] !== LF) return done;
      let all = 0;
      for (; at < end; at += 4) {
        const [a, b, c, d] = [
          VALUES[bytes[at]!]!,
          VALUES[bytes[at + 1]!]!,
          VALUES[bytes[at + 2]!]!,
          VALUES[bytes[at + 3]!]!,
        ];
        all |= a | b | c | d;
        bytes[to++] = (a << 2) | (b >> 4);
        bytes[to++] = (b << 4) | (c >> 2);
        bytes[to++] = (c << 6) | d;
      }
      if (all > 63) return done;
      at = end + 2;
    }
    return lines;
  }

  return { judge, count, crc, decodeLines, ...plainTextFunctions(memory, text) };
}
