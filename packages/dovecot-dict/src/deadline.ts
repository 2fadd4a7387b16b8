/**
 * [io] A time limit for handlers: a late answer becomes the handler error `timeout`, so that every command is answered.
 * Source: dovecot 2.3.19 src/lib-dict/dict-client.c DICT_CLIENT_DEFAULT_WARN_SLOW_MSECS: from 5 s on Dovecot logs the query
 * of a slow lookup, and a passdb query holds a password. Omits cancelling: the handler runs on and its result is dropped.
 */
import { DictHandlerError } from './errors.ts';
import type { DictHandler, DictRows } from './handler.ts';
import type { DictRow } from './reply.ts';

/** Gives each answer, and each row of an iteration, `timeoutMs` to come. Answers at once stay as they are. */
export function withDeadline(handler: DictHandler, timeoutMs: number): DictHandler {
  const { lookup, iterate, commit } = handler;
  return {
    ...(lookup && { lookup: (command, peer) => limit(lookup.call(handler, command, peer), timeoutMs) }),
    ...(commit && { commit: (transaction, peer) => limit(commit.call(handler, transaction, peer), timeoutMs) }),
    ...(iterate && {
      iterate: async (command, peer) => {
        const rows = await limit(iterate.call(handler, command, peer), timeoutMs);
        return 'kind' in rows ? rows : limitRows(rows, timeoutMs);
      },
    }),
  };
}

function limit<T>(answer: T | Promise<T>, timeoutMs: number): T | Promise<T> {
  if (!(answer instanceof Promise)) return answer;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new DictHandlerError('timeout', `the handler took longer than ${timeoutMs} ms`));
    }, timeoutMs);
    // The connection keeps the process running; its handler's time limit need not.
    timer.unref();
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

async function* limitRows(rows: DictRows, timeoutMs: number): AsyncGenerator<DictRow> {
  const iterator = Symbol.asyncIterator in rows ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]();
  let done: boolean | undefined = false;
  try {
    for (;;) {
      const result = await limit(iterator.next(), timeoutMs);
      done = result.done;
      if (done) return;
      yield result.value;
    }
  } finally {
    // Not awaited: an async generator that hangs in `next` would make its `return` hang too.
    if (!done) Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
