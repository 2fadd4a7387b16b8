/**
 * The 5000 rounds of SHA512-CRYPT as one WebAssembly function. Through `node:crypto` a round costs more in calls than in
 * SHA-512; this way a password takes 1.25 times what crypt(3) takes, instead of 3 times, and that is what bounds how many
 * accounts a relay can create.
 * Source: FIPS 180-4 section 6.4 (SHA-512); Drepper's SHA-crypt, step 21. Which of C, P and S a round hashes repeats every
 * 42 rounds, so 42 padded messages lie ready in memory and a round only fills in C.
 */

import {
  type Code,
  call,
  type Func,
  get,
  I32,
  I64,
  i32,
  i64,
  instantiate,
  load32,
  load64,
  repeatWhile,
  set,
  store64,
  tee,
  when,
} from '#wasm';

const ROUNDS = 5000;
/** Least common multiple of 2, 3 and 7. */
const PERIOD = 42;
const DIGEST_BYTES = 64;
const BLOCK_BYTES = 128;
const WORDS = [0, 1, 2, 3, 4, 5, 6, 7] as const;

// What lies where in the memory of the module, bytes.
const K_AT = 0;
const IV_AT = K_AT + 80 * 8;
const H_AT = IV_AT + 8 * 8;
/** Three numbers for each of the 42 messages: its begin, its end, the place of C in it. */
const TABLE_AT = H_AT + 8 * 8;
const ENTRY_BYTES = 12;
const MESSAGES_AT = TABLE_AT + PERIOD * ENTRY_BYTES;
const MEMORY_PAGES = 2;

/** SHA-512 of one block: adds the block at the address given to the hash value at `H_AT`. */
function compress(): Func {
  const [BLOCK, K, T] = [0, 1, 26];
  const w = (index: number) => 2 + (index & 15);
  const code: number[] = [];
  for (const i of WORDS) code.push(...i32(0), ...load64(H_AT + 8 * i), ...set(18 + i));
  for (let i = 0; i < 16; i++) code.push(...get(BLOCK), ...load64(8 * i), ...swapBytes(T), ...set(w(i)));

  /** Sixteen rounds. The variables a to h change names instead of places; after sixteen they are back at theirs. */
  const sixteenRounds = (isLast: boolean): Code => {
    const part: number[] = [];
    for (let i = 0; i < 16; i++) {
      const v = (index: number) => 18 + ((index - i + 16) & 7);
      const [a, b, c, d, e, f, g, h] = [v(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7)];
      const ch = [...get(g), ...get(f), ...get(g), ...I64.xor, ...get(e), ...I64.and, ...I64.xor];
      const maj = [...get(a), ...get(b), ...I64.and, ...get(c), ...get(a), ...get(b), ...I64.or, ...I64.and, ...I64.or];
      part.push(...get(h), ...sum(e, 14n, 18n, 41n), ...I64.add, ...ch, ...I64.add);
      part.push(...get(K), ...load64(8 * i), ...I64.add, ...get(w(i)), ...I64.add, ...set(T));
      part.push(...get(d), ...get(T), ...I64.add, ...set(d));
      part.push(...get(T), ...sum(a, 28n, 34n, 39n), ...I64.add, ...maj, ...I64.add, ...set(h));
      if (isLast) continue;
      part.push(...get(w(i)), ...sigma(w(i + 1), 1n, 8n, 7n), ...I64.add, ...get(w(i + 9)), ...I64.add);
      part.push(...sigma(w(i + 14), 19n, 61n, 6n), ...I64.add, ...set(w(i)));
    }
    return part;
  };
  const nextK = [...get(K), ...i32(BLOCK_BYTES), ...I32.add, ...tee(K), ...i32(4 * BLOCK_BYTES), ...I32.ltU];
  code.push(...repeatWhile([...sixteenRounds(false), ...nextK]), ...sixteenRounds(true));
  for (const i of WORDS) {
    const at = H_AT + 8 * i;
    code.push(...i32(0), ...i32(0), ...load64(at), ...get(18 + i), ...I64.add, ...store64(at));
  }
  return { parameters: ['i32'], results: [], locals: ['i32', ...new Array(25).fill('i64')], code };
}

/** As many rounds as given: the hash value goes into the next message, and that message's becomes the hash value. */
function rounds(): Func {
  const [LEFT, ENTRY, BLOCK, END, T] = [0, 1, 2, 3, 4];
  const round: number[] = [];
  for (const i of WORDS) {
    const at = H_AT + 8 * i;
    round.push(...get(ENTRY), ...load32(8), ...i32(0), ...load64(at), ...swapBytes(T), ...store64(8 * i));
    round.push(...i32(0), ...i32(0), ...load64(IV_AT + 8 * i), ...store64(at));
  }
  round.push(...get(ENTRY), ...load32(0), ...set(BLOCK), ...get(ENTRY), ...load32(4), ...set(END));
  const nextBlock = [...get(BLOCK), ...i32(BLOCK_BYTES), ...I32.add, ...tee(BLOCK), ...get(END), ...I32.ltU];
  round.push(...repeatWhile([...get(BLOCK), ...call(0), ...nextBlock]));
  round.push(...get(ENTRY), ...i32(ENTRY_BYTES), ...I32.add, ...tee(ENTRY), ...i32(MESSAGES_AT), ...I32.eq);
  round.push(...when([...i32(TABLE_AT), ...set(ENTRY)]));
  round.push(...get(LEFT), ...i32(1), ...I32.sub, ...tee(LEFT));
  return {
    parameters: ['i32'],
    results: [],
    locals: ['i32', 'i32', 'i32', 'i64'],
    code: [...i32(TABLE_AT), ...set(ENTRY), ...repeatWhile(round)],
  };
}

