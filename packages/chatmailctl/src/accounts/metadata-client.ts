/**
 * [io] What the operator asks metadata-push, over its dict socket: metadata-push(8), LISTENERS.
 */

import { type Address, EXIT_TEMPORARY, ExitError } from '#core';
import { type ClientLookupReply, lookUp } from '#dovecot-dict';

/** A test waits 10 s for the providers. */
const TIMEOUT_MS = 20_000;
/** Look-ups over one connection. */
const QUESTIONS_AT_ONCE = 500;
/** The entry clients set, of a mailbox nobody asks the id of. */
const DEVICE_TOKEN_KEY = `priv/${'0'.repeat(32)}/devicetoken`;

/** What came of a test push to one token. */
export interface TokenReport {
  readonly kind: string;
  readonly outcome: string;
  readonly ms: number;
}

export interface PushStats {
  readonly uptimeSeconds: number;
  readonly tokens: number;
  readonly queueDepth: number;
  readonly queueOldestSeconds: number;
  readonly isSilent: boolean;
  readonly lastDeliveredSecondsAgo: number;
  readonly pushes: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Push services left alone for now, after failures. */
  readonly openCircuits: readonly string[];
}

/**
 * Pushes to every device of an account and waits for what comes of it, 10 s at most.
 *
 * @throws ExitError 75 when metadata-push does not answer
 */
export async function testPush(socketPath: string, address: Address): Promise<readonly TokenReport[]> {
  return JSON.parse(await answerOf(socketPath, 'priv/account/push/test', address.text)) as TokenReport[];
}

/**
 * What is queued and what was sent.
 *
 * @throws ExitError 75 when metadata-push does not answer
 */
export async function pushStats(socketPath: string): Promise<PushStats> {
  return JSON.parse(await answerOf(socketPath, 'shared/push/stats', '')) as PushStats;
}

/**
 * The device tokens that are alive of each account, in the order of the accounts.
 *
 * @throws ExitError 75 when metadata-push does not answer
 */
export async function deviceTokens(socketPath: string, addresses: readonly string[]): Promise<(readonly string[])[]> {
  const found: (readonly string[])[] = [];
  for (let at = 0; at < addresses.length; at += QUESTIONS_AT_ONCE) {
    const users = addresses.slice(at, at + QUESTIONS_AT_ONCE);
    const replies = await ask(socketPath, DEVICE_TOKEN_KEY, users);
    found.push(...replies.map((reply) => (reply.kind === 'found' ? String(reply.values[0]).split(' ') : [])));
  }
  return found;
}

async function answerOf(socketPath: string, key: string, user: string): Promise<string> {
  const [reply] = await ask(socketPath, key, [user]);
  if (reply?.kind === 'found') return String(reply.values[0]);
  throw new ExitError(EXIT_TEMPORARY, 'metadata-push does not know the question; it is of another version: restart it');
}

async function ask(socketPath: string, key: string, users: readonly string[]): Promise<ClientLookupReply[]> {
  const questions = users.map((user) => ({ key: Buffer.from(key), user: Buffer.from(user) }));
  let replies: ClientLookupReply[];
  try {
    replies = await lookUp(socketPath, questions, TIMEOUT_MS);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy = code === 'EACCES' ? 'run this as root' : 'is it running? systemctl status metadata-push';
    const text = `metadata-push cannot be asked at ${socketPath} (${code ?? message}); ${remedy}`;
    throw new ExitError(EXIT_TEMPORARY, text, { cause: error });
  }
  if (!replies.some(({ kind }) => kind === 'failed')) return replies;
  throw new ExitError(EXIT_TEMPORARY, 'metadata-push could not answer; see journalctl -u metadata-push');
}
