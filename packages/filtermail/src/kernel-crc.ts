/**
 * The kernel's code of the CRC-24 of OpenPGP armor (RFC 9580 §6.1.1): by look-ups in 16 tables, each for a byte of another distance (M.
 * Kounavis and F. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation", IEEE Trans. Computers 57, 2008),
 * after most of the data was folded away, which is six times as fast. What lies where stands in kernel.ts.
 */

import {
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
  repeatWhile,
  seq,
  set,
  store32,
  store128,
  tee,
  V128,
  when,
} from '#wasm';

/** Numbers of 32 bits for all bytes, as often: of bytes whose distance from the end is 0, 1, ... */
export const CRC_TABLES = 16;

const BLOCK_BYTES = 16;
/** After how many blocks a block comes in again when it is struck out, see {@link crc}. */
const FOLD_DISTANCES = [9, 11, 24, 48, 54];
const FOLD_BYTES = 54 * BLOCK_BYTES;

export interface CrcLayout {
  readonly tables: number;
  /** {@link foldBytes} for the longest data there may be. The first part stays zero. */
  readonly fold: number;
  readonly longestBytes: number;
}

export function foldBytes(longestBytes: number): number {
  return longestBytes + 2 * FOLD_BYTES;
}

/**
 * crc(register, at, end): the register after the bytes from `at` to `end`. Its lowest byte is the next one to leave it.
 *
 * x^54 + x^45 + x^43 + x^30 + x^6 + 1 is a multiple of the CRC's polynomial. Over GF(2), so is the same with every exponent times
 * 128, the bits of a block. Hence a block can be struck out when it is added to those 9, 11, 24, 48 and 54 blocks later: all but
 * the last 54 go this way, at a few cycles each, and only those go through the tables.
 */
export function crc({ fold, longestBytes }: CrcLayout, calls: { readonly crcByTables: number }): Func {
  const { register, at, end, to, last, tail, zero } = numbered('register', 'at', 'end', 'to', 'last', 'tail', 'zero');
  // `to` is 54 blocks before the place where this block goes.
  const withEarlier = seq(
    ...[get(at), load128(0)],
    ...FOLD_DISTANCES.map((distance) => seq(get(to), load128(FOLD_BYTES - distance * BLOCK_BYTES), V128.xor)),
  );
  const advance = (local: number): Code => seq(get(local), i32(BLOCK_BYTES), I32.add, tee(local));
  const tailAt = fold + FOLD_BYTES + longestBytes;
  return {
    parameters: ['i32', 'i32', 'i32'],
    results: ['i32'],
    locals: ['i32', 'i32', 'i32', 'v128'],
    code: seq(
      ...[get(end), get(at), I32.sub, i32(2 * FOLD_BYTES), I32.geU],
      when(
        seq(
          // The register is added to the first bytes: it is a block 54 blocks before them.
          ...[i32(fold), tee(to), get(register), store32(0)],
          ...[
            get(end),
            get(at),
            I32.sub,
            i32(-BLOCK_BYTES),
            I32.and,
            get(at),
            I32.add,
            i32(FOLD_BYTES),
            I32.sub,
            set(last),
          ],
          repeatWhile(
            seq(get(to), withEarlier, store128(FOLD_BYTES), advance(to), set(to), advance(at), get(last), I32.ltU),
          ),
          // The last ones take what was struck out before, but are not struck out themselves.
          ...Array.from({ length: FOLD_BYTES / BLOCK_BYTES }, (_, i) =>
            seq(get(to), get(zero), store128(FOLD_BYTES + i * BLOCK_BYTES)),
          ),
          ...[i32(tailAt), set(tail)],
          repeatWhile(
            seq(
              ...[get(tail), withEarlier, store128(0), advance(to), set(to), advance(at), set(at)],
              ...[advance(tail), i32(tailAt + FOLD_BYTES), I32.ltU],
            ),
          ),
          ...[i32(0), i32(tailAt), i32(tailAt + FOLD_BYTES), call(calls.crcByTables), set(register)],
        ),
      ),
      ...[get(register), get(at), get(end), call(calls.crcByTables)],
    ),
  };
}

/** crcByTables(register, at, end): the same, for short data. */
export function crcByTables({ tables }: CrcLayout): Func {
  const { register, at, end, word } = numbered('register', 'at', 'end', 'word');
  // The byte times four is the place in its table.
  const lookUp = (position: number, distance: number): Code => {
    const shift = position === 0 ? seq(i32(2), I32.shl) : seq(i32(8 * position - 2), I32.shrU);
    return seq(get(word), shift, i32(0x3fc), I32.and, load32(tables + 1024 * distance));
  };
  const sixteen: Code[] = [];
  for (const offset of [0, 4, 8, 12]) {
    sixteen.push(get(at), load32(offset));
    if (offset === 0) sixteen.push(get(register), I32.xor);
    sixteen.push(set(word));
    for (let position = 0; position < 4; position++) {
      sixteen.push(lookUp(position, CRC_TABLES - 1 - offset - position));
      if (offset + position > 0) sixteen.push(I32.xor);
    }
  }
  const one = seq(
    ...[get(register), get(at), load8(0), I32.xor, set(word), lookUp(0, 0)],
    ...[get(register), i32(8), I32.shrU, I32.xor, set(register)],
  );
  const isSixteenLeft = seq(get(at), i32(CRC_TABLES), I32.add, get(end), I32.leU);
  return {
    parameters: ['i32', 'i32', 'i32'],
    results: ['i32'],
    locals: ['i32'],
    code: seq(
      forever(
        seq(isSixteenLeft, I32.eqz, leaveIf, ...sixteen, set(register), get(at), i32(CRC_TABLES), I32.add, set(at)),
      ),
      forever(seq(get(at), get(end), I32.geU, leaveIf, one, get(at), i32(1), I32.add, set(at))),
      get(register),
    ),
  };
}

const GENERATOR = 0x864cfb;

/** Makes the tables. */
export function fillCrcTables(tables: Int32Array): void {
  for (let byte = 0; byte < 256; byte++) {
    let value = byte << 16;
    for (let bit = 0; bit < 8; bit++) value = (value << 1) ^ ((value & 0x800000) === 0 ? 0 : 0x1000000 | GENERATOR);
    tables[byte] = turnAround(value);
  }
  for (let at = 256; at < tables.length; at++) {
    const nearer = tables[at - 256]!;
    tables[at] = (nearer >>> 8) ^ tables[nearer & 255]!;
  }
}

/** Three bytes in the other order, as the register has them. */
export function turnAround(value: number): number {
  return ((value & 0xff) << 16) | (value & 0xff00) | ((value >>> 16) & 0xff);
}
