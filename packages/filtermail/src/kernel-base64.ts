/**
 * The kernel's code that decodes base64, 16 characters at a time (W. Muła and D. Lemire, "Faster Base64 Encoding and Decoding
 * using AVX2 Instructions", ACM Trans. on the Web 12, 2018), for base64.ts. Strict: a line with anything else in it is left alone.
 */

import {
  bytes16,
  type Func,
  forever,
  get,
  I32,
  i32,
  leaveIf,
  load16,
  load128,
  numbered,
  repeatWhile,
  seq,
  set,
  store128,
  tee,
  V128,
  when,
} from '#wasm';

const CRLF = 0x0a0d;

/**
 * Vectors the code reads from memory: as constants the engine would make them anew at every use. In this order:
 * a character is wrong when the entries of its lower half in the first and of its upper half in the second have a bit in common;
 * the third has what to add to a character to get its value, by its upper half, the slash by an entry of its own.
 */
const TABLES: readonly (readonly number[])[] = [
  [0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a],
  [0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10],
  [0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0],
  repeated(0x0f),
  repeated(0x2f),
  repeated(0xc0, 0x0f),
  repeated(0, 0x10, 1, 0),
];

export const DECODE_TABLES = Uint8Array.from(TABLES.flat());

export interface DecodeLayout {
  /** Where {@link DECODE_TABLES} are. */
  readonly tables: number;
}

/**
 * decodeLines(at, length, lines, out): decodes lines of `length` characters, 16 or more and a multiple of 4, each with a CRLF after
 * it. Stops before the first line that has anything else in it or after it; returns how many it decoded. Writes up to 4 bytes too many.
 */
export function decodeLines({ tables }: DecodeLayout): Func {
  const local = numbered(
    ...(['at', 'length', 'lines', 'out', 'done', 'from', 'to', 'lineEnd', 'outBytes'] as const),
    ...(['chars', 'upper', 'wrong', 'zero'] as const),
    ...(['wrongLower', 'wrongUpper', 'offsets', 'lowerHalf', 'slash', 'upperBits', 'weights'] as const),
  );
  const { at, length, lines, out, done, from, to, lineEnd, outBytes, chars, upper, wrong } = local;
  const packed = bytes16([2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 255, 255, 255, 255]);
  const step = seq(
    ...[get(from), load128(0), tee(chars), i32(4), V128.i8x16ShrU, set(upper)],
    ...[get(local.wrongLower), get(chars), get(local.lowerHalf), V128.and, V128.i8x16Swizzle],
    ...[get(local.wrongUpper), get(upper), V128.i8x16Swizzle, V128.and, get(wrong), V128.or, set(wrong)],
    ...[get(chars), get(local.offsets), get(chars), get(local.slash), V128.i8x16Eq, get(upper), V128.i8x16Add],
    ...[V128.i8x16Swizzle, V128.i8x16Add, set(chars)],
    // Four values of 6 bits to 24 bits: two in each half, then the halves together, then the bytes in their order.
    ...[get(to), get(chars), i32(6), V128.i16x8Shl, get(local.upperBits), V128.and],
    ...[get(chars), i32(8), V128.i16x8ShrU, V128.or, get(local.weights), V128.i32x4DotI16x8],
    ...[packed, V128.i8x16Swizzle, store128(0)],
  );
  const line = seq(
    ...[get(done), get(lines), I32.geU, leaveIf],
    ...[get(at), get(length), I32.add, tee(lineEnd), load16(0), i32(CRLF), I32.ne, leaveIf],
    ...[get(local.zero), set(wrong), get(at), set(from), get(out), set(to)],
    repeatWhile(
      seq(
        ...[step, get(to), i32(12), I32.add, set(to)],
        ...[get(from), i32(16), I32.add, tee(from), i32(16), I32.add, get(lineEnd), I32.leU],
      ),
    ),
    // The last 16 characters once more, where the line is no multiple of them.
    ...[get(from), get(lineEnd), I32.ltU],
    when(
      seq(
        ...[get(lineEnd), i32(16), I32.sub, set(from)],
        ...[get(out), get(outBytes), I32.add, i32(12), I32.sub, set(to), step],
      ),
    ),
    ...[get(wrong), V128.anyTrue, leaveIf],
    ...[get(lineEnd), i32(2), I32.add, set(at), get(out), get(outBytes), I32.add, set(out)],
    ...[get(done), i32(1), I32.add, set(done)],
  );
  return {
    parameters: ['i32', 'i32', 'i32', 'i32'],
    results: ['i32'],
    locals: [...new Array(5).fill('i32'), ...new Array(4 + TABLES.length).fill('v128')],
    code: seq(
      ...[get(length), i32(2), I32.shrU, tee(outBytes), get(outBytes), get(outBytes), I32.add, I32.add, set(outBytes)],
      ...TABLES.map((_, i) => seq(i32(tables), load128(16 * i), set(local.wrongLower + i))),
      forever(line),
      get(done),
    ),
  };
}

function repeated(...bytes: readonly number[]): number[] {
  return Array.from({ length: 16 }, (_, i) => bytes[i % bytes.length]!);
}
