/**
 * [io] The device tokens of all accounts, in LMDB: one record per token under `[account, tokenId]`, so that refreshing one token
 * writes one record. The rules are those of tokens.ts; this file only keeps what they decide.
 */

import type { Database as Table } from 'lmdb';
import type { Logger } from '#core';
import { type Database, Pending } from './database.ts';
import { type DeviceToken, isAged, rebaseToken, tokenId } from './tokens.ts';

type TokenKey = [account: string, tokenId: string];

/** Sorts after every token id, which is base64url. */
const AFTER_IDS = '~';
/** Records looked at before others get their turn. */
const SWEEP_CHUNK = 500;
const SWEEP_INTERVAL_MS = 24 * 60 * 60 * 1000;
const SWEPT_AT = 'tokens-swept-at';

export class TokenStore {
  readonly #database: Database;
  readonly #log: Logger;
  /** Whatever is on disk: see {@link isTokenOf}. */
  readonly #table: Table<unknown, TokenKey>;
  readonly #meta: Table<number, string>;
  /** Whole lists, by account. */
  readonly #pending = new Pending<readonly DeviceToken[]>();
  /** Records that came up and are no token, and have not left the disk yet; by their keys as one text. */
  readonly #unreadable = new Map<string, TokenKey>();

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
    this.#table = database.table<unknown, TokenKey>('tokens');
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
    const keys = [...this.#table.getKeys(rangeOf(account))];
    return this.#readAll(keys).map(([, token]) => token);
  }

  /** One token of an account by its id. */
  get(account: string, id: string): DeviceToken | undefined {
    const pending = this.#pending.get(account);
    if (pending) return pending.value.find(({ token }) => tokenId(token) === id);
    return this.#readAll([[account, id]])[0]?.[1];
  }

  /** The tokens under these keys. One record that is none must not keep all others from being used: it is removed. */
  #readAll(keys: readonly TokenKey[]): (readonly [key: TokenKey, token: DeviceToken])[] {
    const found: [TokenKey, DeviceToken][] = [];
    const unreadable: TokenKey[] = [];
    for (const key of keys) {
      const token = this.#read(key);
      if (token === 'unreadable') unreadable.push(key);
      else if (token) found.push([key, token]);
    }
    if (unreadable.length > 0) this.#drop(unreadable);
    return found;
  }

  #read(key: TokenKey): DeviceToken | 'unreadable' | undefined {
    let record: unknown;
    try {
      record = this.#table.get(key);
    } catch {
      // No JSON.
      return 'unreadable';
    }
    return record === undefined || isTokenOf(key, record) ? record : 'unreadable';
  }

  #drop(keys: readonly TokenKey[]): void {
    const dropped = keys.filter((key) => !this.#unreadable.has(key.join('\0')));
    if (dropped.length === 0) return;
    this.#log.error('unreadable device tokens removed', { count: dropped.length });
    for (const key of dropped) this.#unreadable.set(key.join('\0'), key);
    const forget = () => {
      for (const key of dropped) this.#unreadable.delete(key.join('\0'));
    };
    // Whoever comes across one that did not leave, because the disk was full say, tries again.
    this.#database.write(() => dropped.map((key) => this.#table.remove(key)).at(-1)!).then(forget, forget);
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
   * Removes the tokens no client has set for their whole lifetime, of accounts nobody uses any more, and dates those anew that were
   * set in what is the future since the clock was set back. Does nothing when that was done within a day, by an earlier process too.
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
      const keys = [...this.#table.getKeys({ ...(start && { start, exclusiveStart: true }), limit: SWEEP_CHUNK })];
      const isDue = (token: DeviceToken) => isAged(token, now) || rebaseToken(token, now) !== token;
      const accounts = new Set(this.#readAll(keys).flatMap(([[account], token]) => (isDue(token) ? account : [])));
      const writes = [...accounts].map((account) =>
        this.update(account, (tokens) =>
          tokens.filter((token) => !isAged(token, now)).map((token) => rebaseToken(token, now)),
        ),
      );
      await Promise.all(writes);
      if (keys.length < SWEEP_CHUNK) return;
      start = keys.at(-1)!;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** A damaged token is under a key that names another. */
function isTokenOf([, id]: TokenKey, record: unknown): record is DeviceToken {
  const { token, setAt } = (record ?? {}) as Partial<DeviceToken>;
  return typeof token === 'string' && Number.isFinite(setAt) && tokenId(token) === id;
}

function rangeOf(account: string): { start: TokenKey; end: TokenKey } {
  return { start: [account, ''], end: [account, AFTER_IDS] };
}
