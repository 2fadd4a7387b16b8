/**
 * [io] Gives every mailbox that got a message the second change wake-rule.ts calls for: creates and removes a dot-file in its
 * `new/`, which Dovecot does not look at. Needs no right but the mail user's own. One timer for all mailboxes, one look for the
 * messages of a moment; nothing on disk: what a crash makes us forget is found again by the modification times.
 */

import { statSync, symlink, unlink } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Address, type Logger, type Metrics, mailboxPath, parseAddress } from '#core';
import { deliveryTime, hasChangedSince, LATE_MS, MAX_REPEATS, MERGE_MS, WAKE_AFTER_MS } from './wake-rule.ts';

/**
 * Never a message: Dovecot, and chatmail-expire, pass over names that begin with a dot; only a recount of Dovecot's quota (maildir)
 * counts them, unless they begin with two.
 */
export const WAKE_FILE = '..wake';
/** A process that ends badly is started again within seconds; mailboxes that changed this long before our start are woken. */
const MISSED_MS = 10 * 60_000;
/** So many of them wait at once: a restart is to cost neither memory nor a disk that is busy with nothing else. */
const MAX_MISSED = 200;
const PAUSE_MS = 20;
/** Mailboxes changed at once; the threads that do it are four. */
const MAX_CHANGING = 8;
const LOG_INTERVAL_MS = 60_000;

export interface WakerOptions {
  /** The directory of all accounts, at the moment. */
  readonly mailboxesDir: () => string;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly afterMs?: number;
}

/** Messages to one mailbox that came within {@link MERGE_MS}: one change, after the first of them, is late enough for all. */
interface Batch {
  readonly address: Address;
  readonly noticedAt: number;
  /** When the newest of them was delivered. */
  deliveredAt: number;
  readonly repeats: number;
}

export class Waker {
  readonly #options: WakerOptions;
  readonly #afterMs: number;
  readonly #count: (outcome: 'woken' | 'not-needed' | 'failed') => void;
  /** In the order they came, and so in that of their times: all wait equally long. */
  readonly #waiting: Batch[] = [];
  /** The newest batch of every mailbox that has one waiting. */
  readonly #newest = new Map<string, Batch>();
  #timer: NodeJS.Timeout | undefined;
  /** Mailboxes to be changed, by their `new/`. */
  readonly #toChange: string[] = [];
  #changing = 0;
  #lastLogAt = 0;
  #isStopped = false;

  constructor(options: WakerOptions) {
    this.#options = options;
    this.#afterMs = options.afterMs ?? WAKE_AFTER_MS;
    const wakes = options.metrics.counter(
      'chatmail_wakes_total',
      'Mailboxes looked at after a message, to wake sessions that may have missed it.',
      ['outcome'],
    );
    this.#count = (outcome) => wakes.inc({ outcome });
  }

  /** True when no message waits for its announcement to be certain. */
  isIdle(): boolean {
    return this.#waiting.length === 0 && this.#changing === 0;
  }

  /** A message was delivered to an account, now. */
  wake(address: Address): void {
    const noticedAt = this.#options.now();
    const deliveredAt = this.#deliveredAt(address, noticedAt);
    const newest = this.#newest.get(address.text);
    const isMerged = newest && Math.abs(noticedAt - newest.noticedAt) < MERGE_MS;
    if (isMerged) newest.deliveredAt = deliveredAt;
    else this.#add({ address, noticedAt, deliveredAt, repeats: 0 });
  }

