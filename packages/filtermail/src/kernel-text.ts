/**
 * The kernel's code that sums up how much the random parts of an armor look like text, for text-scan.ts. Most blocks need no sum: a
 * block is 12 bytes, 16 characters of the armor, and is suspicious when nearly all of its characters are of a kind that makes up less
 * than half of ciphertext, or all of its bytes are ASCII.
 */

import {
  bytes16,
  type Code,
  call,
  type Func,
  forever,
  get,
  I32,
  i32,
  leaveIf,
  load8,
  load32,
  load128,
  numbered,
  seq,
  set,
  store32,
  store128,
  tee,
  V128,
  when,
} from '#wasm';

export const BLOCK_BYTES = 12;

/** Kinds of characters: bits of {@link KINDS}. */
export const LOWER = 0x80;
export const UPPER = 0x40;
export const NUMBER = 0x20;
export const MIXED = 0x10;
/**
 * The kinds of four characters each, by the upper four of their six bits: ABCD, EFGH, ..., YZab, cdef, ..., 0123, 4567, 89+/. What is
 * rare in text of a kind is left out, so that each has 7 of the 16.
 */
export const KINDS: readonly number[] = [
  ...[UPPER | NUMBER | MIXED, UPPER | NUMBER | MIXED, UPPER, UPPER | MIXED, UPPER | MIXED, UPPER],
  ...[LOWER | NUMBER, LOWER | NUMBER | MIXED, LOWER, LOWER, LOWER, LOWER | MIXED, 0],
  ...[NUMBER, NUMBER, LOWER | UPPER | NUMBER | MIXED],
];
/** Characters of one kind that make a block suspicious: so has one in 400 of ciphertext for each kind. */
export const MANY = 13;

/** Where in a vector the four characters of each group of three bytes go, in any order: their upper halves alone in a byte. */
const HALVES: readonly (readonly number[])[] = [
  [15, 0, 0, 0],
  [0, 15, 0, 0],
  [0, 0, 15, 0],
  [0, 0, 0, 15],
];

/** What of a scan is in the kernel's memory at {@link TextLayout.state}: where each thing is, and all of it. */
export const SUMS_OFFSET = 0;
export const WATCHING_OFFSET = 16;
export const FAILED_OFFSET = 20;
export const BEFORE_OFFSET = 32;
export const REST_OFFSET = 48;
export const TEXT_STATE_BYTES = 64;

export interface TextLayout {
  /** Eight sums of 16 bits, whether blocks are summed in any case, whether a sum was too high, and two blocks of text-scan.ts. */
  readonly state: number;
  /** Eight scores of 16 bits for each character, then for each byte (text-model.ts). */
  readonly scores: number;
  /** Where a sum is too high, and where it is worth the next block. */
  readonly limit: number;
  readonly small: number;
}

/** Bytes of the scores of one character or byte, a power of two. */
export const SCORE_BYTES = 16;
export const BYTE_SCORES_OFFSET = 64 * SCORE_BYTES;
export const SCORES_BYTES = (64 + 256) * SCORE_BYTES;

/**
 * sumText(at, first, end): sums up the block at `at` from its byte `first` to before `end`, and the characters that are in these bytes
 * alone. A sum that falls below 0 begins anew. Notes whether one was too high and whether one is worth the next block. A block's
 * last character needs a byte after it to be read.
 */
export function sumText({ state, scores, limit, small }: TextLayout): Func {
  const { at, first, end, bit, byte, sums, top, zero } = numbered(
    ...(['at', 'first', 'end', 'bit', 'byte', 'sums', 'top', 'zero'] as const),
  );
  const add = (offset: number): Code =>
    seq(
      ...[i32(4), I32.shl, load128(scores + offset), get(sums), V128.i16x8Add, get(zero), V128.i16x8MaxS, tee(sums)],
      ...[get(top), V128.i16x8MaxS, set(top)],
    );
  const pair = seq(
    ...[get(at), get(bit), i32(3), I32.shrU, I32.add, tee(byte), load8(0), i32(8), I32.shl],
    ...[get(byte), load8(1), I32.or, i32(10), get(bit), i32(7), I32.and, I32.sub, I32.shrU, i32(63), I32.and],
  );
  const isAbove = (vector: number, value: number): Code =>
    seq(
      get(vector),
      bytes16([0, 2, 4, 6, 8, 10, 12, 14].flatMap(() => [value & 255, value >> 8])),
      V128.i16x8GtS,
      V128.anyTrue,
    );
  return {
    parameters: ['i32', 'i32', 'i32'],
    results: [],
    locals: ['i32', 'i32', 'v128', 'v128', 'v128'],
    code: seq(
      ...[i32(0), load128(state + SUMS_OFFSET), set(sums)],
      // From bit 0, 12 or 18 of the first three bytes on.
      ...[get(first), i32(3), I32.shl, i32(5), I32.add, i32(6), I32.divU, i32(6), I32.mul, set(bit)],
      forever(
        seq(
          ...[get(bit), i32(6), I32.add, get(end), i32(3), I32.shl, I32.gtS, leaveIf],
          ...[pair, add(0), get(bit), i32(6), I32.add, set(bit)],
        ),
      ),
      ...[get(at), get(first), I32.add, set(byte), get(at), get(end), I32.add, set(end)],
      forever(
        seq(
          ...[get(byte), get(end), I32.geU, leaveIf],
          ...[get(byte), load8(0), add(BYTE_SCORES_OFFSET), get(byte), i32(1), I32.add, set(byte)],
        ),
      ),
      ...[i32(0), get(sums), store128(state + SUMS_OFFSET)],
      ...[i32(0), isAbove(sums, small - 1), store32(state + WATCHING_OFFSET)],
      ...[i32(0), i32(0), load32(state + FAILED_OFFSET), isAbove(top, limit - 1), I32.or],
      store32(state + FAILED_OFFSET),
    ),
  };
}

