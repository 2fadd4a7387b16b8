/** A session without a socket: what it wrote, and handlers that answer when told to. */
import { setImmediate as turn } from 'node:timers/promises';
import type { DictHandler } from '#dovecot-dict';
import { DictSession, type SessionOptions } from '../src/session.ts';

export interface Harness {
  readonly session: DictSession;
  /** Pushes latin1 text; resolves when all of it has been answered. */
  send(text: string): Promise<void>;
  /** All replies so far, as latin1. */
  sent(): string;
  /** How often the sink was asked to wait, and whether it says that it is full. */
  sink: { waits: number; writes: number; isFull: boolean };
}

export function startSession(handler: DictHandler, options: SessionOptions = {}): Harness {
  const chunks: Buffer[] = [];
  const sink = { waits: 0, writes: 0, isFull: false };
  const session = new DictSession(
    handler,
    {
      write(bytes) {
        chunks.push(bytes);
        sink.writes++;
        return !sink.isFull;
      },
      async ready() {
        sink.waits++;
        await turn();
        sink.isFull = false;
      },
    },
    options,
  );
  return {
    session,
    sink,
    // Async, so that an error comes as a rejection whether or not the handler was synchronous.
    send: async (text) => session.receive(Buffer.from(text, 'latin1')),
    sent: () => Buffer.concat(chunks).toString('latin1'),
  };
}

/** A promise and the function that resolves it. */
export function deferred<T>(): { promise: Promise<T>; resolve(value: T): void; reject(error: unknown): void } {
  return Promise.withResolvers<T>();
}
