/**
 * [io] The LMDB file behind the stores: opening it safely, and the one way to write to it. Writes of one event turn are one
 * transaction, and those made while another transaction is being synced form the next, so any number of them share a sync.
 * One process writes at a time (two metadata-push would send every push twice); others may read. No worker threads and no
 * clearing of whole tables: both have open crash reports in lmdb-js (issues 48 and 317).
 */

import { join } from 'node:path';
import type { Key, RootDatabase, Database as Table } from 'lmdb';
import { ConfigError, type Logger } from '#core';
import { prepareDirectory, setAside, setAsideIfUnreadable } from './database-file.ts';
import { openRoot } from './database-root.ts';
import { beginUse, checkDatabase, endUse, wasLeftOpen } from './database-use.ts';

/** Raise when the meaning of a record changes, together with a conversion. Pushes come in two forms, and both are read. */
const FORMAT = 1;
const FILE_NAME = 'push.mdb';
/** Longest wait for a sync. After it the write counts as failed: lmdb-js has no answer for a sync that fails. */
const SYNC_TIMEOUT_MS = 10_000;
/** Longest wait of a write that can wait. A crash within it repeats what the write would have ended: some pushes. */
const LATER_MS = 25;

/** A write did not reach the disk; nothing of it may be relied upon. */
export class DatabaseWriteError extends Error {
  override readonly name = 'DatabaseWriteError';
  readonly code: 'commit-failed' | 'sync-timeout';

  constructor(code: DatabaseWriteError['code'], options?: ErrorOptions) {
    super(code, options);
    this.code = code;
  }
}

interface CommitPromise extends Promise<boolean> {
  /** Present with `separateFlushed`. */
  readonly flushed?: Promise<unknown>;
}

/** The open database. */
export class Database {
  readonly #path: string;
  readonly #root: RootDatabase;
  #lastCommit: Promise<boolean> | undefined;
  #lastDurable: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** Writes that wait for the next one, or their time. */
  #later: (() => Promise<boolean>)[] = [];
  #laterDone = Promise.withResolvers<void>();
  #laterTimer: NodeJS.Timeout | undefined;

  /**
   * Opens `push.mdb` in `stateDir`, which is created if need be. A file that is no database, or a damaged one that ended the
   * process before this one, is set aside as `push.mdb.corrupt` and a new one begun: clients set their tokens again at their next
   * connection.
   *
   * @throws ConfigError naming `state_dir` when the directory cannot be used, or holds the data of a newer version
   */
  static open(stateDir: string, log: Logger): Database {
    prepareDirectory(stateDir);
    surviveFailedCommits();
    const path = join(stateDir, FILE_NAME);
    try {
      if (setAsideIfUnreadable(path)) sayLost(log, 'it is no database');
      else if (wasLeftOpen(path)) setAsideIfDamaged(path, log);
      beginUse(path);
      return new Database(path, stateDir);
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      // No matter of configuration: the next start finds that this one left the file open, and checks it.
      if (isDamage(error)) throw new Error(`${path} cannot be read; the next start checks it`, { cause: error });
      throw new ConfigError(
        `${path} cannot be opened: ${(error as Error).message}`,
        { key: 'state_dir' },
        { cause: error },
      );
    }
  }

  private constructor(path: string, stateDir: string) {
    this.#path = path;
    this.#root = openRoot(path);
    const meta = this.table<number, string>('meta');
    const format = meta.get('format');
    if (format === undefined) meta.putSync('format', FORMAT);
    else if (format !== FORMAT) {
      void this.close();
      throw new ConfigError(
        `${join(stateDir, FILE_NAME)} has format ${format}, this version reads format ${FORMAT}; install the version that wrote it`,
        { key: 'state_dir' },
      );
    }
  }

  /** Opens a named table of JSON values. Reads see committed writes only; {@link Pending} bridges the gap. */
  table<V, K extends Key>(name: string): Table<V, K> {
    return this.#root.openDB<V, K>(name, { encoding: 'json', cache: false });
  }

  /**
   * Runs `work`, whose puts and removes happen together or not at all.
   *
   * @param work returns what the last of its puts and removes returned
   * @returns resolves when the writes are on disk
   * @throws DatabaseWriteError by rejection
   */
  write(work: () => Promise<boolean>): Promise<void> {
    this.#runLater();
    return this.#run(work);
  }

  /**
   * As {@link write}, but with the next write or a little later: a sync of its own would cost more than it is worth. Happens
   * before all writes that are asked for after it.
   */
  writeLater(work: () => Promise<boolean>): Promise<void> {
    this.#later.push(work);
    this.#laterTimer ??= setTimeout(() => this.#runLater(), LATER_MS);
    return this.#laterDone.promise;
  }

