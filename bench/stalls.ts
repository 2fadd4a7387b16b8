/**
 * [io] How long filtermail keeps its event loop: the most processor time between two turns of it, under the loads of
 * bench/filtermail.ts with 50 sessions, through a real Postfix. bench/README.md says how to read the table.
 */

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compile, ensurePackages, requirePackages } from './lib/build.ts';
import { createVariants, type Variant } from './lib/filters.ts';
import { readOptions } from './lib/options.ts';
import { startPostfix } from './lib/postfix.ts';
import { type Program, runToEnd } from './lib/process.ts';
import { describeMachine } from './lib/rounds.ts';
import { markdownTable } from './lib/table.ts';
import type { TurnFigures } from './lib/turn-watch.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = 'usage: stalls.ts [--quick] [--seconds S] [--only VARIANT,...]   (outgoing, incoming, sign, verify)';

/** Bytes, sessions, and how they are called. */
const LOADS = [
  [2000, 50, '2 KB'],
  [100_000, 50, '100 KB'],
  [1_000_000, 50, '1 MB'],
  [10_000_000, 50, '10 MB'],
  [30_000_000, 8, '30 MB'],
] as const;
const VARIANTS = ['outgoing', 'sign', 'verify'];

async function main(workspace: Workspace): Promise<void> {
  const options = readOptions(USAGE, { full: { rounds: 1, seconds: 5 }, quick: { rounds: 1, seconds: 1 } });
  if (process.getuid?.() !== 0) throw new BenchError('run this as root: Postfix does not start otherwise');
  await requirePackages({ postfix: '/usr/sbin/postfix' });
  await ensurePackages({ gcc: '/usr/bin/cc', 'libmilter-dev': '/usr/include/libmilter/mfapi.h' });
  const load = await compile(workspace, 'load.c');
  const all = await createVariants(workspace);
  const wanted = options.only.length > 0 ? options.only : VARIANTS;
  const variants = all.variants.filter(({ name }) => wanted.includes(name));
  if (variants.length === 0) throw new BenchError(USAGE);
  const socketOf = ({ name }: Variant) => workspace.path(`${name}.sock`);
  const head = describeMachine();
  const postfix = await startPostfix(
    workspace,
    variants.map((variant) => ({ name: variant.name, milter: socketOf(variant) })),
  );
  const figures = workspace.path('turns');
  process.env.TURN_WATCH_FILE = figures;
  process.env.NODE_OPTIONS = `--import=${join(workspace.path('package'), 'dist/bench/lib/turn-watch.js')}`;
  const rows: string[][] = [];
  for (const variant of variants) {
    const filter = await variant.start!(socketOf(variant));
    for (const [bytes, sessions, size] of LOADS) {
      console.error(`${variant.label}, ${size}`);
      const file = workspace.path('message.eml');
      await writeFile(file, variant.mail.message(bytes));
      const { sender, recipient } = variant.mail;
      const send = async (seconds: number) => {
        const target = ['-p', `${postfix.ports.get(variant.name)}`, '-n', `${sessions}`, '-t', `${seconds}`];
        const login = variant.login ? ['-l', sender] : [];
        const output = await runToEnd(load, [...target, '-f', file, '-s', sender, '-r', recipient, ...login]);
        await postfix.settle();
        return JSON.parse(output) as { readonly count: number };
      };
      // Compiling is of the first minute of a daemon that runs for weeks.
      await send(options.seconds);
      await takeFigures(filter, figures);
      const { count } = await send(options.seconds);
      const { longestMs, over5Ms, over10Ms } = await takeFigures(filter, figures);
      rows.push([variant.label, size, `${sessions}`, `${count}`, longestMs.toFixed(1), `${over5Ms}`, `${over10Ms}`]);
    }
    await filter.kill();
  }
  await all.stop();
  console.log(`${head}\n`);
  console.log(
    markdownTable(['filter', 'size', 'sessions', 'messages', 'longest turn, ms', 'over 5 ms', 'over 10 ms'], rows, 2),
  );
}

/** The figures since the last time. */
async function takeFigures(filter: Program, file: string): Promise<TurnFigures> {
  await rm(file, { force: true });
  process.kill(filter.pid, 'SIGUSR2');
  for (let waitedMs = 0; waitedMs < 5000; waitedMs += 20) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as TurnFigures;
    await sleep(20);
  }
  throw new BenchError(`${filter.name} does not tell how long its turns were`);
}

await runBenchmark(main);
