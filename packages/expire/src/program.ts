/**
 * [io] What the three programs do alike: read numbers from the command line, answer `--help` and `--version`, and end with the
 * exit codes of the daemon contract.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { ConfigError, EXIT_OK, EXIT_TEMPORARY, ExitError, exitCodeOf, packageVersion, UsageError } from '#core';
import { errorCode } from './directory.ts';

/**
 * Runs a program to its end and sets the exit code.
 *
 * @param work returns the exit code; what it throws is told on standard error
 */
export async function runProgram(
  name: string,
  usage: string,
  work: (words: string[]) => Promise<number>,
): Promise<void> {
  // A pipe that is closed early (`| head`) ends the program quietly instead of as a bug.
  process.stdout.on('error', () => process.exit(EXIT_OK));
  const words = process.argv.slice(2);
  try {
    if (words.includes('--help') || words.includes('-h')) process.stdout.write(usage);
    else if (words.includes('--version')) process.stdout.write(`${name} ${packageVersion()}\n`);
    else process.exitCode = await work(words);
  } catch (error) {
    const failure = describeSystemError(error);
    if (failure === undefined && !(error instanceof ExitError)) {
      process.stderr.write(`${name}: unexpected error: ${(error as Error).stack ?? error}\n`);
    } else process.stderr.write(`${name}: ${failure ?? (error as Error).message}\n`);
    process.exitCode = failure === undefined ? exitCodeOf(error) : EXIT_TEMPORARY;
  }
}

/** `scandir failed (EIO)`, without the path, which may be an address; undefined when it is no error of the system. */
function describeSystemError(error: unknown): string | undefined {
  const { syscall } = error as NodeJS.ErrnoException;
  return typeof syscall === 'string' ? `${syscall} failed (${errorCode(error)}); try again later` : undefined;
}

/**
 * Makes sure that the directory of all mailboxes can be read, before anything is judged by what is in it. One that is
 * missing is right: no account has been made yet.
 *
 * @throws ConfigError when it is no directory; ExitError when it cannot be read
 */
export function checkMailboxesDir(path: string): void {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') throw new ConfigError(`${path} is not a directory`, { key: 'mailboxes_dir' });
    throw new ExitError(
      EXIT_TEMPORARY,
      `mailboxes_dir ${path} cannot be read (${code}); run this as the user it belongs to, or as root`,
    );
  }
}

/** @throws UsageError unless the text is a whole number, zero or more; undefined stays undefined */
export function parseCount(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option} ${text}: write a whole number, 0 or more`);
  return Number(text);
}

/** Runs `parse` (node:util parseArgs), which throws errors of its own kind. @throws UsageError */
export function parseWords<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