  #runLater(): void {
    if (this.#later.length === 0) return;
    clearTimeout(this.#laterTimer);
    this.#laterTimer = undefined;
    const { resolve } = this.#laterDone;
    this.#laterDone = Promise.withResolvers();
    const works = this.#later;
    this.#later = [];
    let written = this.#lastDurable;
    for (const work of works) written = this.#run(work);
    resolve(written);
  }

  #run(work: () => Promise<boolean>): Promise<void> {
    const commit: CommitPromise = work();
    // All writes of a transaction share this promise.
    if (commit !== this.#lastCommit) {
      this.#lastCommit = commit;
      this.#lastDurable = durable(commit);
      // Whoever wrote hears of a failure; writes nobody waits for must not end the process.
      this.#lastDurable.catch(() => {});
    }
    return this.#lastDurable;
  }

  /** Resolves when all writes so far are on disk. @throws DatabaseWriteError by rejection */
  durable(): Promise<void> {
    return this.#lastDurable;
  }

  /** Closes the file once all writes have ended. Nothing may be read or written any more: lmdb-js would crash. */
  close(): Promise<void> {
    this.#runLater();
    this.#closing ??= this.#lastDurable
      .catch(() => {})
      .then(() => this.#root.close())
      .then(() => endUse(this.#path));
    return this.#closing;
  }
}

/** After an abnormal end: damage must not end this process as well, and the next, and so on. */
function setAsideIfDamaged(path: string, log: Logger): void {
  const startedAt = performance.now();
  const check = checkDatabase(path);
  const ms = Math.round(performance.now() - startedAt);
  if (check.kind === 'sound') log.info('ended abnormally before; the database is sound', { ms });
  else if (check.kind === 'unknown') log.warn('ended abnormally before, and the database could not be checked', { ms });
  else {
    setAside(path);
    sayLost(log, check.reason);
  }
}

function sayLost(log: Logger, reason: string): void {
  log.error(
    `the database was unreadable; it is kept as ${FILE_NAME}.corrupt and a new one begun: clients set their tokens again when they connect next`,
    { reason },
  );
}

/** LMDB's own errors, and what is no JSON. */
function isDamage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return error instanceof SyntaxError || (typeof code === 'number' && code < 0);
}

let isSurviving = false;

/**
 * lmdb-js gives every transaction a promise of its own that nobody can get hold of, so a commit that fails, on a full disk say,
 * would end the process. The writers hear of it by the promises they have.
 */
function surviveFailedCommits(): void {
  if (isSurviving) return;
  isSurviving = true;
  process.on('unhandledRejection', (reason) => {
    if (!handleCommitError(reason)) throw reason;
  });
}

/** The reason of a failed commit comes in a second promise, which must not be left without a handler either. */
function handleCommitError(error: unknown): boolean {
  const reason = (error as { commitError?: unknown } | undefined)?.commitError;
  if (!(reason instanceof Promise)) return false;
  reason.catch(() => {});
  return true;
}

async function durable(commit: CommitPromise): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DatabaseWriteError('sync-timeout')), SYNC_TIMEOUT_MS);
  });
  try {
    await Promise.race([Promise.all([commit, commit.flushed]), timeout]);
  } catch (error) {
    if (error instanceof DatabaseWriteError) throw error;
    handleCommitError(error);
    throw new DatabaseWriteError('commit-failed', { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

interface Held<V> {
  readonly key: string;
  readonly value: V;
}

/** Values written but not committed yet, so that readers see their own writes. */
export class Pending<V> {
  readonly #values = new Map<string, Held<V>>();
  /** The values of one transaction: they are released together. */
  #batch: Held<V>[] = [];
  #batchWritten: Promise<void> | undefined;

  /** The newest uncommitted value, wrapped because it may itself say "nothing". */
  get(key: string): { readonly value: V } | undefined {
    return this.#values.get(key);
  }

  /** Holds a value until its write has ended, well or not, unless a newer one has taken its place. */
  hold(key: string, value: V, written: Promise<void>): void {
    const held = { key, value };
    this.#values.set(key, held);
    if (written !== this.#batchWritten) this.#begin(written);
    this.#batch.push(held);
  }

  #begin(written: Promise<void>): void {
    const batch: Held<V>[] = [];
    this.#batch = batch;
    this.#batchWritten = written;
    const release = () => {
      if (this.#batch === batch) this.#batchWritten = undefined;
      for (const held of batch) {
        if (this.#values.get(held.key) === held) this.#values.delete(held.key);
      }
    };
    written.then(release, release);
  }
}
