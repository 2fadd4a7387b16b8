/**
 * One MTA connection: socket, frame parser and session together, with back-pressure both ways. [io]
 * Holds at most one unfinished frame (64 KiB), the rest of one read (64 KiB), the macros (160 KiB, in truth one or two), and
 * replies up to the socket's high-water mark; nothing grows with a message. Works only as long as the turn of the event loop
 * has time (turn-budget.ts).
 */

import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { MilterProtocolError } from './errors.ts';
import { FrameReader, type FrameSink } from './frame.ts';
import type { MilterServerOptions } from './options.ts';
import { Rest } from './rest.ts';
import { MilterSession, type SessionOutput } from './session.ts';
import { openReading, type Reading } from './socket-reader.ts';
import { type TurnBudget, turnBudget } from './turn-budget.ts';

/** The times of {@link MilterServerOptions}, all set. */
export interface Timeouts {
  readonly idleTimeoutMs: number;
  readonly readTimeoutMs: number;
  readonly answerTimeoutMs: number;
  readonly progressIntervalMs: number;
}

export class Connection implements FrameSink, SessionOutput {
  readonly #options: MilterServerOptions;
  readonly #session: MilterSession;
  readonly #reader: FrameReader;
  readonly #reading: Reading;
  readonly #budget: TurnBudget;
  /** In the queue for the next turns of the event loop. */
  #queued = false;
  /** What the last read brought and could not be taken yet. */
  readonly #rest = new Rest();
  #draining = false;
  /** Replies wait in memory: the MTA does not read. */
  #isFull = false;
  /** When the MTA last sent something or the handler began to think, ms of performance.now(). */
  #waitingSince = 0;
  #lastProgress = 0;

  /** @param onClose called once, when the socket is closed */
  constructor(accepted: Socket, options: MilterServerOptions, onClose: () => void) {
    this.#options = options;
    this.#budget = options.turnBudget ?? turnBudget;
    this.#session = new MilterSession(options, this);
    this.#reader = new FrameReader(this);
    this.#reading = openReading(accepted, options.reading ?? 'shared', (bytes) => this.#read(bytes));
    this.#socket.on('error', (error) => options.onError(error, { kind: 'socket', queueId: this.#session.queueId }));
    this.#socket.on('drain', () => {
      this.#isFull = false;
      this.resume();
    });
    this.#socket.once('close', () => {
      this.#rest.clear();
      this.#session.close();
      onClose();
    });
  }

  get #socket(): Socket {
    return this.#reading.socket;
  }

  get #busy(): boolean {
    return this.#session.pending || this.#session.messageOpen;
  }

  /** Begins to read. */
  begin(): void {
    this.#waitingSince = performance.now();
    this.#reading.resume();
  }

  /** Goes on reading: first what is left of the last read, then the socket. */
  resume(): void {
    // The queue calls again.
    if (this.#queued) return;
    if (this.#session.pending || this.#isFull || this.#endIfDrained()) return;
    // Time the handler took, or other connections did, is not the MTA's silence.
    this.#waitingSince = performance.now();
    const rest = this.#rest.bytes;
    if (rest === undefined || this.#read(rest)) this.#reading.resume();
  }

  frame(command: number, data: Buffer): boolean {
    return this.#session.frame(command, data) && !this.#isFull && !this.#budget.isSpent();
  }

  body(piece: Buffer, last: boolean): boolean {
    return this.#session.body(piece, last) && !this.#isFull && !this.#budget.isSpent();
  }

  send(bytes: Buffer): void {
    if (this.#socket.writable) this.#isFull = !this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.destroySoon();
  }

  /** Ends as soon as no message is in flight. */
  drain(): void {
    this.#draining = true;
    this.#endIfDrained();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Looks whether somebody has been silent for too long; `now` as of performance.now(). */
  checkTimes(now: number, times: Timeouts): void {
    // It is the MTA that waits.
    if (this.#queued) return;
    const waited = now - this.#waitingSince;
    if (this.#session.pending) {
      if (waited >= times.answerTimeoutMs) {
        this.#session.expireAnswer();
      } else if (now - Math.max(this.#waitingSince, this.#lastProgress) >= times.progressIntervalMs) {
        this.#lastProgress = now;
        this.#session.sendProgress();
      }
    } else if (this.#reader.insideFrame || this.#session.expectsInput || this.#isFull) {
      if (waited >= times.readTimeoutMs) this.#fail(new MilterProtocolError('read_timeout', 'the MTA has stopped'));
    } else if (waited >= times.idleTimeoutMs) {
      this.#fail(new MilterProtocolError('idle_timeout', 'nothing from the MTA'));
    }
  }

  /** @returns whether more can be taken now */
  #read(bytes: Buffer): boolean {
    this.#waitingSince = performance.now();
    if (this.#socket.destroyed) return false;
    let taken = 0;
    try {
      if (this.#budget.admits()) taken = this.#reader.push(bytes);
    } catch (error) {
      this.#fail(error as Error);
      return false;
    }
    if (bytes === this.#rest.bytes) this.#rest.drop(taken);
    else if (taken < bytes.length) this.#rest.keep(bytes.subarray(taken));
    if (this.#endIfDrained() || this.#session.pending || this.#isFull) return false;
    if (this.#rest.bytes === undefined) return true;
    this.#queued = true;
    this.#budget.enqueue(() => {
      this.#queued = false;
      this.resume();
    });
    return false;
  }

  #endIfDrained(): boolean {
    // What has been read already, and waits for its turn, is in flight too.
    const drained = this.#draining && !this.#busy && this.#rest.bytes === undefined;
    if (drained) this.end();
    return drained;
  }

  #fail(error: Error): void {
    this.#options.onError(error, { kind: 'protocol', queueId: this.#session.queueId });
    this.destroy();
  }
}
