/**
 * The two places in which the relays of today keep push state, read once when a relay moves over. Sources: chatmaild/metadata.py
 * (`ADDRESS/metadata.json`: tokens as a list, and since they age as an object of token and time) and chatmaild/notifier.py
 * (`pending_notifications/UUID`: address, time and token on a line each). Whatever does not fit is left out, never guessed.
 */

import { Buffer } from 'node:buffer';
import { type Address, parseAddress } from '#core';
import { type DeviceToken, liveTokens, MAX_TOKENS_PER_ACCOUNT, parseToken, rebaseToken } from './tokens.ts';

/**
 * The live tokens in a `metadata.json`, the newest last.
 *
 * @param now ms since the epoch; tokens of the older form have no time and count as set now
 * @returns undefined when the text is not such a file
 */
export function parseInheritedTokens(text: string, now: number): readonly DeviceToken[] | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  const { devicetoken } = json as { devicetoken?: unknown };
  const entries: readonly (readonly [unknown, unknown])[] = Array.isArray(devicetoken)
    ? devicetoken.map((token) => [token, now / 1000] as const)
    : typeof devicetoken === 'object' && devicetoken !== null
      ? Object.entries(devicetoken)
      : [];
  const tokens = new Map<string, DeviceToken>();
  for (const [text, seconds] of entries) {
    const token = typeof text === 'string' ? parseToken(Buffer.from(text)) : undefined;
    if (token === undefined || typeof seconds !== 'number') continue;
    tokens.set(token, { token, setAt: Math.round(seconds * 1000) });
  }
  // As that relay did, without those set under a wrong clock.
  const dated = [...tokens.values()].filter((token) => rebaseToken(token, now) === token);
  const live = liveTokens(dated, now).toSorted((a, b) => a.setAt - b.setAt);
  return live.slice(-MAX_TOKENS_PER_ACCOUNT);
}

/** A push that was waiting. */
export interface InheritedPush {
  readonly address: Address;
  readonly token: string;
  /** When its message arrived, ms since the epoch. */
  readonly queuedAt: number;
}

/** Reads a file of `pending_notifications`; undefined when it is none, or is half written. */
export function parseInheritedPush(text: string): InheritedPush | undefined {
  const [addressText = '', secondsText = '', tokenText = ''] = text.split('\n');
  const address = parseAddress(addressText);
  const token = parseToken(Buffer.from(tokenText));
  if (!address || token === undefined || !/^\d{1,11}(?:\.\d+)?$/.test(secondsText)) return undefined;
  return { address, token, queuedAt: Math.round(Number(secondsText) * 1000) };
}
