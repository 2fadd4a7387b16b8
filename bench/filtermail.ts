/**
 * [io] Load through a real Postfix, without a filter, with milters that do nothing and with filtermail, side by side in one
 * run: messages per second, latency of the answer to DATA, CPU time, memory. bench/README.md says how to read the table.
 *
 * filtermail is measured on its outgoing listener with all submission rules on, as an IP relay, which does not sign; or on
 * the incoming one, where messages from an address literal need no DKIM signature. The rate limit is there but out of reach.
 */

import { rm, writeFile } from 'node:fs/promises';
import { compile, ensurePackages, requirePackages } from './lib/build.ts';
import { createVariants, type Variant } from './lib/filters.ts';
import { readOptions } from './lib/options.ts';
import { type PostfixInstance, startPostfix } from './lib/postfix.ts';
import { type Program, runToEnd } from './lib/process.ts';
import { alternate, describeMachine, type LoadSummary, measured, summarise, type Turn } from './lib/rounds.ts';
import { digits, markdownTable } from './lib/table.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = `usage: filtermail.ts [--quick] [--rounds N] [--seconds S] [--only VARIANT,...] [--cells SIZE:SESSIONS,...]
  VARIANT is none, c, c-plain, library, outgoing, incoming, sign or verify; SIZE is like 2KB or 10MB (decimal)`;

/** Everything a relay must take; and the two cases with the most memory at once. */
const USUAL_CELLS = ['2KB', '100KB', '1MB', '10MB'].flatMap((size) => [1, 10, 50].map((count) => `${size}:${count}`));
const MEMORY_CELLS = ['30MB:8'];

interface Cell {
  readonly size: string;
  readonly bytes: number;
  readonly sessions: number;
}

/** The variant others are compared with. */
const REFERENCE = 'c';

async function main(workspace: Workspace): Promise<void> {
  const options = readOptions(USAGE, { full: { rounds: 5, seconds: 4 }, quick: { rounds: 1, seconds: 2 } });
  if (process.getuid?.() !== 0) throw new BenchError('run this as root: Postfix does not start otherwise');
  await requirePackages({ postfix: '/usr/sbin/postfix' });
  await ensurePackages({
    gcc: '/usr/bin/cc',
    'libc6-dev': '/usr/include/stdio.h',
    'libmilter-dev': '/usr/include/libmilter/mfapi.h',
  });
  const load = await compile(workspace, 'load.c');
  const all = await createVariants(workspace);
  const variants = all.variants.filter(({ name, inQuick }) =>
    options.only.length > 0 ? options.only.includes(name) : inQuick || !options.quick,
  );
  if (variants.length === 0) throw new BenchError(USAGE);
  const usual = options.quick ? USUAL_CELLS : [...USUAL_CELLS, ...MEMORY_CELLS];
  const cells = (options.cells.length > 0 ? options.cells : usual).map(parseCell);

  const services = variants.map(({ name, start }) => ({ name, milter: start && socketOf(workspace, name) }));
  const head = `${describeMachine()}, Postfix ${(await runToEnd('postconf', ['-d', '-h', 'mail_version'])).trim()}`;
  const postfix = await startPostfix(workspace, services);
  const rows: string[][] = [];
  for (const cell of cells) {
    console.error(`${cell.size}, ${cell.sessions} sessions`);
    rows.push(...(await measureCell(workspace, postfix, load, variants, cell, options)));
  }
  await all.stop();
  console.log(`${head}\n${options.rounds} round(s) of ${options.seconds} s\n`);
  console.log(markdownTable(HEADER, rows, 3));
}

const HEADER = [
  'size',
  'sessions',
  'filter',
  'messages/s',
  'spread %',
  'p50 ms',
  'p99 ms',
  'CPU ms/1000',
  'RSS MB',
  'x C milter',
];

function socketOf(workspace: Workspace, variant: string): string {
  return workspace.path(`${variant}.sock`);
}

/** @throws BenchError for a word that is not like `10MB:50` */
function parseCell(word: string): Cell {
  const match = /^(\d+)(KB|MB):(\d+)$/.exec(word);
  if (!match) throw new BenchError(`${word} is no cell\n${USAGE}`);
  const [, count, unit, sessions] = match;
  return {
    size: `${count} ${unit}`,
    bytes: Number(count) * (unit === 'KB' ? 1000 : 1_000_000),
    sessions: Number(sessions),
  };
}

/** Every cell has filters of its own, so that its peak of memory is not that of another. */
async function measureCell(
  workspace: Workspace,
  postfix: PostfixInstance,
  load: string,
  variants: readonly Variant[],
  cell: Cell,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<string[][]> {
  const fileOf = ({ name }: Variant) => workspace.path(`${name}.eml`);
  const filters = new Map<Variant, Program>();
  try {
    for (const variant of variants) {
      await writeFile(fileOf(variant), variant.mail.message(cell.bytes));
      const socket = socketOf(workspace, variant.name);
      await rm(socket, { force: true });
      const filter = await variant.start?.(socket);
      if (filter) filters.set(variant, filter);
    }
    const send = async (variant: Variant, forSeconds: number): Promise<LoadSummary> => {
      const target = ['-p', `${postfix.ports.get(variant.name)}`, '-n', `${cell.sessions}`, '-t', `${forSeconds}`];
      const { sender, recipient } = variant.mail;
      const mail = ['-f', fileOf(variant), '-s', sender, '-r', recipient, ...(variant.login ? ['-l', sender] : [])];
      const output = await runToEnd(load, [...target, ...mail]).catch(async (error: Error) => {
        throw new BenchError(`${variant.label}: ${error.message}\n${await postfix.complaints()}`);
      });
      const summary = JSON.parse(output) as LoadSummary;
      await postfix.settle();
      return summary;
    };
    // Postfix starts its processes, and V8 compiles what is hot: a relay's filter runs for weeks, not for seconds.
    for (const variant of variants) await send(variant, seconds);
    const turns = await alternate(variants, rounds, (variant) =>
      measured(filters.get(variant), () => send(variant, seconds)),
    );
    return await Promise.all(variants.map((variant) => row(cell, variant, filters.get(variant), turns)));
  } finally {
    for (const filter of filters.values()) await filter.kill();
  }
}

async function row(
  cell: Cell,
  variant: Variant,
  filter: Program | undefined,
  turns: ReadonlyMap<Variant, readonly Turn[]>,
): Promise<string[]> {
  const reference = [...turns].find(([{ name }]) => name === REFERENCE)?.[1];
  const figures = summarise(turns.get(variant)!, reference);
  return [
    cell.size,
    `${cell.sessions}`,
    variant.label,
    digits(figures.perSecond),
    (figures.spread * 100).toFixed(0),
    digits(figures.p50Ms),
    digits(figures.p99Ms),
    digits(figures.cpuMsPer1000),
    (await filter?.memory()) ?? '-',
    Number.isNaN(figures.ratio) ? '-' : figures.ratio.toFixed(2),
  ];
}

await runBenchmark(main);
