/**
 * [io] Ends the IMAP sessions of an account that may not log in any more. A hibernated one shares its process with others and
 * cannot be ended there; a change in its mailbox brings it back into a process of its own first, as metadata-push does it.
 */

import { execFile } from 'node:child_process';
import { closeSync, openSync, unlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Address, mailboxPath } from '#core';
import { asOwnerOf, type RelayAccess } from './relay-access.ts';

/** Dovecot takes up to this long to bring a hibernated session back. */
const WAKE_MS = 700;
/** One session may be on its way to sleep in the first round, where neither a change nor doveadm finds it. */
const MIN_ROUNDS = 2;
/** A busy machine takes longer to bring sessions back. */
const MAX_ROUNDS = 8;
const DOVEADM_TIMEOUT_MS = 10_000;
/** doveadm: nobody was logged in (EX_NOUSER of sysexits, and what 2.3 exits with). */
const NOBODY = [67, 68];

export interface DoveadmResult {
  /** The exit code, or why there is none. */
  readonly code: number | string;
  readonly output: string;
}

/**
 * Ends all sessions: again and again, until Dovecot knows of none. Returns what an operator should know when that was not possible.
 *
 * @param wakeMs how long Dovecot is given in each round
 */
export async function endSessions(
  { config, dovecotConfig }: Pick<RelayAccess, 'config' | 'dovecotConfig'>,
  address: Address,
  runDoveadm: (words: readonly string[]) => Promise<DoveadmResult> = doveadm,
  wakeMs = WAKE_MS,
): Promise<string | undefined> {
  const options = dovecotConfig === undefined ? [] : ['-c', dovecotConfig];
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    await asOwnerOf(config.mailboxes_dir, () => wake(mailboxPath(config.mailboxes_dir, address)));
    await sleep(wakeMs);
    const kicked = await runDoveadm([...options, 'kick', address.text]);
    if (isFailure(kicked)) return failure('kick', kicked);
    if (round < MIN_ROUNDS) continue;
    const left = await runDoveadm([...options, 'who', '-1', address.text]);
    if (isFailure(left)) return failure('who', left);
    if (!left.output.split('\n').some((line) => line.startsWith(`${address.text} `))) return undefined;
  }
  return 'Dovecot does not let go of every session: who is logged in stays so until they reconnect; restart Dovecot to end them now';
}

function isFailure({ code }: DoveadmResult): boolean {
  return code !== 0 && !(typeof code === 'number' && NOBODY.includes(code));
}

function failure(command: string, { code, output }: DoveadmResult): string {
  if (code === 'ENOENT') return 'Dovecot is not installed here: nobody was logged out';
  return `doveadm ${command} failed (${output.split('\n')[0] || code}): who is logged in stays so until they reconnect`;
}

/** A file that comes and goes in the folder clients idle in. */
function wake(mailbox: string): void {
  const path = `${mailbox}/new/..wake`;
  try {
    closeSync(openSync(path, 'wx', 0o600));
    unlinkSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // No mailbox yet, or metadata-push is at it.
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EEXIST') throw error;
  }
}

function doveadm(words: readonly string[]): Promise<DoveadmResult> {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/bin:/usr/sbin` };
  return new Promise((resolve) => {
    execFile('doveadm', words, { env, timeout: DOVEADM_TIMEOUT_MS }, (error, stdout, stderr) =>
      resolve({ code: error ? (error.code ?? 'timeout') : 0, output: (error && stderr) || stdout }),
    );
  });
}
