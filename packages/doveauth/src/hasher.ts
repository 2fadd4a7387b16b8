/**
 * [io] Password hashing off the event loop: a worker thread that starts with the first task and ends after idling. It alone
 * loads cryptography, so an idle daemon pays nothing for either. The queue is bounded in number and in time: Dovecot 2.3 logs
 * the password of a look-up that takes 5 s, so waiting any longer for an answer does harm, and "try again" is the better one.
 */

import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { HashAnswer, HashTask } from './hash-worker.ts';

export interface HasherLimits {
  /** Tasks that may wait or be computed at once. */
  readonly maxTasks: number;
  /** Longest wait before a task is begun, ms. */
  readonly maxWaitMs: number;
  /** Time without a task after which the thread ends, ms. */
  readonly idleMs: number;
}

const DEFAULT_LIMITS: HasherLimits = { maxTasks: 512, maxWaitMs: 3500, idleMs: 30_000 };

/** Tasks handed to the thread ahead of time, so that it never waits for a busy event loop between two. */
const PIPELINE = 2;

/**
 * `queue-full` and `queue-slow`: too much to do just now; `stopped`: the thread ended, or could not start; `unknown-hash`: what
 * is stored is no hash of ours.
 */
export type HasherErrorCode = 'queue-full' | 'queue-slow' | 'stopped' | 'unknown-hash';

export class HasherError extends Error {
  override readonly name = 'HasherError';
  readonly code: HasherErrorCode;

  constructor(code: HasherErrorCode, options?: ErrorOptions) {
    super(`password hashing: ${code}`, options);
    this.code = code;
  }
}

interface Job {
  readonly task: HashTask;
  readonly enqueuedAt: number;
  readonly resolve: (answer: string | boolean) => void;
  readonly reject: (error: HasherError) => void;
}

export class Hasher {
  readonly #limits: HasherLimits;
  #worker: Worker | undefined;
  #waiting: Job[] = [];
  #started: Job[] = [];
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(limits: Partial<HasherLimits> = {}) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  /** Tasks waiting or being computed. */
  get length(): number {
    return this.#waiting.length + this.#started.length;
  }

  /** True while the thread exists. */
  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  /**
   * Hashes a password with a fresh salt.
   *
   * @throws HasherError
   */
  async hash(password: Uint8Array): Promise<string> {
    return (await this.#run({ kind: 'hash', password: new Uint8Array(password) })) as string;
  }

  /**
   * Tells whether a stored hash is that of the password.
   *
   * @throws HasherError
   */
  async verify(password: Uint8Array, stored: string): Promise<boolean> {
    return (await this.#run({ kind: 'verify', password: new Uint8Array(password), stored })) as boolean;
  }

  /** Ends the thread; what it still had to do fails with `stopped`. */
  async close(): Promise<void> {
    await this.#stop();
  }

  #run(task: HashTask): Promise<string | boolean> {
    if (this.length >= this.#limits.maxTasks) return Promise.reject(new HasherError('queue-full'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, enqueuedAt: performance.now(), resolve, reject });
      this.#advance();
    });
  }

  #advance(): void {
    while (this.#started.length < PIPELINE) {
      const job = this.#waiting.shift();
      if (!job) break;
      if (performance.now() - job.enqueuedAt > this.#limits.maxWaitMs) {
        job.reject(new HasherError('queue-slow'));
        continue;
      }
      this.#started.push(job);
      this.#hand(job.task);
    }
    clearTimeout(this.#idleTimer);
    if (this.length === 0) this.#idleTimer = setTimeout(() => void this.#stop(), this.#limits.idleMs).unref();
  }

  #hand(task: HashTask): void {
    try {
      this.#worker ??= this.#start();
      // The password's buffer moves to the thread: no second copy of it stays here.
      this.#worker.postMessage(task, [task.password.buffer as ArrayBuffer]);
    } catch (error) {
      this.#fail(this.#worker, error);
    }
  }

  #start(): Worker {
    // Beside us, as source or compiled: `.ts` or `.js`.
    const worker = new Worker(new URL(`./hash-worker${extname(import.meta.url)}`, import.meta.url));
    worker.unref();
    worker.on('message', (answer: HashAnswer) => {
      // A thread that was given up may have had its last answer under way.
      if (worker !== this.#worker) return;
      const job = this.#started.shift();
      if (answer === null) job?.reject(new HasherError('unknown-hash'));
      else job?.resolve(answer);
      this.#advance();
    });
    worker.on('error', (error) => this.#fail(worker, error));
    worker.on('exit', () => this.#fail(worker));
    return worker;
  }

  async #stop(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    this.#fail(worker);
    await worker.terminate();
  }

  /** Gives up a thread. Its tasks fail rather than being repeated: one of them may be what ended it. */
  #fail(worker: Worker | undefined, cause?: unknown): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    clearTimeout(this.#idleTimer);
    const lost = [...this.#started, ...this.#waiting];
    this.#started = [];
    this.#waiting = [];
    for (const job of lost) job.reject(new HasherError('stopped', { cause }));
  }
}
