/**
 * [io] The push queue, in LMDB: pending pushes by token (`[account, tokenId]`), and two indexes of them, by the time they are due
 * and by the time they were queued. A push holds no token: that of its key in the token store is looked up when it is sent.
 * Nothing of the queue is kept in memory but the pages of the file the kernel holds for us.
 */

import type { Database as Table } from 'lmdb';
import type { Logger } from '#core';
import { type Database, Pending } from './database.ts';
import { type PushItem, rebasePush } from './schedule.ts';

/** Names a pending push: there is at most one for a token of an account. */
export interface PushKey {
  readonly account: string;
  readonly tokenId: string;
}

export interface QueuedPush {
  readonly key: PushKey;
  readonly item: PushItem;
}

type ItemKey = [account: string, tokenId: string];
/** An item on disk: `queuedAt`, then `expiresAt` and `dueAt` from there, `attempts`, `notBefore`. A third of what JSON with names takes. */
type ItemRecord = readonly [number, number, number, number, number];
type TimeKey = [time: number, account: string, tokenId: string];

/** Sorts after every token id, which is base64url. */
const AFTER_IDS = '~';
/** Sorts after every account. */
const AFTER_ACCOUNTS = '\uffff';
/** Pushes dated anew in one go after the clock was set back. */
const REBASE_LIMIT = 1000;

/** One string for a key: for maps. */
export function keyText({ account, tokenId }: PushKey): string {
  return `${account}\0${tokenId}`;
}

