/**
 * TURN credentials made from a secret shared with the TURN server, so that the two need not talk: the user name is the time
 * they expire, the password its HMAC. Source: draft-uberti-behave-turn-rest-00 section 2.2, as coturn's `use-auth-secret` has it.
 */

import { createHmac } from 'node:crypto';

/** Clients ask again 12 hours before the end, and may be offline for days. 5 days. */
export const TURN_LIFETIME_SECS = 5 * 24 * 60 * 60;
/** A secret shorter than this can be guessed from one password. */
export const MIN_TURN_SECRET_LENGTH = 16;

/**
 * Makes credentials that are valid from now on.
 *
 * @param now ms since the epoch
 * @returns `EXPIRY:PASSWORD`
 */
export function makeTurnCredentials(secret: string, now: number): string {
  const expiry = `${Math.floor(now / 1000) + TURN_LIFETIME_SECS}`;
  // SHA-1, because that is what TURN servers compute; HMAC does not suffer from its collisions.
  return `${expiry}:${createHmac('sha1', secret).update(expiry).digest('base64')}`;
}
