/**
 * The loops that see every byte of every message, as one WebAssembly instance in the process: kernel-base64.ts, kernel-crc.ts,
 * kernel-counts.ts and kernel-text.ts. In JavaScript they took 3 ms for a megabyte, now 0.9. Here is what lies where in its memory:
 * tables, what is being counted, and the buffers that bytes pass through on their way from the milter to the judges. Each buffer is
 * used up before the call that fills it returns, so one of each serves all messages.
 */

import { instantiate } from '#wasm';
import { DECODE_TABLES, decodeLines } from './kernel-base64.ts';
import { COUNTS_BYTES, count, judge, TOTALS_OFFSET, tally } from './kernel-counts.ts';
import { CRC_TABLES, crc, crcByTables, fillCrcTables, foldBytes } from './kernel-crc.ts';
import { type KernelFunctions, plainFunctions } from './kernel-plain.ts';
import { SCORES_BYTES, scanText, sumText, TEXT_STATE_BYTES } from './kernel-text.ts';
import { LIMIT, SCORES, SMALL } from './text-model.ts';

/** Bytes judged together by randomness.ts, and how even they must be, in nats. */
export const WINDOW_BYTES = 4096;
export const BYTE_LIMIT_NATS = 413;
export const NIBBLE_LIMIT_NATS = 74;

/** Bytes decoded before they are handed on; a multiple of 3. */
export const SCRATCH_BYTES = 48 * 1024;
/** As much as is decoded at once: what Node reads at once. */
export const INPUT_BYTES = 65_536;
/** Room for what lies elsewhere and is counted; a multiple of the blocks of kernel-text.ts. */
const SMALL_BYTES = 4092;
/** decodeLines writes a little too much. */
const SLACK_BYTES = 16;
const PAGE_BYTES = 65_536;

let used = 0;
function place(bytes: number): number {
  const at = used;
  used = Math.ceil((used + bytes) / 64) * 64;
  return at;
}

const COUNT_LAYOUT = {
  hLnH: place((WINDOW_BYTES + 1) * 8),
  counts: place(COUNTS_BYTES),
  windowBytes: WINDOW_BYTES,
  byteLimit: BYTE_LIMIT_NATS,
  nibbleLimit: NIBBLE_LIMIT_NATS,
};
const CRC_LAYOUT = { tables: place(CRC_TABLES * 1024), fold: place(foldBytes(INPUT_BYTES)), longestBytes: INPUT_BYTES };
const DECODE_LAYOUT = { tables: place(DECODE_TABLES.length) };
const TEXT_LAYOUT = { state: place(TEXT_STATE_BYTES), scores: place(SCORES_BYTES), limit: LIMIT, small: SMALL };
const SMALL_AT = place(SMALL_BYTES);
const INPUT_AT = place(INPUT_BYTES);
const ARMOR_AT = place(SCRATCH_BYTES + SLACK_BYTES);
const PART_AT = place(SCRATCH_BYTES + SLACK_BYTES);
const MEMORY_PAGES = Math.ceil(used / PAGE_BYTES);

export class Kernel {
  /** What the code files describe. Addresses are those of {@link addressOf}; `crc` takes at most {@link INPUT_BYTES}. */
  readonly judge: KernelFunctions['judge'];
  readonly count: KernelFunctions['count'];
  readonly crc: KernelFunctions['crc'];
  readonly decodeLines: KernelFunctions['decodeLines'];
  readonly sumText: KernelFunctions['sumText'];
  readonly scanText: KernelFunctions['scanText'];
  /** What is being scanned for text, and its place. */
  readonly textState: Uint8Array;
  /** h * ln(h) for each count of a window. */
  readonly hLnH: Float64Array;
  /** What is counted now and of windows that are over: to be saved and restored as a whole. */
  readonly countState: Uint8Array;
  readonly totals: Uint32Array;
  /** For {@link addressOf} of base64 that lies elsewhere. */
  readonly input: Buffer;
  /** Where armor is decoded to, and where the transfer encoding around it. */
  readonly armorScratch: Buffer;
  readonly partScratch: Buffer;
  readonly #memory: ArrayBuffer;
  readonly #small: Uint8Array;

