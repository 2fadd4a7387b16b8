/**
 * The rules for the device tokens of one account: what is one, how many there may be, how long they live. A token is opaque
 * here: usually `openpgp:` and base64, and only the push gateway knows whose device it wakes.
 * Source: core/src/push.rs of Delta Chat (what clients set), chatmaild/metadata.py (90 days, 60 s).
 */

import { hash } from 'node:crypto';

export interface DeviceToken {
  readonly token: string;
  /** When a client last set it, ms since the epoch; see {@link REFRESH_AFTER_MS}. */
  readonly setAt: number;
}

/** Longest token, bytes; clients send about 930. */
export const MAX_TOKEN_BYTES = 4096;
/** Tokens of one account. More are devices that were reset or given away: the one set longest ago goes. */
export const MAX_TOKENS_PER_ACCOUNT = 20;
/** Clients set their token at every connection, so one not set for this long has no device any more. 90 days. */
export const TOKEN_LIFETIME_MS = 90 * 24 * 60 * 60 * 1000;
/** A token dated further in the future than this was set under a wrong clock. It counts as set just now, see {@link rebaseToken}. */
export const MAX_FUTURE_MS = 60_000;
/** A token set again within this time is not written again: every client repeats its token at every connection. */
export const REFRESH_AFTER_MS = 60 * 60 * 1000;

// Printable without the blank, which separates tokens when they are read.
const TOKEN = /^[!-~]+$/;

/** Reads the value of a `devicetoken` entry; undefined when it can be no token. */
export function parseToken(value: Buffer): string | undefined {
  if (value.length > MAX_TOKEN_BYTES) return undefined;
  const text = value.toString('latin1');
  return TOKEN.test(text) ? text : undefined;
}

/** A short name for a token: half a SHA-256, base64url. Names it in keys; tells nothing about it. */
export function tokenId(token: string): string {
  return hash('sha256', token, 'buffer').subarray(0, 16).toString('base64url');
}

/** True when no client has set the token for its whole lifetime. */
export function isAged(token: DeviceToken, now: number): boolean {
  return token.setAt <= now - TOKEN_LIFETIME_MS;
}

/** True when a push may go to the token; also one set in what is the future since the clock was set back. */
export function isLive(token: DeviceToken, now: number): boolean {
  return !isAged(token, now);
}

/** The token as if it had been set just now, when the clock was set back since: it would outlive its time. Else `token` itself. */
export function rebaseToken(token: DeviceToken, now: number): DeviceToken {
  return token.setAt <= now + MAX_FUTURE_MS ? token : { ...token, setAt: now };
}

/** The tokens a push may go to. */
export function liveTokens(tokens: readonly DeviceToken[], now: number): readonly DeviceToken[] {
  return tokens.filter((token) => isLive(token, now));
}

/** Adds a token or refreshes it, and drops what is not live or too much. Returns `tokens` itself when nothing changes. */
export function addToken(tokens: readonly DeviceToken[], token: string, now: number): readonly DeviceToken[] {
  const live = liveTokens(tokens, now).map((other) => rebaseToken(other, now));
  const known = live.find((other) => other.token === token);
  const isUnchanged = live.length === tokens.length && live.every((other, index) => other === tokens[index]);
  if (known && isUnchanged && Math.abs(now - known.setAt) < REFRESH_AFTER_MS) return tokens;
  const others = live.filter((other) => other !== known).sort((a, b) => b.setAt - a.setAt);
  return [...others.slice(0, MAX_TOKENS_PER_ACCOUNT - 1), { token, setAt: now }];
}