  /**
   * Wakes the mailboxes that got a message while no metadata-push ran, or shortly before one ended badly. Resolves when all
   * mailboxes were looked at, one after the other; 10,000 take about a second, nearly all of it waiting for the file system.
   */
  async wakeMissed(): Promise<void> {
    const mailboxesDir = this.#options.mailboxesDir();
    const since = this.#options.now() - MISSED_MS;
    try {
      for await (const { name } of await opendir(mailboxesDir)) {
        if (this.#isStopped) return;
        const address = parseAddress(name);
        if (address?.text !== name) continue;
        // Not at hand as that of a mailbox in use is: the disk may have to be waited for.
        const stats = await stat(`${mailboxPath(mailboxesDir, address)}/new`).catch(() => undefined);
        if (!stats || stats.mtimeMs < since) continue;
        while (this.#waiting.length >= MAX_MISSED) await sleep(PAUSE_MS);
        this.wake(address);
      }
    } catch (error) {
      // Before the first account there is no such directory.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#failed(error);
    }
  }

  /** Resolves when nothing waits any more, which takes at most some seconds. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    while (!this.isIdle()) await sleep(PAUSE_MS);
  }

  #add(batch: Batch): void {
    this.#newest.set(batch.address.text, batch);
    this.#waiting.push(batch);
    if (this.#timer === undefined) this.#setTimer();
  }

  #setTimer(): void {
    const first = this.#waiting[0];
    if (!first) return;
    // A clock that was set must not make it wait for hours.
    const waitMs = Math.min(Math.max(this.#dueAt(first) - this.#options.now(), 1), this.#afterMs);
    this.#timer = setTimeout(() => this.#lookAtDue(), waitMs);
  }

  #dueAt({ noticedAt }: Batch): number {
    return noticedAt + this.#afterMs;
  }

  /** The first is due, and with it perhaps others. */
  #lookAtDue(): void {
    const now = this.#options.now();
    let count = 1;
    for (; count < this.#waiting.length; count++) {
      const batch = this.#waiting[count]!;
      // One from the future: the clock was set back.
      if (this.#dueAt(batch) > now && batch.noticedAt <= now) break;
    }
    for (const batch of this.#waiting.splice(0, count)) this.#look(batch, now);
    this.#timer = undefined;
    this.#setTimer();
  }

  /** Never throws. */
  #look(batch: Batch, now: number): void {
    const { address, noticedAt, deliveredAt, repeats } = batch;
    const isNewest = this.#newest.get(address.text) === batch;
    if (isNewest) this.#newest.delete(address.text);
    try {
      const directory = this.#toBeChanged(address, deliveredAt);
      if (directory === undefined) this.#count('not-needed');
      else this.#toChange.push(directory);
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#changeNext();
    const lateMs = Math.max(now - this.#dueAt(batch), noticedAt - deliveredAt);
    // The machine is too busy to keep times. A message that came meanwhile will be looked at anyway.
    if (lateMs > LATE_MS && repeats < MAX_REPEATS && isNewest) {
      this.#add({ address, noticedAt: now, deliveredAt: now, repeats: repeats + 1 });
    }
  }

  /** The `new/` of a mailbox that needs a change; undefined when it does not. */
  #toBeChanged(address: Address, deliveredAt: number): string | undefined {
    const path = mailboxPath(this.#options.mailboxesDir(), address);
    const changes = [mtimeOf(`${path}/new`), mtimeOf(`${path}/cur`)];
    // No maildir: the account was deleted meanwhile.
    if (changes[0] === undefined) return undefined;
    const known = changes.filter((at) => at !== undefined);
    return hasChangedSince(deliveredAt, known, this.#options.now()) ? undefined : `${path}/new`;
  }

  #changeNext(): void {
    while (this.#changing < MAX_CHANGING && this.#toChange.length > 0) {
      this.#changing++;
      this.#change(`${this.#toChange.shift()}/${WAKE_FILE}`, (error) => {
        this.#changing--;
        if (error) this.#failed(error);
        else this.#count('woken');
        this.#changeNext();
      });
    }
  }

  #change(file: string, callback: (error: NodeJS.ErrnoException | undefined) => void): void {
    // A symbolic link to nowhere takes one call where a file takes two. One that is there was left by a process that ended badly.
    symlink(WAKE_FILE, file, (error) => {
      if (error && error.code !== 'EEXIST') callback(error);
      else unlink(file, (error) => callback(error && error.code !== 'ENOENT' ? error : undefined));
    });
  }

  #deliveredAt(address: Address, noticedAt: number): number {
    const path = `${mailboxPath(this.#options.mailboxesDir(), address)}/new`;
    try {
      return deliveryTime(noticedAt, mtimeOf(path));
    } catch {
      // The look at it later fails too, and says so.
      return noticedAt;
    }
  }

  #failed(error: unknown): void {
    this.#count('failed');
    const now = this.#options.now();
    if (Math.abs(now - this.#lastLogAt) < LOG_INTERVAL_MS) return;
    this.#lastLogAt = now;
    // The message of such an error has a path, and the path an address.
    this.#options.log.error('mailboxes cannot be woken', {
      reason: (error as NodeJS.ErrnoException).code ?? 'unknown',
    });
  }
}

/**
 * The mtime of a directory that Dovecot changed moments ago, ms since the epoch; undefined when there is none. Not asynchronous:
 * the kernel has it in memory, and the way through a thread costs ten times what the answer does, three times for every message.
 */
function mtimeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined;
    throw error;
  }
}
