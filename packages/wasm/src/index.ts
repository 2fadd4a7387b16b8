/**
 * Just enough of a WebAssembly assembler for the innermost loops of the daemons: instructions are lists of bytes, a function
 * is their concatenation. Source: WebAssembly Core Specification 2.0, section 5 (binary format). Omits everything
 * they do not use, checks included: the engine validates the module anyway. Imports nothing, so that a worker thread may use it.
 */

export type Code = readonly number[];

/** Operators of the binary format, section 5.4, that take their operands from the stack. */
export const I32 = {
  eqz: [0x45],
  eq: [0x46],
  ne: [0x47],
  ltU: [0x49],
  gtS: [0x4a],
  leU: [0x4d],
  geU: [0x4f],
  popcnt: [0x69],
  add: [0x6a],
  sub: [0x6b],
  mul: [0x6c],
  divU: [0x6e],
  and: [0x71],
  or: [0x72],
  xor: [0x73],
  shl: [0x74],
  shrU: [0x76],
  wrapI64: [0xa7],
} as const;
export const I64 = {
  add: [0x7c],
  and: [0x83],
  or: [0x84],
  xor: [0x85],
  shl: [0x86],
  shrU: [0x88],
  rotr: [0x8a],
} as const;
export const F64 = { lt: [0x63], add: [0xa0] } as const;
/** Vectors of 128 bits, section 5.4.8. */
export const V128 = {
  and: vector(78),
  or: vector(80),
  xor: vector(81),
  anyTrue: vector(83),
  i8x16Swizzle: vector(14),
  i8x16Splat: vector(15),
  i8x16Eq: vector(35),
  i8x16Bitmask: vector(100),
  i8x16ShrU: vector(109),
  i8x16Add: vector(110),
  i16x8Shl: vector(139),
  i16x8ShrU: vector(141),
  i16x8Add: vector(142),
  i16x8MaxS: vector(152),
  i16x8GtS: vector(49),
  i32x4Shl: vector(171),
  i32x4ShrU: vector(173),
  i32x4Add: vector(174),
  i32x4DotI16x8: vector(186),
  i32x4ExtendLowI16x8U: vector(169),
  i32x4ExtendHighI16x8U: vector(170),
} as const;

export const TYPE = { i32: 0x7f, i64: 0x7e, f64: 0x7c, v128: 0x7b } as const;
export type ValueType = keyof typeof TYPE;

const NO_RESULT = 0x40;

/** LEB128, unsigned. */
function unsigned(value: number): number[] {
  if (value < 0x80) return [value];
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/** LEB128, two's complement. */
function signed(value: bigint): number[] {
  if (value >= -64n && value < 64n) return [Number(value) & 0x7f];
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    if (rest >> 6n === 0n || rest >> 6n === -1n) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function vector(opcode: number): Code {
  return [0xfd, ...unsigned(opcode)];
}

export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number): Code => [0x21, ...unsigned(local)];
/** Sets a local and keeps the value on the stack. */
export const tee = (local: number): Code => [0x22, ...unsigned(local)];
export const i32 = (value: number): Code => [0x41, ...signed(BigInt(value))];
export const i64 = (value: bigint): Code => [0x42, ...signed(BigInt.asIntN(64, value))];
export const f64 = (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)];
/** A vector of these bytes, the first at the lowest address. */
export const bytes16 = (bytes: readonly number[]): Code => [...vector(12), ...bytes.map((byte) => byte & 0xff)];
/** Loads and stores need no alignment; the address is on the stack, `offset` is added to it. */
export const load32 = (offset: number): Code => [0x28, 0, ...unsigned(offset)];
export const load64 = (offset: number): Code => [0x29, 0, ...unsigned(offset)];
export const loadF64 = (offset: number): Code => [0x2b, 0, ...unsigned(offset)];
export const load8 = (offset: number): Code => [0x2d, 0, ...unsigned(offset)];
export const load16 = (offset: number): Code => [0x2f, 0, ...unsigned(offset)];
export const load128 = (offset: number): Code => [...vector(0), 0, ...unsigned(offset)];
export const store32 = (offset: number): Code => [0x36, 0, ...unsigned(offset)];
export const store64 = (offset: number): Code => [0x37, 0, ...unsigned(offset)];
export const store16 = (offset: number): Code => [0x3b, 0, ...unsigned(offset)];
export const store128 = (offset: number): Code => [...vector(11), 0, ...unsigned(offset)];
export const call = (func: number): Code => [0x10, ...unsigned(func)];
/** One instruction after the other. */
export const seq = (...parts: readonly Code[]): Code => parts.flat();
/** Runs the body, and again as long as it leaves something other than 0 on the stack. */
export const repeatWhile = (body: Code): Code => [0x03, NO_RESULT, ...body, 0x0d, 0, 0x0b];
/** Runs the body if what is on the stack is not 0. */
export const when = (body: Code): Code => [0x04, NO_RESULT, ...body, 0x0b];
/** Runs the body again and again until an {@link leaveIf} in it, not inside another block, leaves. */
export const forever = (body: Code): Code => [0x02, NO_RESULT, 0x03, NO_RESULT, ...body, 0x0c, 0, 0x0b, 0x0b];
/** Leaves {@link forever} if what is on the stack is not 0. */
export const leaveIf: Code = [0x0d, 1];

/** Numbers of a function's locals by their names, in their order. */
export function numbered<Names extends string>(...names: readonly Names[]): Readonly<Record<Names, number>> {
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<Names, number>;
}

/** A function. Its parameters are locals too, numbered from 0; `locals` come after them. */
export interface Func {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly locals: readonly ValueType[];
  /** Leaves the results on the stack. */
  readonly code: Code;
}

/** What is used of the engine's interface; TypeScript knows it only together with the whole of the browser's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

/** The functions of a module by their names, and its memory, which never grows. */
export type Instance<Names extends string> = { readonly memory: { readonly buffer: ArrayBuffer } } & Readonly<
  Record<Names, (...parameters: number[]) => number>
>;

/** Compiles a module of these functions, with that many pages of 64 KiB of memory. They call each other by their number. */
export function instantiate<Names extends string>(
  funcs: Readonly<Record<Names, Func>>,
  memoryPages: number,
): Instance<Names> {
  const module = new WebAssembly.Module(encodeModule(funcs, memoryPages));
  return new WebAssembly.Instance(module).exports as Instance<Names>;
}

function encodeModule(funcs: Readonly<Record<string, Func>>, memoryPages: number): Uint8Array {
  const list = Object.values(funcs);
  const types = (names: readonly ValueType[]): Code => withLength(names.map((name) => TYPE[name]));
  const exportOf = (name: string, kind: number, index: number): Code => [
    ...withLength([...Buffer.from(name)]),
    kind,
    ...unsigned(index),
  ];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(
      1,
      list.map(({ parameters, results }) => [0x60, ...types(parameters), ...types(results)]),
    ),
    ...section(
      3,
      list.map((_, index) => unsigned(index)),
    ),
    ...section(5, [[0, ...unsigned(memoryPages)]]),
    ...section(7, [exportOf('memory', 2, 0), ...Object.keys(funcs).map((name, index) => exportOf(name, 0, index))]),
    ...section(
      10,
      list.map(({ locals, code }) =>
        withLength([...unsigned(locals.length), ...locals.flatMap((name) => [1, TYPE[name]]), ...code, 0x0b]),
      ),
    ),
  ]);
}

function section(id: number, items: readonly Code[]): Code {
  return [id, ...withLength([...unsigned(items.length), ...items.flat()])];
}

function withLength(bytes: Code): Code {
  return [...unsigned(bytes.length), ...bytes];
}
