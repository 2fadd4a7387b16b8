/**
 * [io] POST over HTTP/1.1 with TLS, for the services that are many hosts or few pushes: kept-alive connections, one time limit for
 * everything, answers read up to a bound, no redirects (RFC 9110 section 15.4 leaves following them to the client).
 */

import type { Agent, RequestOptions } from 'node:https';
import type { LookupFunction } from 'node:net';

/** The body of an answer is a short text; more is not read. */
const MAX_BODY_BYTES = 16 * 1024;
const IDLE_MS = 30_000;

export interface HttpsClientOptions {
  /** From asking to the end of the answer, waiting for a connection included. */
  readonly timeoutMs: number;
  readonly maxSocketsPerHost: number;
  readonly maxSockets: number;
  /** Resolves host names, instead of the system's way. Not asked about IP addresses. */
  readonly lookup?: LookupFunction;
  /** Authorities, for tests. */
  readonly ca?: string;
}

export type HttpsResult =
  | { readonly kind: 'answer'; readonly status: number; readonly retryAfter: string | undefined; readonly body: string }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'lost' };

export class HttpsClient {
  readonly #options: HttpsClientOptions;
  #loading: Promise<{ agent: Agent; request: typeof import('node:https').request }> | undefined;

  constructor(options: HttpsClientOptions) {
    this.#options = options;
  }

  /** Posts. Never rejects. What is sent may arrive twice: a kept-alive connection that ends under a request is not waited for. */
  async post(
    url: URL,
    headers: Readonly<Record<string, string | number>>,
    body: string | Uint8Array,
  ): Promise<HttpsResult> {
    const deadline = performance.now() + this.#options.timeoutMs;
    const first = await this.#attempt(url, headers, body, deadline);
    const result = first === 'stale' ? await this.#attempt(url, headers, body, deadline) : first;
    return result === 'stale' ? { kind: 'lost' } : result;
  }

  /** Ends all connections; what is on the wire ends as `lost`. */
  close(): void {
    void this.#loading?.then(({ agent }) => agent.destroy());
  }

  /** `stale`: the server had closed the connection meanwhile, which nobody could know. */
  async #attempt(
    url: URL,
    headers: Readonly<Record<string, string | number>>,
    body: string | Uint8Array,
    deadline: number,
  ): Promise<HttpsResult | 'stale'> {
    this.#loading ??= this.#load();
    const { agent, request } = await this.#loading;
    const { lookup, ca } = this.#options;
    const options: RequestOptions = {
      method: 'POST',
      headers: { ...headers },
      agent,
      ...(lookup && { lookup }),
      ...(ca && { ca }),
    };
    return new Promise((resolve) => {
      const outgoing = request(url, options);
      let answer: { status: number; retryAfter: string | undefined } | undefined;
      let text = '';
      let isTimedOut = false;
      const timer = setTimeout(() => {
        isTimedOut = true;
        outgoing.destroy();
      }, deadline - performance.now());
      const settle = () => {
        clearTimeout(timer);
        if (answer) resolve({ kind: 'answer', ...answer, body: text });
        else if (isTimedOut) resolve({ kind: 'timeout' });
        else resolve(outgoing.reusedSocket ? 'stale' : { kind: 'lost' });
      };
      outgoing.on('response', (response) => {
        answer = { status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] };
        response.setEncoding('latin1');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > MAX_BODY_BYTES) outgoing.destroy();
        });
        response.on('error', () => {});
        response.on('close', settle);
      });
      outgoing.on('error', () => {});
      outgoing.on('close', settle);
      outgoing.end(body);
    });
  }

  async #load() {
    const { Agent, request } = await import('node:https');
    const agent = new Agent({
      keepAlive: true,
      maxSockets: this.#options.maxSocketsPerHost,
      maxTotalSockets: this.#options.maxSockets,
      maxFreeSockets: 8,
      timeout: IDLE_MS,
      minVersion: 'TLSv1.2',
    });
    return { agent, request };
  }
}
