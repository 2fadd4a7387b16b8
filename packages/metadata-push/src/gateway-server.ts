/**
 * [io] The push gateway over HTTP: `POST /notify` with a device token as its body, `GET /healthz`. Relays of today understand 200 (done),
 * 410 (forget the token) and anything else (try again), so 410 is said only when the service says it, or nobody here could ever read the token.
 * Source: chatmail/notifiers src/server.rs `/notify`; RFC 9110 sections 10.2.3 and 15. Not here: TLS (a web server is in front),
 * `/register` (heartbeats, which clients gave up). No answer and no log line says anything about a token.
 *
 * `Push-Scope: token` marks an answer that is about this token, its service or its endpoint: a relay that knows the field lets only this
 * push wait. `Push-Scope: untried` says in addition that nothing was sent, which is to cost the push no attempt. Which service it is stays
 * hidden, because clients encrypt tokens to hide it from relays. `Push-Id` in a request names the push, so that its repetitions are known.
 */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type DaemonServer, httpDaemonServer, type Metrics } from '#core';
import { Debouncer } from './debouncer.ts';
import { LateAnswers } from './late-answers.ts';
import type { OpenedToken } from './providers/direct.ts';
import type { LaneName, PushOutcome } from './providers/provider.ts';
import { ServiceGate } from './service-gate.ts';
import { SourceLimit } from './source-limit.ts';
import { laneOf, MAX_TOKEN_LENGTH, type PlainToken } from './token-format.ts';

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
const PUSH_NAME = /^[\w-]{1,64}$/;

export interface GatewayServerOptions {
  /** Asked at every request, because a reload replaces it. */
  readonly direct: () => {
    open(token: string): Promise<OpenedToken>;
    deliver(token: PlainToken): Promise<PushOutcome>;
  };
  readonly metrics: Metrics;
  /** How much one relay may ask. */
  readonly sourceLimit?: SourceLimit;
  /** A service is being left alone after failures, or is back. */
  readonly onCircuit?: (service: LaneName, change: 'opened' | 'closed') => void;
  /** Requests being worked on at most. */
  readonly maxInFlight?: number;
  /** Pushes of one service on the wire at most. */
  readonly maxOnTheWire?: number;
  /** Longest wait for a service, ms. */
  readonly patienceMs?: number;
  /** A clock that only goes forward, ms. */
  readonly now?: () => number;
}

interface Answer {
  readonly status: number;
  readonly retryAfterS?: number;
  /** The methods there are, when it was another (RFC 9110 section 15.5.6). */
  readonly allow?: string;
  /** It says nothing about other tokens. */
  readonly scope?: 'token' | 'untried';
}

