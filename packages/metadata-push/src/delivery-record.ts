/**
 * [io] When a push was last delivered, in LMDB: a restart must not make a relay look healthy whose pushes have failed for days.
 */

import type { Database as Table } from 'lmdb';
import type { Database } from './database.ts';

/** A relay with tokens that delivered nothing for this long has a problem nobody else tells of. 1 day. */
export const SILENCE_MS = 24 * 60 * 60 * 1000;
/** The record is written again after this: nobody asks for more than "within a day". */
const WRITE_INTERVAL_MS = 60 * 60 * 1000;
const DELIVERED_AT = 'delivered-at';

export class DeliveryRecord {
  readonly #database: Database;
  readonly #meta: Table<number, string>;
  #lastAt: number;
  #writtenAt: number;

  /** @param now ms since the epoch; where there is no record yet, silence begins now */
  constructor(database: Database, now: number) {
    this.#database = database;
    this.#meta = database.table<number, string>('meta');
    const recorded = this.#meta.get(DELIVERED_AT);
    this.#lastAt = Math.min(recorded ?? now, now);
    this.#writtenAt = recorded ?? 0;
    if (recorded === undefined) this.#write(now);
  }

  /** When a push was last delivered, ms since the epoch; before the first one, when this record was begun. */
  get deliveredAt(): number {
    return this.#lastAt;
  }

  /** A push was delivered. */
  delivered(now: number): void {
    this.#lastAt = now;
    if (Math.abs(now - this.#writtenAt) >= WRITE_INTERVAL_MS) this.#write(now);
  }

  /** True when nothing was delivered for {@link SILENCE_MS}. */
  isSilent(now: number): boolean {
    return now - this.#lastAt >= SILENCE_MS;
  }

  #write(now: number): void {
    this.#writtenAt = now;
    // Lost with a crash or a full disk, it is written again an hour later.
    this.#database.write(() => this.#meta.put(DELIVERED_AT, now)).catch(() => {});
  }
}