const rotate = (x: number, bits: bigint): Code => [...get(x), ...i64(bits), ...I64.rotr];
const shift = (x: number, bits: bigint): Code => [...get(x), ...i64(bits), ...I64.shrU];
const sum = (x: number, p: bigint, q: bigint, r: bigint): Code => [
  ...rotate(x, p),
  ...rotate(x, q),
  ...I64.xor,
  ...rotate(x, r),
  ...I64.xor,
];
const sigma = (x: number, p: bigint, q: bigint, r: bigint): Code => [
  ...rotate(x, p),
  ...rotate(x, q),
  ...I64.xor,
  ...shift(x, r),
  ...I64.xor,
];

/** Turns the eight bytes on the stack around, by halves, quarters and eighths: SHA-512 is big-endian, memory is not. */
function swapBytes(temporary: number): Code {
  const exchange = (bits: bigint, mask: bigint): Code => [
    ...tee(temporary),
    ...i64(mask),
    ...I64.and,
    ...i64(bits),
    ...I64.shl,
    ...shift(temporary, bits),
    ...i64(mask),
    ...I64.and,
    ...I64.or,
  ];
  return [...i64(32n), ...I64.rotr, ...exchange(16n, 0x0000ffff0000ffffn), ...exchange(8n, 0x00ff00ff00ff00ffn)];
}

interface Machine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  run(rounds: number): void;
}

let machine: Machine | undefined;

/** Made at the first use: only the thread that hashes pays for it. */
function theMachine(): Machine {
  if (machine) return machine;
  const { memory, run } = instantiate({ compress: compress(), run: rounds() }, MEMORY_PAGES);
  const view = new DataView(memory.buffer);
  // The constants are the first 64 bits of the fractions of roots of primes (FIPS 180-4 sections 4.2.3, 5.3.5).
  const primes = firstPrimes(80);
  for (const [i, prime] of primes.entries()) view.setBigUint64(K_AT + 8 * i, root(prime << 192n, 3n), true);
  for (const i of WORDS) view.setBigUint64(IV_AT + 8 * i, root(primes[i]! << 128n, 2n), true);
  machine = { bytes: new Uint8Array(memory.buffer), view, run };
  return machine;
}

function firstPrimes(count: number): bigint[] {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
  return primes;
}

/**
 * The root rounded down, by Newton's method from just above: a double has the first 50 bits right. What is over 64 bits is cut
 * off when it is stored.
 */
function root(n: bigint, degree: bigint): bigint {
  for (let x = BigInt(Math.ceil(Number(n) ** (1 / Number(degree)) * (1 + 2 ** -40))); ; ) {
    const next = ((degree - 1n) * x + n / x ** (degree - 1n)) / degree;
    if (next >= x) return x;
    x = next;
  }
}

/**
 * Step 21: 5000 times SHA-512 of C, P and S in changing order.
 *
 * @param a the digest to begin with, 64 bytes
 * @param p stands for the password, at most 1024 bytes
 * @param s stands for the salt, at most 16 bytes
 * @throws RangeError when one of them is longer
 */
export function runRounds(a: Buffer, p: Uint8Array, s: Uint8Array): Buffer {
  const { bytes, view, run } = theMachine();
  let at = MESSAGES_AT;
  for (let round = 0; round < PERIOD; round++) {
    const isOdd = (round & 1) === 1;
    const middle = [...(round % 3 === 0 ? [] : [s]), ...(round % 7 === 0 ? [] : [p])];
    // C itself is written by each round: here only its place counts.
    const parts = isOdd ? [p, ...middle, a] : [a, ...middle, p];
    let end = at;
    for (const part of parts) {
      bytes.set(part, end);
      end += part.length;
    }
    const blocksEnd = at + Math.ceil((end - at + 17) / BLOCK_BYTES) * BLOCK_BYTES;
    bytes[end] = 0x80;
    bytes.fill(0, end + 1, blocksEnd);
    view.setUint32(blocksEnd - 4, (end - at) * 8);
    const entry = TABLE_AT + ENTRY_BYTES * round;
    view.setUint32(entry, at, true);
    view.setUint32(entry + 4, blocksEnd, true);
    view.setUint32(entry + 8, isOdd ? end - DIGEST_BYTES : at, true);
    at = blocksEnd;
  }
  for (const i of WORDS) view.setBigUint64(H_AT + 8 * i, a.readBigUInt64BE(8 * i), true);
  run(ROUNDS);
  const digest = Buffer.alloc(DIGEST_BYTES);
  for (const i of WORDS) digest.writeBigUInt64BE(view.getBigUint64(H_AT + 8 * i, true), 8 * i);
  // The messages hold the password's stand-in; nothing of it is left for the next.
  bytes.fill(0, H_AT);
  return digest;
}
