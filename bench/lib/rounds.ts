/**
 * [io] Side by side: all variants of a cell take turns in every round, each round starting with another, so that a machine
 * that gets slower or faster meanwhile treats them alike. Ratios are taken within a round, then the median of them.
 */

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { Program } from './process.ts';
import { median } from './table.ts';

/** What the load generators print. */
export interface LoadSummary {
  readonly count: number;
  readonly secs: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** One turn of one variant; `cpuMs` is the program's CPU time in it, NaN where there is no program. */
export interface Turn extends LoadSummary {
  readonly cpuMs: number;
}

export interface Figures {
  readonly perSecond: number;
  /** Largest minus smallest rate of the rounds, relative to the median. */
  readonly spread: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMsPer1000: number;
  /** Rate relative to the reference variant's. */
  readonly ratio: number;
}

/** Runs `rounds` rounds and returns each variant's turns, in the order of the rounds. */
export async function alternate<V>(
  variants: readonly V[],
  rounds: number,
  run: (variant: V) => Promise<Turn>,
): Promise<Map<V, Turn[]>> {
  const turns = new Map<V, Turn[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < variants.length; i++) {
      const variant = variants[(round + i) % variants.length]!;
      turns.get(variant)!.push(await run(variant));
    }
  }
  return turns;
}

/** Runs a load and adds what it cost `program`. */
export async function measured(program: Program | undefined, load: () => Promise<LoadSummary>): Promise<Turn> {
  const before = (await program?.cpuMs()) ?? NaN;
  const summary = await load();
  return { ...summary, cpuMs: ((await program?.cpuMs()) ?? NaN) - before };
}

export function summarise(turns: readonly Turn[], reference: readonly Turn[] | undefined): Figures {
  const rates = turns.map((turn) => turn.perSecond);
  return {
    perSecond: median(rates),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    p50Ms: median(turns.map((turn) => turn.p50Ms)),
    p99Ms: median(turns.map((turn) => turn.p99Ms)),
    cpuMsPer1000: median(turns.map((turn) => (turn.cpuMs * 1000) / turn.count)),
    ratio: reference ? median(turns.map((turn, round) => turn.perSecond / reference[round]!.perSecond)) : NaN,
  };
}

/** One line about the machine, for the head of a table. */
export function describeMachine(): string {
  const [load] = readFileSync('/proc/loadavg', 'latin1').split(' ');
  const memory = (totalmem() / 1e9).toFixed(0);
  const [cpu] = cpus();
  return `${cpus().length} x ${cpu?.model.trim() ?? 'unknown CPU'}, ${memory} GB, Linux ${release()}, Node ${process.versions.node}, load ${load} at the start`;
}
