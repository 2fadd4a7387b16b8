/**
 * [io] The push gateway over HTTP: `POST /notify` with a device token as its body, `GET /healthz`. Relays of today understand 200 (done),
 * 410 (forget the token) and anything else (try again), so 410 is said only when the service says it, or nobody here could ever read the token.
 * Source: chatmail/notifiers src/server.rs `/notify`; RFC 9110 sections 10.2.3 and 15. Not here: TLS (a web server is in front),
 * `/register` (heartbeats, which clients gave up). No answer and no log line says anything about a token.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type DaemonServer, httpDaemonServer, type Metrics } from '#core';
import { Debouncer } from './debouncer.ts';
import type { OpenedToken } from './providers/direct.ts';
import type { PushOutcome } from './providers/provider.ts';
import { SourceLimit } from './source-limit.ts';
import type { PlainToken } from './token-format.ts';
import { MAX_TOKEN_LENGTH } from './token-format.ts';

/** Requests being worked on; beyond that the next are asked to come later. */
const MAX_IN_FLIGHT = 4096;
const MAX_CONNECTIONS = 8192;
/** Requests of one relay a second, and at once. */
const PER_SOURCE_RATE = 5000;
const PER_SOURCE_BURST = 20_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** Longer than the relays keep their idle connections, so that none is closed under a request. */
const KEEP_ALIVE_MS = 75_000;
/** What a relay is asked to wait when the service did not say, s. */
const RETRY_AFTER_S = 30;
const BUSY_RETRY_AFTER_S = 1;

export interface GatewayServerOptions {
  /** Asked at every request, because a reload replaces it. */
  readonly direct: () => {
    open(token: string): Promise<OpenedToken>;
    deliver(token: PlainToken): Promise<PushOutcome>;
  };
  readonly metrics: Metrics;
  /** How much one relay may ask. */
  readonly sourceLimit?: SourceLimit;
}

interface Answer {
  readonly status: number;
  readonly retryAfterS?: number;
}

/** Makes the function that opens servers; all of them share debouncer and limits. */
export function createPushGateway(options: GatewayServerOptions): {
  open(): DaemonServer;
  isIdle(): boolean;
} {
  const { direct, metrics, sourceLimit = new SourceLimit(PER_SOURCE_RATE, PER_SOURCE_BURST) } = options;
  const requests = metrics.counter('chatmail_gateway_requests_total', 'Requests to push, by service and outcome.', [
    'service',
    'outcome',
  ]);
  let inFlight = 0;
  metrics.gauge('chatmail_gateway_in_flight', 'Requests being worked on.', () => inFlight);
  const monotonic = () => performance.now();
  const debouncer = new Debouncer(monotonic);

  const push = async (token: string): Promise<Answer> => {
    const current = direct();
    const opened = await current.open(token);
    if (!opened.ok) {
      requests.inc({ service: 'none', outcome: wordOf(opened.outcome) });
      return answerOf(opened.outcome);
    }
    const { outcome, isShared } = await debouncer.push(opened.id, () => current.deliver(opened.token));
    requests.inc({ service: opened.token.service, outcome: isShared ? 'debounced' : wordOf(outcome) });
    return answerOf(outcome);
  };

  const notify = async (request: IncomingMessage): Promise<Answer> => {
    if (request.method !== 'POST') return { status: 405 };
    const waitMs = sourceLimit.take(sourceOf(request), monotonic());
    if (waitMs > 0) return { status: 429, retryAfterS: Math.ceil(waitMs / 1000) };
    if (inFlight >= MAX_IN_FLIGHT) return { status: 503, retryAfterS: BUSY_RETRY_AFTER_S };
    inFlight++;
    try {
      const body = await readBody(request);
      if (body === 'too large') return { status: 413 };
      const token = body?.trim() ?? '';
      return /^[!-~]+$/.test(token) ? await push(token) : { status: 400 };
    } finally {
      inFlight--;
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url?.split('?', 1)[0];
    if (path === '/healthz') return reply(request, response, { status: 200 });
    if (path === '/') return reply(request, response, { status: 200 });
    reply(request, response, path === '/notify' ? await notify(request) : { status: 404 });
  };

  return {
    isIdle: () => inFlight === 0,
    open() {
      const server = createServer(
        { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS },
        (request, response) => {
          handle(request, response).catch(() => reply(request, response, { status: 503, retryAfterS: RETRY_AFTER_S }));
        },
      );
      server.maxConnections = MAX_CONNECTIONS;
      return httpDaemonServer(server);
    },
  };
}

/** What an outcome is to a relay. */
function answerOf(outcome: PushOutcome): Answer {
  if (outcome.kind === 'delivered') return { status: 200 };
  if (outcome.kind === 'dead') return { status: 410 };
  if (outcome.reason === 'malformed') return { status: 400 };
  const fallbackS = outcome.reason === 'busy' ? BUSY_RETRY_AFTER_S : RETRY_AFTER_S;
  const retryAfterS = outcome.afterMs === undefined ? fallbackS : Math.max(1, Math.ceil(outcome.afterMs / 1000));
  return { status: outcome.reason === 'rate-limited' ? 429 : 503, retryAfterS };
}

function wordOf(outcome: PushOutcome): string {
  return outcome.kind === 'retry' ? outcome.reason : outcome.kind;
}

function reply(request: IncomingMessage, response: ServerResponse, { status, retryAfterS }: Answer): void {
  if (response.headersSent || response.destroyed) return;
  const text = `${status === 200 ? 'OK' : status}\n`;
  const headers: Record<string, string | number> = { 'content-type': 'text/plain', 'content-length': text.length };
  if (retryAfterS !== undefined) headers['retry-after'] = retryAfterS;
  // What is left of a request that was not read would be taken for the next one.
  const hasBody = 'content-length' in request.headers || 'transfer-encoding' in request.headers;
  if (hasBody && !request.complete) headers.connection = 'close';
  response.writeHead(status, headers).end(text);
}

/** Whose bucket counts: behind a web server, the address that one adds last to X-Forwarded-For. Kept in memory only. */
function sourceOf(request: IncomingMessage): string {
  const peer = request.socket.remoteAddress ?? '';
  const isOurWebServer = peer === '' || peer === '::1' || /^(?:::ffff:)?127\./.test(peer);
  const forwarded = isOurWebServer ? request.headers['x-forwarded-for'] : undefined;
  return typeof forwarded === 'string'
    ? forwarded
        .slice(forwarded.lastIndexOf(',') + 1)
        .trim()
        .slice(0, 64)
    : peer;
}

/** The body, or why there is none: `undefined` when the peer is gone. */
function readBody(request: IncomingMessage): Promise<string | 'too large' | undefined> {
  return new Promise((resolve) => {
    let text = '';
    request.setEncoding('latin1');
    request.on('data', (chunk: string) => {
      text += chunk;
      if (text.length <= MAX_TOKEN_LENGTH) return;
      request.removeAllListeners('data');
      request.pause();
      resolve('too large');
    });
    request.on('end', () => resolve(text));
    request.on('close', () => resolve(undefined));
    request.on('error', () => resolve(undefined));
  });
}
