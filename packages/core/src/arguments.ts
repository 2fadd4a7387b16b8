/**
 * The command line every daemon has: `[--config FILE] [--listen NAME=ADDR]... [--idle-exit SECONDS] [--log-level LEVEL]
 * --help --version`.
 */

import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';
import { type ListenAddress, parseListenAddress } from './listen.ts';
import { DEFAULT_LOG_LEVEL, LOG_LEVELS, type LogLevel } from './log.ts';

export interface DaemonArguments {
  readonly config: string | undefined;
  /** Addresses given on the command line, by listener name. */
  readonly listen: ReadonlyMap<string, ListenAddress>;
  /** Seconds without a connection after which to exit; undefined: never. */
  readonly idleExitSeconds: number | undefined;
  readonly logLevel: LogLevel;
  readonly help: boolean;
  readonly version: boolean;
}

/**
 * Parses the words after the program name.
 *
 * @throws UsageError
 */
export function parseDaemonArguments(words: readonly string[], listenerNames: readonly string[]): DaemonArguments {
  const { values } = parseStrictly(words);
  const listen = new Map<string, ListenAddress>();
  for (const word of values.listen ?? []) {
    const separator = word.indexOf('=');
    const name = word.slice(0, Math.max(separator, 0));
    if (!listenerNames.includes(name)) {
      throw new UsageError(`--listen ${word}: write NAME=ADDR with NAME one of ${listenerNames.join(', ')}`);
    }
    if (listen.has(name)) throw new UsageError(`--listen ${name} is given twice`);
    listen.set(name, parseListenAddress(word.slice(separator + 1)));
  }
  return {
    config: values.config,
    listen,
    idleExitSeconds: parseSeconds(values['idle-exit']),
    logLevel: parseLogLevel(values['log-level']),
    help: values.help ?? false,
    version: values.version ?? false,
  };
}

function parseStrictly(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      options: {
        config: { type: 'string' },
        listen: { type: 'string', multiple: true },
        'idle-exit': { type: 'string' },
        'log-level': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parseSeconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (!/^\d{1,6}$/.test(text) || seconds < 1)
    throw new UsageError(`--idle-exit ${text}: write a number of seconds, 1 or more`);
  return seconds;
}

function parseLogLevel(text: string | undefined): LogLevel {
  if (text === undefined) return DEFAULT_LOG_LEVEL;
  const level = LOG_LEVELS.find((known) => known === text);
  if (!level) throw new UsageError(`--log-level ${text}: write one of ${LOG_LEVELS.join(', ')}`);
  return level;
}