  /** @param hasVectors false for the functions in plain JavaScript, which else are used only where there are no vectors */
  constructor(hasVectors = true) {
    const { memory, functions } = (hasVectors ? compile() : undefined) ?? withoutVectors();
    this.judge = functions.judge;
    this.count = functions.count;
    this.crc = functions.crc;
    this.decodeLines = functions.decodeLines;
    this.sumText = functions.sumText;
    this.scanText = functions.scanText;
    this.textState = new Uint8Array(memory, TEXT_LAYOUT.state, TEXT_STATE_BYTES);
    this.#memory = memory;
    this.#small = new Uint8Array(memory, SMALL_AT, SMALL_BYTES);
    this.hLnH = new Float64Array(memory, COUNT_LAYOUT.hLnH, WINDOW_BYTES + 1);
    for (let h = 1; h <= WINDOW_BYTES; h++) this.hLnH[h] = h * Math.log(h);
    this.countState = new Uint8Array(memory, COUNT_LAYOUT.counts, COUNTS_BYTES);
    this.totals = new Uint32Array(memory, COUNT_LAYOUT.counts + TOTALS_OFFSET, 256);
    this.input = Buffer.from(memory, INPUT_AT, INPUT_BYTES);
    this.armorScratch = Buffer.from(memory, ARMOR_AT, SCRATCH_BYTES);
    this.partScratch = Buffer.from(memory, PART_AT, SCRATCH_BYTES);
    fillCrcTables(new Int32Array(memory, CRC_LAYOUT.tables, CRC_TABLES * 256));
    new Uint8Array(memory).set(DECODE_TABLES, DECODE_LAYOUT.tables);
    new Int16Array(memory, TEXT_LAYOUT.scores, SCORES.length).set(SCORES);
  }

  /** Where the bytes are in the kernel's memory, if they are. */
  addressOf(bytes: Uint8Array): number | undefined {
    return bytes.buffer === this.#memory ? bytes.byteOffset : undefined;
  }

  /** Calls `work` with the addresses of all bytes from `from` to `to`, in order; with those of copies where they lie elsewhere. */
  withAddresses(bytes: Uint8Array, from: number, to: number, work: (at: number, end: number) => void): void {
    const address = this.addressOf(bytes);
    if (address !== undefined) {
      work(address + from, address + to);
      return;
    }
    for (let at = from; at < to; at += SMALL_BYTES) {
      const piece = bytes.subarray(at, Math.min(to, at + SMALL_BYTES));
      this.#small.set(piece);
      work(SMALL_AT, SMALL_AT + piece.length);
    }
  }
}

interface Compiled {
  readonly memory: ArrayBuffer;
  readonly functions: KernelFunctions;
}

/** Undefined where the engine does not take the code. */
function compile(): Compiled | undefined {
  try {
    const functions = instantiate(
      {
        // The first four are called by the others, by their numbers here.
        judge: judge(COUNT_LAYOUT),
        tally: tally(COUNT_LAYOUT),
        crcByTables: crcByTables(CRC_LAYOUT),
        sumText: sumText(TEXT_LAYOUT),
        count: count(COUNT_LAYOUT, { judge: 0, tally: 1 }),
        crc: crc(CRC_LAYOUT, { crcByTables: 2 }),
        decodeLines: decodeLines(DECODE_LAYOUT),
        scanText: scanText(TEXT_LAYOUT, { sumText: 3 }),
      },
      MEMORY_PAGES,
    );
    return { memory: functions.memory.buffer, functions };
  } catch {
    return undefined;
  }
}

function withoutVectors(): Compiled {
  const memory = new ArrayBuffer(MEMORY_PAGES * PAGE_BYTES);
  return { memory, functions: plainFunctions(memory, COUNT_LAYOUT, CRC_LAYOUT.tables, TEXT_LAYOUT) };
}

let instance: Kernel | undefined;

/** The one of the process, made at the first use: it takes 4 MB, compiler included. */
export function theKernel(): Kernel {
  instance ??= new Kernel();
  return instance;
}
