/**
 * [io] HTTP over a socket that mostly nobody talks to: `node:http` costs 16 MB, so it is loaded with the first connection.
 * Until then a plain server holds the socket; connections are handed over. Bounds: size of a request, time to send it,
 * idle time, connections.
 */

import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { DaemonServer, Logger } from '#core';
import type { HttpHandler, HttpReply } from './http-handler.ts';

/** Longest body, bytes: a name and a password of 1,024 bytes, all of them escaped, fit four times. */
const MAX_BODY_BYTES = 16_384;
/** Connections at once: Dovecot's auth workers, or a busy web server. More are closed at once. */
const MAX_CONNECTIONS = 1000;
/** Time a request may take to arrive, ms. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Time a connection may wait for its next request, ms. Dovecot notices when we close first. */
const KEEP_ALIVE_MS = 60_000;
const CHECK_INTERVAL_MS = 5000;

/** Makes a server that does not listen yet. `listener` is what the log calls it. */
export function createHttpServer(handler: HttpHandler, log: Logger, listener: string): DaemonServer {
  return new LazyHttpServer(handler, log, listener);
}

class LazyHttpServer implements DaemonServer {
  readonly server: Server;
  readonly #handler: HttpHandler;
  readonly #log: Logger;
  readonly #listener: string;
  readonly #sockets = new Set<Socket>();
  #http: Promise<HttpServer> | undefined;
  #isDraining = false;

  constructor(handler: HttpHandler, log: Logger, listener: string) {
    this.#handler = handler;
    this.#log = log;
    this.#listener = listener;
    this.server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      this.#http ??= this.#load();
      this.#http.then((http) => {
        http.emit('connection', socket);
        socket.resume();
      });
    });
    this.server.maxConnections = MAX_CONNECTIONS;
    this.server.on('drop', () => log.warn('too many connections: one was closed unserved', { listener }));
  }

  connections(): number {
    return this.#sockets.size;
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    const cutOff = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, deadlineMs);
    const closed = new Promise((resolve) => this.server.close(resolve));
    (await this.#http)?.closeIdleConnections();
    await closed;
    clearTimeout(cutOff);
  }

  async #load(): Promise<HttpServer> {
    const { createServer } = await import('node:http');
    const options = {
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
    };
    const http = createServer(options, (request, response) => {
      this.#answer(request, response).catch((error) => {
        // Also a peer that went away in the middle.
        this.#log.warn('an HTTP request failed', { listener: this.#listener, error });
        response.destroy();
      });
    });
    // It never listens itself, but it is this event that makes it watch over its connections.
    http.emit('listening');
    return http;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const reply = await this.#ask(request, body);
    // What was not read is in the way of the next request.
    if (!body || this.#isDraining) response.setHeader('connection', 'close');
    response.writeHead(reply.status, { 'content-type': 'text/plain', ...reply.headers });
    if (typeof reply.body === 'object') await pipeline(Readable.from(reply.body), response);
    else response.end(reply.body);
  }

  async #ask(request: IncomingMessage, body: Buffer | undefined): Promise<HttpReply> {
    // Dovecot, which takes us for a proxy, names the whole URL.
    const target = (request.url ?? '').replace(/^https?:\/\/[^/]*/, '');
    const [path = '', ...query] = target.split('?');
    try {
      const { method = '', headers } = request;
      return await this.#handler({ method, path, query: query.join('?'), headers, body });
    } catch (error) {
      this.#log.error('an HTTP request failed', { listener: this.#listener, error });
      return { status: 503 };
    }
  }
}

/** The whole body, or undefined when it is too long. One that is longer than it said ends the connection. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
