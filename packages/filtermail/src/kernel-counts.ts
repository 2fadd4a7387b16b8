/**
 * The kernel's code that counts bytes and judges how even they are, for randomness.ts: every byte of a message is counted, which
 * is the most expensive thing of all that is done with it. What lies where stands in kernel.ts.
 */

import {
  bytes16,
  type Code,
  call,
  F64,
  type Func,
  f64,
  forever,
  get,
  I32,
  i32,
  leaveIf,
  load8,
  load16,
  load32,
  load128,
  loadF64,
  numbered,
  repeatWhile,
  seq,
  set,
  store16,
  store128,
  tee,
  V128,
} from '#wasm';

/** Counters of the same byte, used in turn: an addition need not wait for the one before it. */
const COUNTERS = 4;
/** Bytes of one counter of each byte. */
const COUNTER_BYTES = 512;
/** Bytes of {@link CountLayout.counts}, and where the sums are in them. */
export const TOTALS_OFFSET = COUNTERS * COUNTER_BYTES;
export const COUNTS_BYTES = TOTALS_OFFSET + 1024;

export interface CountLayout {
  /** h * ln(h), a float of 64 bits for each count from 0 to {@link windowBytes}. */
  readonly hLnH: number;
  /** Counts of 16 bits of all bytes, {@link COUNTERS} times, then their sums over all windows, of 32 bits. */
  readonly counts: number;
  /** Bytes of a window, and how even it must be. */
  readonly windowBytes: number;
  readonly byteLimit: number;
  readonly nibbleLimit: number;
}

/**
 * judge(byteLimit, nibbleLimit): 1 when the counted bytes are less even than that, else 0. The counts go to the sums, and are 0 then.
 * Sixteen bytes with the same upper half at a time.
 */
export function judge({ hLnH, counts }: CountLayout): Func {
  const local = numbered(
    'byteLimit',
    'nibbleLimit',
    'at',
    'total',
    'h',
    'sum',
    'bytes',
    'moreBytes',
    'nibbles',
    'vector',
  );
  const { at, total, h, sum, nibbles, vector } = local;
  const logarithm = (of: number): Code => seq(get(of), i32(3), I32.shl, loadF64(hLnH));
  const group: Code[] = [i32(0), set(sum)];
  for (const half of [0, 16]) {
    group.push(get(at));
    for (let counter = 0; counter < COUNTERS; counter++) {
      group.push(get(at), load128(counts + counter * COUNTER_BYTES + half));
      if (counter > 0) group.push(V128.i16x8Add);
    }
    group.push(tee(vector), store128(counts + half));
    for (const [part, extend] of [V128.i32x4ExtendLowI16x8U, V128.i32x4ExtendHighI16x8U].entries()) {
      const offset = counts + TOTALS_OFFSET + half * 2 + part * 16;
      group.push(get(total), get(total), load128(offset), get(vector), extend, V128.i32x4Add, store128(offset));
    }
  }
  for (let i = 0; i < 16; i++) {
    // Two sums in turn, for the same reason.
    const bytes = i % 2 === 0 ? local.bytes : local.moreBytes;
    group.push(get(at), load16(counts + 2 * i), set(h), get(sum), get(h), I32.add, set(sum));
    group.push(get(bytes), logarithm(h), F64.add, set(bytes));
  }
  group.push(get(nibbles), logarithm(sum), F64.add, set(nibbles));
  for (let counter = 0; counter < COUNTERS; counter++) {
    const zero = bytes16(new Array(16).fill(0));
    for (const half of [0, 16]) group.push(get(at), zero, store128(counts + counter * COUNTER_BYTES + half));
  }
  group.push(get(total), i32(64), I32.add, set(total));
  group.push(get(at), i32(32), I32.add, tee(at), i32(COUNTER_BYTES), I32.ltU);
  return {
    parameters: ['f64', 'f64'],
    results: ['i32'],
    locals: ['i32', 'i32', 'i32', 'i32', 'f64', 'f64', 'f64', 'v128'],
    code: seq(
      repeatWhile(seq(...group)),
      ...[get(local.bytes), get(local.moreBytes), F64.add, get(local.byteLimit), F64.lt],
      ...[get(nibbles), get(local.nibbleLimit), F64.lt, I32.and, I32.eqz],
    ),
  };
}

/** tally(at, end): counts the bytes from `at` to `end`. */
export function tally({ counts }: CountLayout): Func {
  const { at, end, word, place } = numbered('at', 'end', 'word', 'place');
  const add = (counter: number): Code => {
    const offset = counts + counter * COUNTER_BYTES;
    return seq(get(place), get(place), load16(offset), i32(1), I32.add, store16(offset));
  };
  // The byte times two is the place of its count.
  const placeOf = (position: number): Code => {
    const shift = position === 0 ? seq(i32(1), I32.shl) : seq(i32(8 * position - 1), I32.shrU);
    return seq(get(word), shift, i32(0x1fe), I32.and, set(place));
  };
  const sixteen: Code[] = [];
  for (const offset of [0, 4, 8, 12]) {
    sixteen.push(get(at), load32(offset), set(word));
    for (let position = 0; position < 4; position++) sixteen.push(placeOf(position), add(position % COUNTERS));
  }
  const isSixteenLeft = seq(get(at), i32(16), I32.add, get(end), I32.leU);
  const one = seq(get(at), load8(0), i32(1), I32.shl, set(place), add(0));
  return {
    parameters: ['i32', 'i32'],
    results: [],
    locals: ['i32', 'i32'],
    code: seq(
      forever(seq(isSixteenLeft, I32.eqz, leaveIf, ...sixteen, get(at), i32(16), I32.add, set(at))),
      forever(seq(get(at), get(end), I32.geU, leaveIf, one, get(at), i32(1), I32.add, set(at))),
    ),
  };
}

/** count(at, end, filled): counts on in a window of which `filled` bytes are counted. 1 when a window that it filled is not even. */
export function count(layout: CountLayout, calls: { readonly judge: number; readonly tally: number }): Func {
  const { windowBytes, byteLimit, nibbleLimit } = layout;
  const { at, end, filled, to, failed } = numbered('at', 'end', 'filled', 'to', 'failed');
  const limits = seq(
    f64(byteLimit + windowBytes * Math.log(windowBytes / 256)),
    f64(nibbleLimit + windowBytes * Math.log(windowBytes / 16)),
  );
  return {
    parameters: ['i32', 'i32', 'i32'],
    results: ['i32'],
    locals: ['i32', 'i32'],
    code: seq(
      forever(
        seq(
          ...[get(at), i32(windowBytes), I32.add, get(filled), I32.sub, tee(to), get(end), I32.leU, I32.eqz, leaveIf],
          ...[get(at), get(to), call(calls.tally), get(to), set(at), i32(0), set(filled)],
          ...[limits, call(calls.judge), get(failed), I32.or, set(failed)],
        ),
      ),
      ...[get(at), get(end), call(calls.tally), get(failed)],
    ),
  };
}
