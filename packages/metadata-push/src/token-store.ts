/**
 * [io] The device tokens of all accounts, in LMDB: one record per token under `[account, tokenId]`, so that refreshing one token
 * writes one record. The rules are those of tokens.ts; this file only keeps what they decide.
 */

import type { Database as Table } from 'lmdb';
import { type Database, Pending } from './database.ts';
import { type DeviceToken, TOKEN_LIFETIME_MS, tokenId } from './tokens.ts';

type TokenKey = [account: string, tokenId: string];

/** Sorts after every token id, which is base64url. */
const AFTER_IDS = '~';
/** Records looked at before others get their turn. */
const SWEEP_CHUNK = 500;
const SWEEP_INTERVAL_MS = 24 * 60 * 60 * 1000;
const SWEPT_AT = 'tokens-swept-at';

export class TokenStore {
  readonly #database: Database;
  readonly #table: Table<DeviceToken, TokenKey>;
  readonly #meta: Table<number, string>;
  /** Whole lists, by account. */
  readonly #pending = new Pending<readonly DeviceToken[]>();

  constructor(database: Database) {
    this.#database = database;
    this.#table = database.table<DeviceToken, TokenKey>('tokens');
    this.#meta = database.table<number, string>('meta');
  }

  /** Number of tokens of all accounts. */
  count(): number {
    return (this.#table.getStats() as { entryCount: number }).entryCount;
  }

  /** All tokens of an account, live or not. */
  list(account: string): readonly DeviceToken[] {
    const pending = this.#pending.get(account);
    if (pending) return pending.value;
    return [...this.#table.getRange(rangeOf(account))].map(({ value }) => value);
  }

  /** One token of an account by its id. */
  get(account: string, id: string): DeviceToken | undefined {
    const pending = this.#pending.get(account);
    return pending ? pending.value.find(({ token }) => tokenId(token) === id) : this.#table.get([account, id]);
  }

  /**
   * Changes the tokens of an account. `change` gets the present list and returns the one to be; the same array means there is
   * nothing to do.
   *
   * @returns resolves when the new list, or the one that made a change unnecessary, is on disk
   * @throws DatabaseWriteError by rejection: the old list stays
   */
  update(account: string, change: (tokens: readonly DeviceToken[]) => readonly DeviceToken[]): Promise<void> {
    const before = this.list(account);
    const after = change(before);
    if (after === before || (after.length === 0 && before.length === 0)) return this.#database.durable();
    const written = this.#database.write(() => {
      let last: Promise<boolean> | undefined;
      for (const old of before) {
        if (!after.some(({ token }) => token === old.token)) last = this.#table.remove([account, tokenId(old.token)]);
      }
      for (const token of after) {
        if (!before.includes(token)) last = this.#table.put([account, tokenId(token.token)], token);
      }
      return last!;
    });
    this.#pending.hold(account, after, written);
    return written;
  }

  /**
   * Removes the tokens no client has set for their whole lifetime, of accounts nobody uses any more. Does nothing when that was
   * done within a day, by an earlier process too.
   *
   * @param signal ends it early: the next process does the rest
   * @throws DatabaseWriteError by rejection
   */
  async sweep(now: number, signal?: AbortSignal): Promise<void> {
    if (Math.abs(now - (this.#meta.get(SWEPT_AT) ?? 0)) < SWEEP_INTERVAL_MS) return;
    await this.#removeAged(now, signal);
    if (signal?.aborted) return;
    await this.#database.write(() => this.#meta.put(SWEPT_AT, now));
  }

  async #removeAged(now: number, signal: AbortSignal | undefined): Promise<void> {
    let start: TokenKey | undefined;
    while (!signal?.aborted) {
      const records = [...this.#table.getRange({ ...(start && { start, exclusiveStart: true }), limit: SWEEP_CHUNK })];
      const accounts = new Set(records.filter(({ value }) => isAged(value, now)).map(({ key }) => key[0]));
      const writes = [...accounts].map((account) =>
        this.update(account, (tokens) => tokens.filter((token) => !isAged(token, now))),
      );
      await Promise.all(writes);
      if (records.length < SWEEP_CHUNK) return;
      start = records.at(-1)!.key;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function isAged(token: DeviceToken, now: number): boolean {
  return token.setAt <= now - TOKEN_LIFETIME_MS;
}

function rangeOf(account: string): { start: TokenKey; end: TokenKey } {
  return { start: [account, ''], end: [account, AFTER_IDS] };
}
