/**
 * [io] Sockets for dict sessions: one session per connection, limits, idle timeout, orderly end.
 * Every Dovecot process (imap, lmtp, auth) has a connection of its own, mostly for one command: connections come in bursts.
 * The caller makes `server` listen, with a deep backlog. Omits logging: the callbacks say what happened, without any
 * byte of the peer.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { withDeadline } from './deadline.ts';
import { DictProtocolError } from './errors.ts';
import type { DictHandler } from './handler.ts';
import { DictSession, type DictSink, type SessionOptions } from './session.ts';
import { withTiming } from './timing.ts';

export interface DictServerOptions extends SessionOptions {
  /** Time for an answer or the next row, ms. Dovecot logs the query, a password on passdb, from 5,000 on. Default 4,500. */
  readonly handlerTimeoutMs?: number;
  /**
   * Time without a byte in either direction after which a connection is closed, ms. Longer than Dovecot's own
   * `idle_msecs`, else the two ends race. Default 120,000.
   */
  readonly idleTimeoutMs?: number;
  /** Connections served at once; more wait, connected and unread, for a place. Default 2,000. */
  readonly maxConnections?: number;
  /** Connections that may wait for a place; beyond that they are closed at once, `onDrop`. Default 2,000. */
  readonly maxWaiting?: number;
  /** A command was answered, `ms` after it had been read: by its handler, or by the error reply. */
  readonly onAnswered?: (ms: number) => void;
  /** A peer broke the protocol; its connection has been closed. */
  readonly onProtocolError?: (error: DictProtocolError) => void;
  /** A connection was closed unserved because `maxConnections` + `maxWaiting` were reached. */
  readonly onDrop?: () => void;
}

/** A dict server that does not listen yet. */
export interface DictServer {
  readonly server: Server;
  /** Connections open now, those waiting for a place included. */
  connections(): number;
  /**
   * Stops accepting and resolves when all connections have ended. An idle one is closed at once, one with a command or
   * transaction under way after it, the rest after `deadlineMs`.
   */
  drain(deadlineMs: number): Promise<void>;
}

const DEFAULTS = { handlerTimeoutMs: 4500, idleTimeoutMs: 120_000, maxConnections: 2000, maxWaiting: 2000 };

export function createDictServer(handler: DictHandler, options: DictServerOptions = {}): DictServer {
  const { handlerTimeoutMs, idleTimeoutMs, maxConnections, maxWaiting } = { ...DEFAULTS, ...options };
  const deadlineHandler = withDeadline(handler, handlerTimeoutMs);
  const { onAnswered } = options;
  const limitedHandler = onAnswered
    ? withTiming(deadlineHandler, () => performance.now(), onAnswered)
    : deadlineHandler;
  const served = new Set<Connection>();
  const waiting = new Set<Socket>();
  let draining = false;

  const serve = (socket: Socket) => {
    const connection = new Connection(socket, limitedHandler, options, idleTimeoutMs);
    served.add(connection);
    socket.once('close', () => {
      served.delete(connection);
      const [next] = waiting;
      if (next !== undefined && waiting.delete(next)) serve(next);
    });
    if (draining) connection.endWhenIdle();
  };

  // Half-open: a client that ends its side after the last command still gets the answers.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    // Broken connections need no handling of their own: 'close' follows.
    socket.on('error', () => {});
    if (served.size < maxConnections) {
      serve(socket);
    } else {
      waiting.add(socket);
      socket.once('close', () => waiting.delete(socket));
    }
  });
  // libuv accepts as long as a handle listens, and closing it loses the kernel's queue. Waiting unread is what the peer would
  // see of a server that does not accept; only `maxWaiting` stands for the kernel's backlog.
  server.maxConnections = maxConnections + maxWaiting;
  server.on('drop', () => options.onDrop?.());

  return {
    server,
    connections: () => served.size + waiting.size,
    async drain(deadlineMs) {
      draining = true;
      const cutOff = setTimeout(() => {
        for (const socket of waiting) socket.destroy();
        // Else the ends of the served ones would give them a place.
        waiting.clear();
        for (const connection of served) connection.destroy();
      }, deadlineMs);
      for (const connection of served) connection.endWhenIdle();
      await new Promise((resolve) => server.close(resolve));
      clearTimeout(cutOff);
      // The server may know of the end of a socket a moment before the socket says so.
      await Promise.all([...served].map((connection) => connection.closed));
    },
  };
}

/** A session and its socket. */
class Connection implements DictSink {
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #session: DictSession;
  readonly #onProtocolError: ((error: DictProtocolError) => void) | undefined;
  /** The session has lines to answer; the socket is paused meanwhile. */
  #busy = false;
  /** The peer does not read its replies: silence is its fault although the session is busy. */
  #stalled = false;
  #inputEnded = false;
  #ending = false;

  constructor(socket: Socket, handler: DictHandler, options: DictServerOptions, idleTimeoutMs: number) {
    this.#socket = socket;
    this.#session = new DictSession(handler, this, options);
    this.#onProtocolError = options.onProtocolError;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.once('end', () => {
      this.#inputEnded = true;
      if (!this.#busy) this.#finish();
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#session.end();
        resolve();
      });
    });
    socket.setTimeout(idleTimeoutMs);
    // Not as the callback of setTimeout, which is called once: the first silence may be ours, the second the peer's.
    socket.on('timeout', () => {
      if (!this.#busy || this.#stalled) socket.destroy();
    });
    socket.resume();
  }

  write(bytes: Buffer): boolean {
    return this.#socket.writable ? this.#socket.write(bytes) : true;
  }

  async ready(): Promise<void> {
    const socket = this.#socket;
    if (socket.writable && socket.writableNeedDrain) {
      this.#stalled = true;
      await new Promise<void>((resolve) => {
        const go = () => {
          // Both: a connection that stalls often must not collect listeners.
          socket.off('drain', go).off('close', go);
          resolve();
        };
        socket.on('drain', go).on('close', go);
      });
      this.#stalled = false;
    }
    // Even where nothing has to be waited for: other connections get their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Closes once no command or transaction is under way. What the kernel already holds is read first. */
  endWhenIdle(): void {
    this.#ending = true;
    setImmediate(() => this.#endIfIdle());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    let rest: Promise<void> | undefined;
    try {
      rest = this.#session.receive(chunk);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (rest === undefined) {
      if (this.#ending) this.#endIfIdle();
      return;
    }
    this.#busy = true;
    this.#socket.pause();
    rest.then(
      () => this.#resume(),
      (error: unknown) => this.#fail(error),
    );
  }

  #resume(): void {
    this.#busy = false;
    if (this.#inputEnded) {
      this.#finish();
    } else {
      this.#socket.resume();
      if (this.#ending) this.endWhenIdle();
    }
  }

  #endIfIdle(): void {
    if (this.#session.idle) this.#finish();
  }

  #finish(): void {
    this.#session.end();
    // Sends what is still to be sent, then closes both directions.
    this.#socket.destroySoon();
  }

  /** Only a protocol error is the peer's; anything else is a bug and shall end the process. */
  #fail(error: unknown): void {
    this.#busy = false;
    this.#finish();
    if (!(error instanceof DictProtocolError)) throw error;
    this.#onProtocolError?.(error);
  }
}
