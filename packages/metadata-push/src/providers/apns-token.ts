/**
 * The provider token of APNs: one ES256 JWT for all requests. Apple takes one for 60 minutes and answers 429 when a team makes a new one
 * more often than every 20 minutes, so there is exactly one, and it is made again at 50.
 * Source: Apple, "Establishing a token-based connection to APNs". Times are ms since the epoch.
 */

import type { KeyObject } from 'node:crypto';
import { signJwt } from './jwt.ts';

/** The least time between two tokens. */
const MIN_AGE_MS = 20 * 60 * 1000;
const REFRESH_AGE_MS = 50 * 60 * 1000;
/** A token dated further in the future was made under a wrong clock. */
const MAX_FUTURE_MS = 60_000;

export class ApnsProviderToken {
  readonly #key: KeyObject;
  readonly #keyId: string;
  readonly #teamId: string;
  #text = '';
  #madeAt = Number.NEGATIVE_INFINITY;

  constructor(key: KeyObject, keyId: string, teamId: string) {
    this.#key = key;
    this.#keyId = keyId;
    this.#teamId = teamId;
  }

  /** The token to use now. */
  current(now: number): string {
    const ageMs = now - this.#madeAt;
    if (ageMs >= REFRESH_AGE_MS || ageMs < -MAX_FUTURE_MS) this.#make(now);
    return this.#text;
  }

  /**
   * Apple calls `text` expired. Makes another token unless that would be too soon.
   *
   * @returns how long to wait before trying again, ms: 0 when there is another token now
   */
  expired(text: string, now: number): number {
    if (text !== this.#text) return 0;
    const waitMs = this.#madeAt + MIN_AGE_MS - now;
    if (waitMs > 0) return waitMs;
    this.#make(now);
    return 0;
  }

  #make(now: number): void {
    this.#text = signJwt({ kid: this.#keyId }, { iss: this.#teamId, iat: Math.floor(now / 1000) }, this.#key);
    this.#madeAt = now;
  }
}
