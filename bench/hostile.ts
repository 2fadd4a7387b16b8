/**
 * [io] Hours of bad input in minutes: attacks of all kinds on a filtermail of its own, on its milter sockets, where it gets worse
 * than Postfix would let through. It must end each with one clear reply or a closed connection, let the next honest message
 * pass, and need no more memory after an hour than after a minute. bench/README.md says how to read the output.
 */

import { parseArgs } from 'node:util';
import { attack, type HostileReport, startTarget } from './lib/hostile-load.ts';
import { describeMachine } from './lib/rounds.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = 'usage: hostile.ts [--minutes N]   (default 30)';

async function main(workspace: Workspace): Promise<void> {
  const minutes = readMinutes();
  const target = await startTarget(workspace);
  console.error(`${minutes} minutes of it`);
  const report = await attack(target, minutes * 60);
  console.log(`${describeMachine()}\n${describe(report)}`);
}

function describe({ attacks, honest, slowestHonestMs, rssMb, peakMb }: HostileReport): string {
  const count = [...attacks.values()].reduce((sum, times) => sum + times, 0);
  const tenths = Array.from({ length: 10 }, (_, i) => rssMb[Math.floor((i * (rssMb.length - 1)) / 9)]!.toFixed(0));
  return [
    `${count} attacks of ${attacks.size} kinds, all answered or closed; ${honest} honest messages in between, all passed`,
    `slowest honest message: ${slowestHonestMs.toFixed(0)} ms`,
    `resident memory, MB, at ten times: ${tenths.join(' ')}; peak ${peakMb.toFixed(0)}`,
  ].join('\n');
}

function readMinutes(): number {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' } } });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 100_000)) throw new BenchError(USAGE);
  return minutes;
}

await runBenchmark(main);
