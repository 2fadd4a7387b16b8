import t from 'tap';
import {
  bytes16,
  type Code,
  call,
  F64,
  f64,
  forever,
  get,
  I32,
  I64,
  i32,
  i64,
  instantiate,
  leaveIf,
  load8,
  load16,
  load32,
  load64,
  load128,
  loadF64,
  repeatWhile,
  seq,
  set,
  store16,
  store32,
  store64,
  store128,
  tee,
  V128,
  when,
} from '#wasm';

/** What a function of one i32, with another one as a local, returns. */
function run(code: Code, argument = 0): number {
  const func = { parameters: ['i32'], results: ['i32'], locals: ['i32', 'v128'], code } as const;
  return instantiate({ func }, 1).func(argument);
}

t.test('numbers of all sizes', (t) => {
  for (const value of [0, 1, -1, 63, 64, -64, -65, 127, 128, 65_535, 65_536, 2 ** 31 - 1, -(2 ** 31)]) {
    t.equal(run(i32(value)), value);
    t.equal(run(seq(i64(BigInt(value)), I32.wrapI64)), value);
  }
  t.equal(run(seq(f64(-1.5), f64(1e300), F64.add, f64(2e300), F64.lt)), 1);
  t.end();
});

t.test('control flow', (t) => {
  const sum = seq(get(1), get(0), I32.add, set(1));
  const down = seq(get(0), i32(1), I32.sub, tee(0));
  t.equal(run(seq(repeatWhile(seq(sum, down)), get(1)), 100), 5050);
  t.equal(run(seq(forever(seq(get(0), I32.eqz, leaveIf, sum, down, set(0))), get(1)), 100), 5050);
  t.equal(run(seq(forever(seq(get(0), I32.eqz, leaveIf, sum, down, set(0))), get(1)), 0), 0);
  for (const [argument, expected] of [
    [0, 0],
    [7, 1],
  ] as const)
    t.equal(run(seq(get(0), when(seq(i32(1), set(1))), get(1)), argument), expected);
  t.end();
});

t.test('functions call each other by their number, with several parameters', (t) => {
  const { twice } = instantiate(
    {
      subtract: { parameters: ['i32', 'i32'], results: ['i32'], locals: [], code: seq(get(0), get(1), I32.sub) },
      twice: {
        parameters: ['i32'],
        results: ['i32'],
        locals: [],
        code: seq(get(0), i32(0), get(0), call(0), call(0)),
      },
    },
    1,
  );
  t.equal(twice(21), 42);
  t.end();
});

t.test('memory, and the operators as the specification has them', (t) => {
  const at = i32(64);
  const store = (code: Code) => seq(at, code, store64(0));
  const rows: readonly [code: Code, expected: number, why: string][] = [
    [seq(store(i64(0x1122334455667788n)), at, load8(1)), 0x77, 'load8'],
    [seq(store(i64(0x1122334455667788n)), at, load16(1)), 0x6677, 'load16, unaligned'],
    [seq(store(i64(0x1122334455667788n)), at, load32(4)), 0x11223344, 'load32'],
    [seq(store(i64(0x1122334455667788n)), at, load64(0), i64(32n), I64.shrU, I32.wrapI64), 0x11223344, 'load64'],
    [seq(at, i32(0x12345), store16(0), at, load32(0)), 0x2345, 'store16'],
    [seq(at, i32(0x12345), store32(0), at, load32(0)), 0x12345, 'store32'],
    [seq(store(i64(0x3ff8000000000000n)), at, loadF64(0), f64(1.6), F64.lt), 1, 'loadF64'],
    [seq(i32(5), i32(3), I32.xor, i32(1), I32.shl, i32(8), I32.or, i32(0xc), I32.and), 12, 'bits'],
    [seq(i32(-1), i32(28), I32.shrU), 15, 'shrU'],
    [seq(i32(-1), i32(1), I32.ltU), 0, 'ltU has no sign'],
    [seq(i32(-1), i32(-1), I32.leU), 1, 'leU'],
    [seq(i32(-1), i32(1), I32.geU), 1, 'geU'],
    [seq(i32(2), i32(1), I32.ne), 1, 'ne'],
  ];
  for (const [code, expected, why] of rows) t.equal(run(code), expected, why);
  t.end();
});

t.test('vectors', (t) => {
  const numbers = Array.from({ length: 16 }, (_, i) => i * 17);
  const first32 = (code: Code) => run(seq(i32(0), code, store128(0), i32(0), load32(0))) >>> 0;
  const a = bytes16(numbers);
  const rows: readonly [code: Code, expected: number, why: string][] = [
    [a, 0x33221100, 'the first byte is the lowest'],
    [seq(a, bytes16([3, 2, 1, 0, ...new Array(12).fill(255)]), V128.i8x16Swizzle), 0x00112233, 'swizzle'],
    [seq(a, i32(4), V128.i8x16ShrU), 0x03020100, 'i8x16 shr_u'],
    [seq(a, i32(0x22), V128.i8x16Splat, V128.i8x16Eq), 0x00ff0000, 'i8x16 eq'],
    [seq(a, i32(0xf0), V128.i8x16Splat, V128.i8x16Add), 0x231201f0, 'i8x16 add'],
    [seq(a, i32(4), V128.i16x8Shl), 0x32201000, 'i16x8 shl'],
    [seq(a, i32(8), V128.i16x8ShrU), 0x00330011, 'i16x8 shr_u'],
    [seq(a, a, V128.i16x8Add), 0x66442200, 'i16x8 add'],
    [seq(a, a, V128.i32x4Add), 0x66442200, 'i32x4 add'],
    [seq(a, bytes16([1, 0, 2, 0, ...new Array(12).fill(0)]), V128.i32x4DotI16x8), 0x1100 + 2 * 0x3322, 'dot'],
    [seq(a, V128.i32x4ExtendLowI16x8U), 0x1100, 'extend low'],
    [seq(a, V128.i32x4ExtendHighI16x8U), 0x9988, 'extend high'],
    [seq(a, bytes16(new Array(16).fill(0x0f)), V128.and), 0x03020100, 'and'],
    [seq(a, bytes16(new Array(16).fill(0x0f)), V128.or), 0x3f2f1f0f, 'or'],
    [seq(a, a, V128.xor), 0, 'xor'],
  ];
  for (const [code, expected, why] of rows) t.equal(first32(code), expected >>> 0, why);
  t.equal(run(seq(a, V128.anyTrue)), 1);
  t.equal(run(seq(get(2), V128.anyTrue)), 0);
  t.equal(run(seq(i32(16), a, store128(0), i32(15), load128(1), V128.anyTrue)), 1);
  t.end();
});
