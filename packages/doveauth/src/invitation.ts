/**
 * What invitations are to the rest of doveauth. Types only; `invitation-store.ts` has the files.
 */

import type { Address } from '#core';

/** The invitations on disk. Every method rejects when the disk gives no answer. */
export interface InvitationStore {
  /**
   * Uses a token once, and remembers what it was used for; both survive a power cut once the promise resolves.
   *
   * @param now seconds since the epoch
   */
  take(token: string, address: Address, password: Uint8Array, now: number): Promise<TakeResult>;
  /**
   * Uses a token that proves that the operator asks: only who may write to the state directory can have made it.
   *
   * @returns false when it is none
   */
  takeOperator(token: string, now: number): Promise<boolean>;
  /** True when a token was used for exactly this name and password, lately. */
  isHandedOut(address: Address, password: Uint8Array, now: number): Promise<boolean>;
  /** The account exists now. */
  forget(address: Address, password: Uint8Array): Promise<void>;
}

/** `too-many`: more is handed out and not used than can be remembered. */
export type TakeResult = 'taken' | 'too-many' | InvitationRefusalReason;

export type InvitationRefusalReason = 'invitation-unknown' | 'invitation-expired' | 'invitation-used-up';