/**
 * scanText(at, end, before): looks at the blocks from `at` to `end`, and sums up suspicious ones, the one before each, and what comes
 * after until no sum is worth it. `before` is the address of the block before the first, or 0; the last one is kept. Reads 4 bytes more than it looks at.
 */
export function scanText({ state }: TextLayout, calls: { readonly sumText: number }): Func {
  const local = numbered(
    ...(['at', 'end', 'before', 'isSuspicious', 'chars', 'words', 'kinds'] as const),
    ...(['first', 'second', 'third', 'fourth'] as const),
  );
  const { at, end, before, isSuspicious, chars, words, kinds, first, second, third, fourth } = local;
  const part = (shift: Code, bits: number, mask: number): Code =>
    seq(get(chars), i32(bits), shift, get(mask), V128.and);
  const upperHalves = seq(
    ...[part(V128.i32x4ShrU, 20, first), part(V128.i32x4ShrU, 6, second), V128.or],
    ...[part(V128.i32x4Shl, 8, third), part(V128.i32x4Shl, 22, fourth), V128.or, V128.or],
  );
  const isMany = seq(get(chars), V128.i8x16Bitmask, I32.popcnt, i32(MANY), I32.geU);
  // The next kind to the top of each byte. What a shift takes in from the byte below does not come that far.
  const next = seq(get(chars), i32(1), V128.i16x8Shl, set(chars));
  const isWatching = seq(i32(0), load32(state + WATCHING_OFFSET));
  const sum = (block: number): Code => seq(get(block), i32(0), i32(BLOCK_BYTES), call(calls.sumText));
  const forget = seq(i32(0), bytes16(new Array(16).fill(0)), store128(state + SUMS_OFFSET));
  return {
    parameters: ['i32', 'i32', 'i32'],
    results: [],
    locals: ['i32', 'v128', 'v128', 'v128', 'v128', 'v128', 'v128', 'v128'],
    code: seq(
      // In locals: as constants in the loop the engine would make them anew each time.
      ...[bytes16([2, 1, 0, 255, 5, 4, 3, 255, 8, 7, 6, 255, 11, 10, 9, 255]), set(words)],
      ...[bytes16(KINDS), set(kinds)],
      ...HALVES.map((half, i) => seq(bytes16([0, 1, 2, 3].flatMap(() => half)), set(first + i))),
      forever(
        seq(
          ...[get(at), get(end), I32.geU, leaveIf],
          ...[get(at), load128(0), tee(chars), V128.i8x16Bitmask, i32(0xfff), I32.and, I32.eqz, set(isSuspicious)],
          ...[get(chars), get(words), V128.i8x16Swizzle, set(chars)],
          ...[get(kinds), upperHalves, V128.i8x16Swizzle, set(chars)],
          ...[isMany, next, isMany, I32.or, next, isMany, I32.or, next, isMany, I32.or],
          ...[get(isSuspicious), I32.or, isWatching, I32.or],
          when(
            seq(
              ...[isWatching, I32.eqz, get(before), i32(0), I32.ne, I32.and, when(sum(before))],
              ...[sum(at), isWatching, I32.eqz, when(forget)],
            ),
          ),
          ...[get(at), tee(before), i32(BLOCK_BYTES), I32.add, set(at)],
        ),
      ),
      // For the next call.
      ...[i32(0), get(before), load128(0), store128(state + BEFORE_OFFSET)],
    ),
  };
}