export class QueueStore {
  readonly #database: Database;
  readonly #log: Logger;
  /** Whatever is on disk: see {@link itemOf}. */
  readonly #items: Table<unknown, ItemKey>;
  readonly #due: Table<1, TimeKey>;
  readonly #queued: Table<1, TimeKey>;
  /** `undefined`: removed. */
  readonly #pending = new Pending<PushItem | undefined>();
  /** Records that came up and are no push, by {@link keyText}: the next write removes them. */
  readonly #unreadable = new Map<string, PushKey>();

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
    this.#items = database.table<unknown, ItemKey>('queue');
    this.#due = database.table<1, TimeKey>('queue-by-due');
    this.#queued = database.table<1, TimeKey>('queue-by-queued');
  }

  /** Number of pending pushes. */
  depth(): number {
    return (this.#items.getStats() as { entryCount: number }).entryCount;
  }

  /** When the oldest pending push was queued; undefined when there is none. */
  oldestQueuedAt(): number | undefined {
    return firstTime(this.#queued, {});
  }

  get(key: PushKey): PushItem | undefined {
    const pending = this.#pending.get(keyText(key));
    if (pending) return pending.value;
    const item = this.#read(key);
    if (item === 'unreadable') this.#unreadable.set(keyText(key), key);
    return item === 'unreadable' ? undefined : item;
  }

  /** Writes or replaces a push. @returns resolves when it is on disk @throws DatabaseWriteError by rejection */
  put(key: PushKey, item: PushItem): Promise<void> {
    return this.replace(key, this.get(key), item);
  }

  /** As {@link put}, for a caller who knows what {@link get} says at this moment. */
  replace(key: PushKey, old: PushItem | undefined, item: PushItem): Promise<void> {
    this.#dropUnreadable();
    const { account, tokenId } = key;
    const written = this.#database.write(() => {
      if (old && old.dueAt !== item.dueAt) this.#due.remove([old.dueAt, account, tokenId]);
      if (old && old.queuedAt !== item.queuedAt) this.#queued.remove([old.queuedAt, account, tokenId]);
      if (old?.dueAt !== item.dueAt) this.#due.put([item.dueAt, account, tokenId], 1);
      if (old?.queuedAt !== item.queuedAt) this.#queued.put([item.queuedAt, account, tokenId], 1);
      return this.#items.put([account, tokenId], recordOf(item));
    });
    this.#pending.hold(keyText(key), item, written);
    return written;
  }

  /** Removes a push. @returns resolves when that is on disk @throws DatabaseWriteError by rejection */
  remove(key: PushKey): Promise<void> {
    const old = this.get(key);
    this.#dropUnreadable();
    if (!old) return this.#database.durable();
    return this.#remove(key, old, (work) => this.#database.write(work));
  }

  /** Removes a push that has been dealt with, which {@link get} says is `old`: not at once, and a crash before that brings it back. */
  removeLater(key: PushKey, old: PushItem): Promise<void> {
    return this.#remove(key, old, (work) => this.#database.writeLater(work));
  }

  #remove(key: PushKey, old: PushItem, write: (work: () => Promise<boolean>) => Promise<void>): Promise<void> {
    const { account, tokenId } = key;
    const written = write(() => {
      this.#due.remove([old.dueAt, account, tokenId]);
      this.#queued.remove([old.queuedAt, account, tokenId]);
      return this.#items.remove([account, tokenId]);
    });
    this.#pending.hold(keyText(key), undefined, written);
    return written;
  }

  /** One such record must not keep all others from being sent. Nobody knows its times any more, so its index entries are searched for. */
  #dropUnreadable(): void {
    if (this.#unreadable.size === 0) return;
    const dropped = new Map(this.#unreadable);
    this.#unreadable.clear();
    this.#log.error('unreadable pushes removed from the queue', { count: dropped.size });
    const written = this.#database.write(() => {
      for (const index of [this.#due, this.#queued]) {
        for (const entry of index.getKeys()) {
          const [, account, tokenId] = entry;
          if (dropped.has(keyText({ account, tokenId }))) index.remove(entry);
        }
      }
      return [...dropped.values()].map(({ account, tokenId }) => this.#items.remove([account, tokenId])).at(-1)!;
    });
    for (const text of dropped.keys()) this.#pending.hold(text, undefined, written);
  }

  #read({ account, tokenId }: PushKey): PushItem | 'unreadable' | undefined {
    let record: unknown;
    try {
      record = this.#items.get([account, tokenId]);
    } catch {
      // No JSON.
      return 'unreadable';
    }
    return record === undefined ? undefined : (itemOf(record) ?? 'unreadable');
  }

  /** Resolves when all changes so far are on disk. @throws DatabaseWriteError by rejection */
  durable(): Promise<void> {
    return this.#database.durable();
  }

  /** Up to `limit` committed pushes due at `now`, the longest due first, without those `skip` names. */
  due(now: number, limit: number, skip: (keyText: string) => boolean): QueuedPush[] {
    const found: QueuedPush[] = [];
    for (const [dueAt, account, tokenId] of this.#due.getKeys({ end: afterTime(now) })) {
      const key = { account, tokenId };
      if (skip(keyText(key))) continue;
      const item = this.get(key);
      // The index lags behind writes that are not committed yet.
      if (item?.dueAt !== dueAt) continue;
      found.push({ key, item });
      if (found.length === limit) break;
    }
    this.#dropUnreadable();
    return found;
  }

  /** When the next push after `now` is due, as far as writes are committed. */
  nextDueAt(now: number): number | undefined {
    return firstTime(this.#due, { start: afterTime(now) });
  }

  /**
   * Dates pushes now that were queued in what is the future since the clock was set back; they would wait for hours.
   *
   * @returns resolves when that is on disk @throws DatabaseWriteError by rejection
   */
  async rebase(now: number): Promise<void> {
    for (const [, account, tokenId] of this.#queued.getKeys({ start: afterTime(now), limit: REBASE_LIMIT })) {
      const key = { account, tokenId };
      const item = this.get(key);
      const rebased = item && rebasePush(item, now);
      // Awaited below, all at once.
      if (rebased && rebased !== item) this.put(key, rebased).catch(() => {});
    }
    await this.#database.durable();
  }

  /** The pending pushes of one account. */
  keysOf(account: string): PushKey[] {
    const keys = this.#items.getKeys({ start: [account, ''], end: [account, AFTER_IDS] });
    return [...keys].map(([, tokenId]) => ({ account, tokenId }));
  }
}

function recordOf({ queuedAt, expiresAt, dueAt, attempts, notBefore }: PushItem): ItemRecord {
  return [queuedAt, expiresAt - queuedAt, dueAt - queuedAt, attempts, notBefore];
}

/** The push in a record, or in one as they were before {@link ItemRecord}: an object. Undefined when it is neither. */
function itemOf(record: unknown): PushItem | undefined {
  let item: PushItem;
  if (Array.isArray(record)) {
    const [queuedAt, lifeMs, delayMs, attempts, notBefore] = record as unknown as ItemRecord;
    item = { queuedAt, expiresAt: queuedAt + lifeMs, dueAt: queuedAt + delayMs, attempts, notBefore };
  } else {
    const { queuedAt, expiresAt, dueAt, attempts, notBefore = 0 } = (record ?? {}) as PushItem;
    item = { queuedAt, expiresAt, dueAt, attempts, notBefore };
  }
  return Object.values(item).every(Number.isFinite) ? item : undefined;
}

function firstTime(table: Table<1, TimeKey>, range: { start?: TimeKey }): number | undefined {
  for (const [time] of table.getKeys({ ...range, limit: 1 })) return time;
  return undefined;
}

function afterTime(time: number): TimeKey {
  return [time, AFTER_ACCOUNTS, ''];
}
