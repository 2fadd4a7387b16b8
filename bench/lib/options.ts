/**
 * [io] The command line all benchmarks share.
 */

import { parseArgs } from 'node:util';
import { BenchError } from './workspace.ts';

export interface BenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  /** Length of one turn, s. */
  readonly seconds: number;
  /** Words given to --only; empty: everything. */
  readonly only: readonly string[];
  /** Words given to --cells; empty: the usual ones. */
  readonly cells: readonly string[];
}

/**
 * @param numbers further options of this benchmark, which take a number, and their defaults
 * @throws BenchError for an unknown option or a bad number, with the usage
 */
export function readOptions<N extends string = never>(
  usage: string,
  defaults: { readonly full: Turns; readonly quick: Turns },
  numbers: Readonly<Record<N, number>> = {} as Record<N, number>,
): BenchOptions & Readonly<Record<N, number>> {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        only: { type: 'string', default: '' },
        cells: { type: 'string', default: '' },
        ...Object.fromEntries(Object.keys(numbers).map((name) => [name, { type: 'string' as const }])),
      },
    });
    const given: Readonly<Record<string, unknown>> = values;
    const further = Object.entries<number>(numbers).map(([name, otherwise]) => [
      name,
      positive(name, given[name] as string | undefined, otherwise),
    ]);
    const turns = values.quick ? defaults.quick : defaults.full;
    return {
      quick: values.quick,
      rounds: positive('rounds', values.rounds, turns.rounds),
      seconds: positive('seconds', values.seconds, turns.seconds),
      only: words(values.only),
      cells: words(values.cells),
      ...(Object.fromEntries(further) as Record<N, number>),
    };
  } catch (error) {
    throw new BenchError(`${(error as Error).message}\n${usage}`);
  }
}

interface Turns {
  readonly rounds: number;
  readonly seconds: number;
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!(value > 0 && value <= 10_000_000)) throw new RangeError(`--${name} takes a number above 0`);
  return value;
}

function words(text: string): string[] {
  return text.split(',').filter((word) => word !== '');
}
