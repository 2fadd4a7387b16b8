/** kernel-text.ts in plain JavaScript, for kernel-plain.ts: the same results. */

import {
  BEFORE_OFFSET,
  BLOCK_BYTES,
  BYTE_SCORES_OFFSET,
  FAILED_OFFSET,
  KINDS,
  LOWER,
  MANY,
  MIXED,
  NUMBER,
  SCORE_BYTES,
  SCORES_BYTES,
  SUMS_OFFSET,
  type TextLayout,
  UPPER,
  WATCHING_OFFSET,
} from './kernel-text.ts';

export interface TextFunctions {
  readonly sumText: (at: number, first: number, end: number) => void;
  readonly scanText: (at: number, end: number, before: number) => void;
}

const PLACES = SCORE_BYTES / 2;

export function plainTextFunctions(memory: ArrayBuffer, layout: TextLayout): TextFunctions {
  const { state, limit, small } = layout;
  const bytes = new Uint8Array(memory);
  const sums = new Int16Array(memory, state + SUMS_OFFSET, PLACES);
  const isWatching = new Int32Array(memory, state + WATCHING_OFFSET, 1);
  const failed = new Int32Array(memory, state + FAILED_OFFSET, 1);
  const scores = new Int16Array(memory, layout.scores, SCORES_BYTES / 2);

  function add(scoresAt: number): void {
    for (let i = 0; i < PLACES; i++) {
      const sum = Math.max(0, sums[i]! + scores[scoresAt + i]!);
      sums[i] = sum;
      if (sum >= limit) failed[0] = 1;
    }
  }

  function sumText(at: number, first: number, end: number): void {
    for (let bit = Math.ceil((first * 8) / 6) * 6; bit + 6 <= end * 8; bit += 6) {
      const byte = at + (bit >> 3);
      add(((((bytes[byte]! << 8) | bytes[byte + 1]!) >> (10 - (bit & 7))) & 63) * PLACES);
    }
    for (let i = first; i < end; i++) add(BYTE_SCORES_OFFSET / 2 + bytes[at + i]! * PLACES);
    isWatching[0] = sums.some((sum) => sum >= small) ? 1 : 0;
  }

  function scanText(from: number, end: number, before: number): void {
    let last = before;
    for (let at = from; at < end; at += BLOCK_BYTES) {
      if (isWatching[0] !== 0 || isSuspicious(bytes, at)) {
        if (isWatching[0] === 0 && last !== 0) sumText(last, 0, BLOCK_BYTES);
        sumText(at, 0, BLOCK_BYTES);
        if (isWatching[0] === 0) sums.fill(0);
      }
      last = at;
    }
    bytes.copyWithin(state + BEFORE_OFFSET, last, last + 16);
  }

  return { sumText, scanText };
}

function isSuspicious(bytes: Uint8Array, at: number): boolean {
  let high = 0;
  let lower = 0;
  let upper = 0;
  let numbers = 0;
  let mixed = 0;
  const count = (kinds: number) => {
    if (kinds & LOWER) lower++;
    if (kinds & UPPER) upper++;
    if (kinds & NUMBER) numbers++;
    if (kinds & MIXED) mixed++;
  };
  for (let i = at; i < at + BLOCK_BYTES; i += 3) {
    const [first, second, third] = [bytes[i]!, bytes[i + 1]!, bytes[i + 2]!];
    high |= first | second | third;
    count(KINDS[first >> 4]!);
    count(KINDS[((first & 3) << 2) | (second >> 6)]!);
    count(KINDS[second & 15]!);
    count(KINDS[(third >> 2) & 15]!);
  }
  return high < 0x80 || lower >= MANY || upper >= MANY || numbers >= MANY || mixed >= MANY;
}
