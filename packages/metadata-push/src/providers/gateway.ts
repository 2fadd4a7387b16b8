/**
 * [io] Pushes through a push gateway: `POST` of the raw token over kept-alive HTTP/1.1 connections. 200 is delivered, 410 a dead
 * token, everything else is tried again. Source: notifiers/src/server.rs `/notify`, chatmaild/notifier.py.
 * Our own gateway understands `Push-Id`, which tells repetitions from pushes that announce something else, and answers with `Push-Scope`:
 * `token`, this token waits and no other; `untried`, and nothing was sent at all.
 * The HTTP client is undici's pool alone, loaded at first use: the whole of undici is 25 MB, which an idle relay does not need.
 */

import type { Dispatcher, Pool } from 'undici';
import type { Provider, PushOutcome, RetryReason } from './provider.ts';
import { pushName } from './push-name.ts';
import { parseRetryAfter } from './retry-after.ts';

/** From handing the request to the pool to the last byte of the answer. */
const TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** An idle connection is closed after this, unless the gateway's Keep-Alive says sooner. */
const KEEP_ALIVE_MS = 30_000;
/** The body of an answer means nothing; more than this and the connection is given up. */
const MAX_BODY_BYTES = 16 * 1024;

export interface GatewayOptions {
  /** The gateway's notify URL, http or https. */
  readonly url: string;
  /** Connections at most; each carries one push at a time. */
  readonly connections: number;
  readonly now: () => number;
  readonly timeoutMs?: number;
}

/** Makes the provider that posts to a push gateway. Nothing is loaded or connected before the first `prepare` or `send`. */
export function createGateway(options: GatewayOptions): Provider {
  const { origin, pathname, search } = new URL(options.url);
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const loadPool = async (): Promise<Pool> => {
    const PoolClass = await importPool();
    return new PoolClass(origin, {
      connections: options.connections,
      pipelining: 1,
      connectTimeout: Math.min(CONNECT_TIMEOUT_MS, timeoutMs),
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  };
  let loading: Promise<Pool> | undefined;
  const pool = () => (loading ??= loadPool());

  return {
    name: 'gateway',
    prepare: async () => void (await pool()),
    async send(token, pushId) {
      try {
        const dispatcher = await pool();
        return await post(dispatcher, { path: pathname + search, token, pushId }, timeoutMs, options.now);
      } catch {
        return { kind: 'retry', reason: 'error' };
      }
    },
    close: async () => (await loading)?.destroy(),
  };
}

async function importPool(): Promise<typeof Pool> {
  // Typed by the package's front door, which would load all of it.
  const path: string = 'undici/lib/dispatcher/pool.js';
  return ((await import(path)) as { default: typeof Pool }).default;
}

interface Post {
  readonly path: string;
  readonly token: string;
  readonly pushId: number | undefined;
}

function post(pool: Pool, request: Post, timeoutMs: number, now: () => number): Promise<PushOutcome> {
  const { path, token, pushId } = request;
  const headers = {
    'content-type': 'text/plain',
    ...(pushId !== undefined && { 'push-id': pushName(token, pushId) }),
  };
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | undefined;
    let outcome: PushOutcome = { kind: 'retry', reason: 'connection' };
    let bodyBytes = 0;
    let isOver = false;
    const queuedAt = performance.now();
    const end = (result: PushOutcome) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      resolve(result);
    };
    const giveUp = (result: PushOutcome) => {
      end(result);
      controller?.abort(new Error('given up'));
    };
    const timer = setTimeout(() => giveUp({ kind: 'retry', reason: 'timeout' }), timeoutMs);
    pool.dispatch(
      { method: 'POST', path, body: token, headers },
      {
        onRequestStart(started) {
          controller = started;
          // It waited long for a connection: cut short after being sent it would be sent twice, and its turn comes again.
          if (isOver || performance.now() - queuedAt > timeoutMs / 2) giveUp({ kind: 'retry', reason: 'timeout' });
        },
        onResponseStart(_, status, headers) {
          outcome = outcomeOf(status, headers, now);
        },
        onResponseData(_, chunk) {
          bodyBytes += chunk.length;
          if (bodyBytes > MAX_BODY_BYTES) giveUp(outcome);
        },
        onResponseEnd: () => end(outcome),
        // With a status in hand the answer is known, whatever became of the body.
        onResponseError: () => end(outcome),
      },
    );
  });
}

function outcomeOf(
  status: number,
  headers: Record<string, string | string[] | undefined>,
  now: () => number,
): PushOutcome {
  if (status === 200) return { kind: 'delivered' };
  if (status === 410) return { kind: 'dead' };
  const retryAfter = headers['retry-after'];
  const afterMs = typeof retryAfter === 'string' ? parseRetryAfter(retryAfter, now()) : undefined;
  const after = afterMs !== undefined && { afterMs };
  if (headers['push-scope'] === 'untried') return { kind: 'retry', reason: 'paused', ...after, scope: 'token' };
  return {
    kind: 'retry',
    reason: reasonOf(status),
    ...after,
    // What today's gateway says of a token it cannot read, and of nearly every failure of Apple's: of itself it says nothing by that.
    ...((headers['push-scope'] === 'token' || status === 500) && { scope: 'token' as const }),
  };
}

function reasonOf(status: number): RetryReason {
  // Of all that is asked, only the token differs: the others may be fine.
  if (status === 400 || status === 413) return 'malformed';
  return status >= 500 ? 'status-5xx' : status >= 400 ? 'status-4xx' : 'status-3xx';
}
