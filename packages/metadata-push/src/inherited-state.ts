/**
 * [io] Takes over the device tokens and waiting pushes of the relay that was here before, once: before the first listener opens,
 * so that no message finds an account without its tokens. The files stay where they are, for a way back. Interrupted, it
 * begins anew: everything here may be done twice.
 */

import { opendir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Address, type Logger, mailboxPath, parseAddress } from '#core';
import type { Database } from './database.ts';
import { parseInheritedPush, parseInheritedTokens } from './inherited-format.ts';
import type { QueueStore } from './queue-store.ts';
import { isExpired, newPush } from './schedule.ts';
import type { TokenStore } from './token-store.ts';
import { MAX_TOKENS_PER_ACCOUNT, tokenId } from './tokens.ts';

const TOKENS_FILE = 'metadata.json';
const PUSH_DIRECTORY = 'pending_notifications';
const IMPORTED_AT = 'inherited-state-imported-at';
/** Far more than any account had; a larger file is none of theirs. */
const MAX_FILE_BYTES = 1024 * 1024;
/** Accounts read before their tokens must be on disk: bounds memory. */
const CHUNK = 500;
/** A push dated further in the future than this is dated now. */
const MAX_FUTURE_MS = 60_000;

export interface InheritOptions {
  readonly mailboxesDir: string;
  readonly database: Database;
  readonly tokens: TokenStore;
  readonly queue: QueueStore;
  readonly log: Logger;
  /** The time, ms since the epoch. */
  readonly now: number;
}

/**
 * Imports, unless that was done before. About 20,000 accounts a second.
 *
 * @throws DatabaseWriteError or NodeJS.ErrnoException: nothing is marked as done, the next start tries again
 */
export async function importInheritedState(options: InheritOptions): Promise<void> {
  const { database, log, now } = options;
  const meta = database.table<number, string>('meta');
  if (meta.get(IMPORTED_AT) !== undefined) return;
  const tokens = await importTokens(options);
  const pushes = await importPushes(options);
  await database.write(() => meta.put(IMPORTED_AT, now));
  if (tokens.count > 0) log.info('took over device tokens', { count: tokens.count });
  if (pushes > 0) log.info('took over waiting pushes', { count: pushes });
  if (tokens.unreadable > 0) log.warn('token files were not understood', { count: tokens.unreadable });
}

async function importTokens({
  mailboxesDir,
  tokens,
  now,
}: InheritOptions): Promise<{ count: number; unreadable: number }> {
  const total = { count: 0, unreadable: 0 };
  const importOne = async (address: Address) => {
    const path = join(mailboxPath(mailboxesDir, address), TOKENS_FILE);
    const text = await readSmallFile(path).catch(() => '');
    if (text === undefined) return;
    const inherited = parseInheritedTokens(text, now);
    // Its clients set their tokens again when they next connect; the others must not wait for that one.
    if (!inherited) total.unreadable++;
    else if (inherited.length > 0) {
      await tokens.update(address.text, (present) => {
        // What was set since then is newer.
        const older = inherited.filter(({ token }) => !present.some((other) => other.token === token));
        const merged = [...older, ...present];
        return older.length === 0 ? present : merged.slice(-MAX_TOKENS_PER_ACCOUNT);
      });
      total.count += inherited.length;
    }
  };
  let chunk: Promise<void>[] = [];
  for await (const name of namesIn(mailboxesDir)) {
    const address = parseAddress(name);
    if (address?.text !== name) continue;
    chunk.push(importOne(address));
    if (chunk.length < CHUNK) continue;
    await Promise.all(chunk);
    chunk = [];
  }
  await Promise.all(chunk);
  return total;
}

async function importPushes({ mailboxesDir, tokens, queue, now }: InheritOptions): Promise<number> {
  const directory = join(mailboxesDir, PUSH_DIRECTORY);
  let count = 0;
  for await (const name of namesIn(directory)) {
    // Half-written files end in .tmp.
    if (name.includes('.')) continue;
    const text = await readSmallFile(join(directory, name)).catch(() => undefined);
    const push = parseInheritedPush(text ?? '');
    if (!push) continue;
    const key = { account: push.address.text, tokenId: tokenId(push.token) };
    const item = newPush(push.queuedAt > now + MAX_FUTURE_MS ? now : push.queuedAt);
    if (isExpired(item, now) || !tokens.get(key.account, key.tokenId) || queue.get(key)) continue;
    await queue.put(key, item);
    count++;
  }
  return count;
}

/** The names in a directory; none when it does not exist. */
async function* namesIn(directory: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(directory, { bufferSize: 256 })) yield name;
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

/** The text of a file; undefined when there is none, or it is too large to be ours. */
async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    // Most accounts have none: one call for those.
    if ((await stat(path)).size > MAX_FILE_BYTES) return undefined;
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
