/**
 * Tells how long each command took, from when it was decoded to when its answer was ready to be written.
 * Omits the clock: it is an argument. An iteration counts until its last row has been asked for.
 */
import type { DictHandler, DictRows } from './handler.ts';
import type { DictRow } from './reply.ts';

/** Wraps a handler: `onAnswered` gets the time of every command in ms, also of one whose handler threw. */
export function withTiming(handler: DictHandler, now: () => number, onAnswered: (ms: number) => void): DictHandler {
  const { lookup, iterate, commit } = handler;
  const timed = <T>(ask: () => T | Promise<T>): T | Promise<T> => {
    const began = now();
    const done = () => onAnswered(now() - began);
    let answer: T | Promise<T>;
    try {
      answer = ask();
    } catch (error) {
      done();
      throw error;
    }
    if (answer instanceof Promise) return answer.finally(done);
    done();
    return answer;
  };
  return {
    ...(lookup && { lookup: (command, peer) => timed(() => lookup.call(handler, command, peer)) }),
    ...(commit && { commit: (transaction, peer) => timed(() => commit.call(handler, transaction, peer)) }),
    ...(iterate && {
      iterate: async (command, peer) => {
        const began = now();
        const rows = await iterate.call(handler, command, peer);
        if ('kind' in rows) {
          onAnswered(now() - began);
          return rows;
        }
        return timedRows(rows, () => onAnswered(now() - began));
      },
    }),
  };
}

async function* timedRows(rows: DictRows, done: () => void): AsyncGenerator<DictRow> {
  try {
    yield* rows;
  } finally {
    done();
  }
}
