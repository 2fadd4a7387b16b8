/**
 * The milter on its sockets: accepts connections, limits them, times them out, and stops gracefully. [io]
 *
 * A connection above the limit is accepted but not read from until another ends: to the MTA that is a milter slow to answer,
 * not one that failed. Leaving it in the kernel's queue is not possible: libuv accepts as long as the handle listens, a
 * listening handle cannot be stopped and started (uv_read_stop does nothing to one), and closing it loses its queue. What
 * differs: a waiting connection dies with the process, and is closed at `drain`; beyond MAX_WAITING it is not kept.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { Connection, type Timeouts } from './connection.ts';
import { DEFAULTS, type MilterServerOptions } from './options.ts';

/** Connections left waiting above the limit, each a socket and no more; further ones are closed. */
const MAX_WAITING = 1024;
/** Coarsest clock of the time limits, ms. One timer serves all connections, and none runs without any. */
const MAX_SWEEP_MS = 1000;

/**
 * Serves the milter protocol on one listening socket: `new MilterServer(options).server.listen(...)`. It has the shape a
 * daemon offers its servers in: `server`, `connections()`, `drain()`.
 */
export class MilterServer {
  /** Not listening yet, unless the caller's own one is. */
  readonly server: Server;
  readonly #options: MilterServerOptions;
  readonly #maxConnections: () => number;
  readonly #timeouts: Timeouts;
  readonly #active = new Set<Connection>();
  readonly #waiting = new Set<Connection>();
  #sweeper: NodeJS.Timeout | undefined;
  #draining = false;
  readonly #onEmpty: (() => void)[] = [];

  /** @param server one of the caller's own, listening or not; it needs no particular options */
  constructor(options: MilterServerOptions, server: Server = createServer({ pauseOnConnect: true })) {
    const { maxConnections, idleTimeoutMs, readTimeoutMs, answerTimeoutMs, progressIntervalMs } = options;
    this.#options = options;
    this.#maxConnections =
      typeof maxConnections === 'function' ? maxConnections : () => maxConnections ?? DEFAULTS.maxConnections;
    this.#timeouts = {
      idleTimeoutMs: idleTimeoutMs ?? DEFAULTS.idleTimeoutMs,
      readTimeoutMs: readTimeoutMs ?? DEFAULTS.readTimeoutMs,
      answerTimeoutMs: answerTimeoutMs ?? DEFAULTS.answerTimeoutMs,
      progressIntervalMs: progressIntervalMs ?? DEFAULTS.progressIntervalMs,
    };
    this.server = server;
    server.on('connection', (socket) => this.#accept(socket));
    // Errors of listening itself are for whoever makes the server listen.
    const watch = () => server.on('error', (error) => options.onError(error, { kind: 'socket' }));
    if (server.listening) watch();
    else server.once('listening', watch);
  }

  /** Connections open now, those that wait included. */
  connections(): number {
    return this.#active.size + this.#waiting.size;
  }

  /** Connections waiting because of `maxConnections`. */
  waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Stops accepting, ends connections that have no message in flight, lets the others finish theirs, and cuts off after
   * `deadlineMs` those that have not. Resolves when no connection is left; never rejects.
   */
  drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    this.server.close();
    for (const connection of this.#waiting) connection.destroy();
    for (const connection of this.#active) connection.drain();
    if (this.connections() === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const deadline = setTimeout(() => {
        for (const connection of this.#active) connection.destroy();
      }, deadlineMs);
      this.#onEmpty.push(() => {
        clearTimeout(deadline);
        resolve();
      });
    });
  }

  #accept(socket: Socket): void {
    if (this.#draining || this.#waiting.size >= MAX_WAITING) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#options, () => this.#ended(connection));
    if (this.#active.size < this.#maxConnections()) this.#start(connection);
    else this.#waiting.add(connection);
  }

  #start(connection: Connection): void {
    this.#active.add(connection);
    const { idleTimeoutMs, readTimeoutMs, answerTimeoutMs, progressIntervalMs } = this.#timeouts;
    const shortest = Math.min(idleTimeoutMs, readTimeoutMs, answerTimeoutMs, progressIntervalMs);
    this.#sweeper ??= setInterval(() => this.#sweep(), Math.min(MAX_SWEEP_MS, Math.ceil(shortest / 4)));
    connection.begin();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#active) connection.checkTimes(now, this.#timeouts);
  }

  #ended(connection: Connection): void {
    this.#waiting.delete(connection);
    this.#active.delete(connection);
    const [next] = this.#waiting;
    if (next !== undefined && !this.#draining && this.#active.size < this.#maxConnections()) {
      this.#waiting.delete(next);
      this.#start(next);
    }
    if (this.#active.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    if (this.connections() === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }
}
