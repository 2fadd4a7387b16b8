/**
 * What a command of chatmailctl is: words in, lines and an exit code out. The options stand in a table, so that the command
 * line, `--help` and shell completion cannot disagree. A command that cannot do its work throws an `ExitError` of core, whose
 * message is one sentence: what, where, and what to do.
 */

import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { UsageError } from '#core';

export type CommandOptions = NonNullable<ParseArgsOptionsConfig>;

/** A check came out badly: nothing is broken in the program or its call, but the operator has something to do. */
export const EXIT_CHECK_FAILED = 1;

/** What a command sees of the terminal. */
export interface CommandContext {
  /** Writes a line of the answer, on standard output. */
  print(line: string): void;
  /** Writes a line about the work: progress, warnings, on standard error. */
  note(line: string): void;
  /** Aborted when the operator or systemd wants the command to end. */
  readonly signal: AbortSignal;
}

type Parsed<O extends CommandOptions> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true; strict: true }>
>;

/** A command that does something, as written down by its module. */
export interface CommandSpec<O extends CommandOptions> {
  /** What `--help` prints: a usage line, then what it does and one line for each option. */
  readonly usage: string;
  readonly options: O;
  /** How many words that are no options it takes, at least and at most. */
  readonly words: readonly [least: number, most: number];
  /** @returns the exit code */
  run(values: Parsed<O>['values'], words: readonly string[], context: CommandContext): Promise<number>;
}

/** A command, or a group of them (`account list`). */
export interface Command {
  readonly usage: string;
  /** Names of its options, without the dashes; for completion. */
  readonly optionNames: readonly string[];
  readonly subcommands?: Readonly<Record<string, Command>>;
  run(words: readonly string[], context: CommandContext): Promise<number>;
}

/** Makes a command of its description. Running it with wrong words throws a UsageError. */
export function command<const O extends CommandOptions>(spec: CommandSpec<O>): Command {
  return {
    usage: spec.usage,
    optionNames: Object.keys(spec.options),
    run: (words, context) => {
      const { values, positionals } = parseStrictly(spec.options, words);
      const [least, most] = spec.words;
      if (positionals.length < least || positionals.length > most) throw new UsageError(firstLine(spec.usage));
      return spec.run(values, positionals, context);
    },
  };
}

/** Makes a command whose first word picks another one. */
export function commandGroup(usage: string, subcommands: Readonly<Record<string, Command>>): Command {
  return {
    usage,
    optionNames: [],
    subcommands,
    run: (words, context) => {
      const [name = '', ...rest] = words;
      const chosen = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
      if (!chosen) throw new UsageError(`${firstLine(usage)}: one of ${Object.keys(subcommands).join(', ')}`);
      return runOrHelp(chosen, rest, context);
    },
  };
}

/** Runs a command, or prints its usage when that is asked for. */
export async function runOrHelp(chosen: Command, words: readonly string[], context: CommandContext): Promise<number> {
  const end = words.indexOf('--');
  const asked = (end === -1 ? words : words.slice(0, end)).some((word) => word === '--help' || word === '-h');
  const isForSubcommand = chosen.subcommands && Object.hasOwn(chosen.subcommands, words[0] ?? '');
  if (!asked || isForSubcommand) return await chosen.run(words, context);
  context.print(chosen.usage.trimEnd());
  return 0;
}

function parseStrictly<const O extends CommandOptions>(options: O, words: readonly string[]): Parsed<O> {
  try {
    return parseArgs({ args: [...words], options, allowPositionals: true, strict: true }) as Parsed<O>;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!;
}