/** Makes the function that opens servers; all of them share debouncer and limits. */
export function createPushGateway(options: GatewayServerOptions): {
  open(): DaemonServer;
  isIdle(): boolean;
} {
  const { direct, metrics, maxInFlight = MAX_IN_FLIGHT } = options;
  const { sourceLimit = new SourceLimit(PER_SOURCE_RATE, PER_SOURCE_BURST) } = options;
  const requests = metrics.counter('chatmail_gateway_requests_total', 'Requests to push, by service and outcome.', [
    'service',
    'outcome',
  ]);
  /** Requests begun, and those of them whose token has come. */
  let open = 0;
  let inFlight = 0;
  metrics.gauge('chatmail_gateway_in_flight', 'Requests being worked on.', () => inFlight);
  const { now = () => performance.now(), patienceMs } = options;
  const debouncer = new Debouncer(now);
  const lateAnswers = new LateAnswers({ now, patienceMs });
  const gateOf = createGates(options, now);

  const push = async (token: string, pushName: string): Promise<Answer> => {
    const opened = await direct().open(token);
    if (!opened.ok) {
      requests.inc({ service: 'none', outcome: wordOf(opened.outcome) });
      return answerOf(opened.outcome);
    }
    const { id, token: plain } = opened;
    // Asked again, because a reload may have come meanwhile; what is sent now is sent by what there is now.
    const current = direct();
    const gate = gateOf(laneOf(plain), current);
    // The gate is behind the debouncer: requests that share a push share its place.
    const send = () => debouncer.push(id, () => gate.push(id, () => current.deliver(plain)));
    const { outcome, isShared } = await lateAnswers.push(`${id} ${pushName}`, send);
    requests.inc({ service: plain.service, outcome: isShared ? 'debounced' : wordOf(outcome) });
    return answerOf(outcome);
  };

  const notify = async (request: IncomingMessage): Promise<Answer> => {
    if (request.method !== 'POST') return { status: 405, allow: 'POST' };
    const waitMs = sourceLimit.take(sourceOf(request), now());
    if (waitMs > 0) return { status: 429, retryAfterS: Math.ceil(waitMs / 1000) };
    open++;
    try {
      const body = await readBody(request);
      if (body === 'too large') return { status: 413 };
      const token = body?.trim() ?? '';
      if (!/^[!-~]+$/.test(token)) return { status: 400 };
      // Not before: whoever sends no body must not take the places of others.
      if (inFlight >= maxInFlight) return { status: 503, retryAfterS: BUSY_RETRY_AFTER_S };
      inFlight++;
      return await push(token, pushNameOf(request)).finally(() => inFlight--);
    } finally {
      open--;
    }
  };

  const health = ({ method }: IncomingMessage): Answer =>
    method === 'GET' || method === 'HEAD' ? { status: 200 } : { status: 405, allow: 'GET, HEAD' };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url?.split('?', 1)[0];
    if (path === '/healthz' || path === '/') return reply(request, response, health(request));
    reply(request, response, path === '/notify' ? await notify(request) : { status: 404 });
  };

  return {
    isIdle: () => open === 0,
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

/** Makes the function that knows the gate of each service. Other providers, after a reload, begin with gates of their own. */
function createGates(options: GatewayServerOptions, now: () => number) {
  const { metrics, onCircuit, maxOnTheWire, patienceMs } = options;
  const changes = metrics.counter('chatmail_gateway_circuit_changes_total', 'Services left alone, and back.', [
    'service',
    'change',
  ]);
  let provider: unknown;
  let gates = new Map<LaneName, ServiceGate>();
  const tell = (service: LaneName, change: 'opened' | 'closed') => {
    changes.inc({ service, change });
    onCircuit?.(service, change);
  };
  return (service: LaneName, current: unknown): ServiceGate => {
    if (current !== provider) {
      const old = gates;
      provider = current;
      gates = new Map();
      for (const [name, gate] of old) if (gate.isOpen()) tell(name, 'closed');
    }
    let gate = gates.get(service);
    if (!gate) {
      const ours = gates;
      // What is still on the wire of the providers before tells nothing about those of now.
      const onChange = (change: 'opened' | 'closed') => void (ours === gates && tell(service, change));
      gate = new ServiceGate(service, { now, onChange, maxOnTheWire, patienceMs });
      gates.set(service, gate);
    }
    return gate;
  };
}

/** What an outcome is to a relay. */
function answerOf(outcome: PushOutcome): Answer {
  if (outcome.kind === 'delivered') return { status: 200 };
  if (outcome.kind === 'dead') return { status: 410 };
  if (outcome.reason === 'malformed') return { status: 400 };
  const fallbackS = outcome.reason === 'busy' ? BUSY_RETRY_AFTER_S : RETRY_AFTER_S;
  const retryAfterS = outcome.afterMs === undefined ? fallbackS : Math.max(1, Math.ceil(outcome.afterMs / 1000));
  const scope = outcome.reason === 'paused' || outcome.reason === 'busy' ? 'untried' : 'token';
  return { status: outcome.reason === 'rate-limited' ? 429 : 503, retryAfterS, scope };
}

function wordOf(outcome: PushOutcome): string {
  return outcome.kind === 'retry' ? outcome.reason : outcome.kind;
}

function reply(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const { status, retryAfterS, allow, scope } = answer;
  if (response.headersSent || response.destroyed) return;
  const text = `${status === 200 ? 'OK' : status}\n`;
  const headers: Record<string, string | number> = { 'content-type': 'text/plain', 'content-length': text.length };
  if (retryAfterS !== undefined) headers['retry-after'] = retryAfterS;
  if (allow !== undefined) headers.allow = allow;
  if (scope) headers['push-scope'] = scope;
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

/** What the relay calls the push; empty when it does not say. */
function pushNameOf({ headers }: IncomingMessage): string {
  const name = headers['push-id'];
  return typeof name === 'string' && PUSH_NAME.test(name) ? name : '';
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
