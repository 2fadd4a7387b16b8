/**
 * [io] Asks before something that cannot be undone.
 */

import { createInterface } from 'node:readline/promises';
import { UsageError } from '#core';

/**
 * True when somebody at a terminal says yes.
 *
 * @throws UsageError where there is no terminal to ask at
 */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError(`there is no terminal to ask at; add --yes if you mean it`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { signal })).trim());
  } catch (error) {
    if ((error as Error).name === 'AbortError') return false;
    throw error;
  } finally {
    terminal.close();
  }
}
