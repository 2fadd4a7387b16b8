/**
 * [io] Loaded into a daemon (`--import`): measures how much processor time its event loop takes from one turn to the next, and writes
 * the figures to the file TURN_WATCH_FILE on SIGUSR2, since the SIGUSR2 before. Processor time, because on a busy machine
 * the clock also counts the time of others. It keeps the loop turning without a pause: only for this measurement.
 */

import { renameSync, writeFileSync } from 'node:fs';

/** What the file holds, as JSON. */
export interface TurnFigures {
  readonly turns: number;
  /** The longest turn, ms of processor time. */
  readonly longestMs: number;
  readonly over5Ms: number;
  readonly over10Ms: number;
}

let last = cpuMs();
let turns = 0;
let longestMs = 0;
let over5Ms = 0;
let over10Ms = 0;

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function turn(): void {
  const now = cpuMs();
  const tookMs = now - last;
  last = now;
  turns++;
  longestMs = Math.max(longestMs, tookMs);
  if (tookMs > 5) over5Ms++;
  if (tookMs > 10) over10Ms++;
  setImmediate(turn).unref();
}

const file = process.env.TURN_WATCH_FILE;
if (file !== undefined) {
  turn();
  process.on('SIGUSR2', () => {
    writeFileSync(`${file}.new`, JSON.stringify({ turns, longestMs, over5Ms, over10Ms } satisfies TurnFigures));
    renameSync(`${file}.new`, file);
    turns = 0;
    longestMs = 0;
    over5Ms = 0;
    over10Ms = 0;
    last = cpuMs();
  });
}
