/**
 * [io] What the three programs do alike: read numbers from the command line, answer `--help` and `--version`, and end with the
 * exit codes of the daemon contract.
 */

import { EXIT_OK, ExitError, exitCodeOf, packageVersion, UsageError } from '#core';

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
    const text = error instanceof ExitError ? error.message : `unexpected error: ${(error as Error).stack ?? error}`;
    process.stderr.write(`${name}: ${text}\n`);
    process.exitCode = exitCodeOf(error);
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
