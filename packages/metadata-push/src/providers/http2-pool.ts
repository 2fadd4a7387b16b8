/**
 * [io] Requests to one push service over a few HTTP/2 connections. A request that a connection loses - GOAWAY, REFUSED_STREAM, a reset,
 * a restart of the peer: all routine with APNs - goes out again on another one, so callers must send only what may arrive twice.
 *
 *   send -> waiting -> connection with most room -> answer
 *              ^                |
 *              +----- lost -----+  (three times at most)
 */

import { isIP } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';

export type { Http2Result } from './http2-session.ts';

import { Http2Connection, type Http2Request, type Http2Result, type Liveness } from './http2-session.ts';

/** How often a request is sent again after it was lost. Beyond that the push queue's back-off is the better judge. */
const MAX_RESENDS = 3;
const CONNECT_TIMEOUT_MS = 10_000;
/** After a connection could not be made, requests fail at once for this long instead of each waiting for its own failure. */
const CONNECT_PAUSE_MS = 1000;

export interface Http2PoolOptions extends Liveness {
  /** `https://host:port`. */
  readonly origin: string;
  /** Connections at most. One carries 1,000 requests at once with most services. */
  readonly maxConnections: number;
  /** From handing a request over to the end of its answer. */
  readonly timeoutMs: number;
  /** Client certificate, and authorities for tests. */
  readonly tls?: Pick<ConnectionOptions, 'cert' | 'key' | 'pfx' | 'passphrase' | 'ca'> | undefined;
  /** Told why a connection could not be made; at most once a second. */
  readonly onConnectError: (error: unknown) => void;
}

interface Waiting {
  readonly request: Http2Request;
  readonly deadline: number;
  resends: number;
  readonly resolve: (result: Http2Result) => void;
}

export class Http2Pool {
  readonly #options: Http2PoolOptions;
  readonly #connections = new Set<Http2Connection>();
  readonly #sockets = new Set<TLSSocket>();
  #waiting: Waiting[] = [];
  #connecting = 0;
  #noConnectBefore = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  /** Sends a request. Never rejects. */
  send(request: Http2Request): Promise<Http2Result> {
    return new Promise((resolve) => {
      const deadline = performance.now() + this.#options.timeoutMs;
      this.#waiting.push({ request, deadline, resends: 0, resolve });
      this.#pump();
    });
  }

  /** Ends all connections; what is on the wire or waits ends as `lost`. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets) socket.destroy();
    this.#failWaiting();
  }

  #pump(): void {
    for (const connection of this.#connections) {
      if (!connection.isUsable) this.#connections.delete(connection);
    }
    while (this.#waiting.length > 0) {
      const connection = this.#roomiest();
      if (!connection) break;
      void this.#sendOn(connection, this.#waiting.shift()!);
    }
    if (this.#waiting.length === 0) return;
    if (this.#isClosed) this.#failWaiting();
    else if (this.#mayConnect()) void this.#connect();
  }

  #mayConnect(): boolean {
    if (this.#connecting > 0 || this.#connections.size >= this.#options.maxConnections) return false;
    // Soon it is known whether another is needed.
    return ![...this.#connections].some(({ isChecking }) => isChecking);
  }

  #roomiest(): Http2Connection | undefined {
    let best: Http2Connection | undefined;
    let most = 0;
    for (const connection of this.#connections) {
      const room = connection.takeRoom();
      if (room <= most) continue;
      best = connection;
      most = room;
    }
    return best;
  }

  async #sendOn(connection: Http2Connection, waiting: Waiting): Promise<void> {
    const leftMs = waiting.deadline - performance.now();
    if (leftMs <= 0) {
      waiting.resolve({ kind: 'timeout' });
      return;
    }
    const result = await connection.send(waiting.request, leftMs);
    if (result.kind !== 'lost' || this.#isClosed || waiting.resends >= MAX_RESENDS) {
      waiting.resolve(result);
      return;
    }
    waiting.resends++;
    this.#waiting.push(waiting);
    this.#pump();
  }

  async #connect(): Promise<void> {
    if (performance.now() < this.#noConnectBefore) {
      if (this.#connections.size === 0) this.#failWaiting();
      return;
    }
    this.#connecting++;
    try {
      this.#connections.add(await this.#open());
    } catch (error) {
      this.#noConnectBefore = performance.now() + CONNECT_PAUSE_MS;
      if (!this.#isClosed) this.#options.onConnectError(error);
      // With a connection left they wait for it.
      if (this.#connections.size === 0) this.#failWaiting();
    }
    this.#connecting--;
    this.#pump();
  }

  async #open(): Promise<Http2Connection> {
    const [{ connect }, tls] = await Promise.all([import('node:http2'), import('node:tls')]);
    const { origin } = this.#options;
    const { hostname, port } = new URL(origin);
    // Made here and not by http2, which misses the end of a socket that fails between handshake and first frame.
    const socket = tls.connect({
      ...this.#options.tls,
      host: hostname,
      port: port === '' ? 443 : Number(port),
      // A name only: TLS has none for an address (RFC 6066 section 3).
      ...(isIP(hostname) === 0 && { servername: hostname }),
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.2',
    });
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        clearTimeout(timer);
        reject(error);
        socket.destroy();
      };
      const timer = setTimeout(() => fail(connectError('ETIMEDOUT')), CONNECT_TIMEOUT_MS);
      socket.on('error', fail);
      socket.on('close', () => fail(connectError('ECONNRESET')));
      socket.once('secureConnect', () => {
        if (socket.alpnProtocol !== 'h2') return fail(connectError('ERR_NO_HTTP2'));
        // Push promises are of no use here (RFC 9113 section 6.6).
        const session = connect(this.#options.origin, {
          createConnection: () => socket,
          settings: { enablePush: false },
        });
        session.on('error', fail);
        // The peer's settings say how much may be sent at once; they are its first frame.
        session.once('remoteSettings', () => {
          clearTimeout(timer);
          resolve(new Http2Connection(session, socket, this.#options, () => this.#pump()));
        });
      });
    });
  }

  #failWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve({ kind: 'lost' });
  }
}

function connectError(code: string): Error {
  return Object.assign(new Error('no connection'), { code });
}
