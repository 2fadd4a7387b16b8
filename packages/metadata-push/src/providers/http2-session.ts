/**
 * [io] One HTTP/2 connection to a push service (RFC 9113): streams up to the peer's limit, and a look at whether the peer is still
 * there while answers are due, and before the first request after a rest. Source for the ways a connection ends: RFC 9113 sections 5.4 and 6.8, Node's documentation of http2.
 */

import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** The body of an answer is a short JSON text; more is cut off. */
const MAX_BODY_BYTES = 16 * 1024;
/** While answers are due and nothing comes, the peer is asked by a PING; three times this without a sign of life ends the connection. */
export const SILENCE_MS = 3000;
/** After a rest of this long the peer is asked by a PING before anything is sent. */
export const REST_MS = 10_000;
/** A peer that does not answer that PING in this time is gone. Several round trips to anywhere, a packet lost included. */
export const PONG_MS = 1500;

/** Times to notice a connection that died without a word. */
export interface Liveness {
  /** See {@link SILENCE_MS}. */
  readonly silenceMs?: number | undefined;
  /** See {@link REST_MS}. */
  readonly restMs?: number | undefined;
  /** See {@link PONG_MS}. */
  readonly pongMs?: number | undefined;
}

export interface Http2Request {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** The body of a success matters too. Else its status ends the request, and what follows is nobody's concern. */
  readonly wantsBody?: boolean;
}

export interface Http2Answer {
  readonly kind: 'answer';
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** `lost`: the connection ended first; the request may or may not have been seen. */
export type Http2Result = Http2Answer | { readonly kind: 'lost' } | { readonly kind: 'timeout' };

export class Http2Connection {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #onChange: () => void;
  readonly #silenceMs: number;
  readonly #restMs: number;
  readonly #pongMs: number;
  #streams = 0;
  #isUsable = true;
  /** When anything last came from the peer, or was last due. */
  #heardAt = performance.now();
  /** The PING after a rest has not been answered yet. */
  #isChecking = false;
  /** That answer has just come. */
  #isFresh = false;
  #watch: NodeJS.Timeout | undefined;

  /** @param onChange called when there may be room for another request, or when the connection has ended */
  constructor(session: ClientHttp2Session, socket: Socket, liveness: Liveness, onChange: () => void) {
    this.#session = session;
    this.#socket = socket;
    this.#silenceMs = liveness.silenceMs ?? SILENCE_MS;
    this.#restMs = liveness.restMs ?? REST_MS;
    this.#pongMs = liveness.pongMs ?? PONG_MS;
    this.#onChange = onChange;
    const end = () => {
      this.#isUsable = false;
      onChange();
    };
    session.on('remoteSettings', onChange);
    // Node lets the streams below the last stream ID of GOAWAY finish; new ones must go elsewhere.
    session.on('goaway', end);
    session.on('close', end);
  }

  /** True while new requests may be sent, now or when others have ended. */
  get isUsable(): boolean {
    return this.#isUsable && !this.#session.closed && !this.#session.destroyed;
  }

  /** True while it is being asked whether the peer is still there. */
  get isChecking(): boolean {
    return this.#isChecking && this.isUsable;
  }

  /** Requests that can be sent now. After a rest there are none at first: the peer is asked, and `onChange` called with its answer. */
  takeRoom(): number {
    if (!this.isUsable || this.#isChecking) return 0;
    if (this.#streams === 0 && !this.#isFresh && performance.now() - this.#heardAt >= this.#restMs) {
      this.#check();
      return 0;
    }
    // Apple allows one stream until it has seen a valid token, then 1,000.
    const limit = this.#session.remoteSettings?.maxConcurrentStreams ?? 100;
    return Math.max(limit - this.#streams, 0);
  }

  /** Sends a request. Never rejects. */
  send({ headers, body, wantsBody = false }: Http2Request, timeoutMs: number): Promise<Http2Result> {
    return new Promise((resolve) => {
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request(headers, { endStream: false });
      } catch {
        this.#isUsable = false;
        resolve({ kind: 'lost' });
        return;
      }
      this.#begin();
      let status: number | undefined;
      let retryAfter: string | undefined;
      let text = '';
      let isTimedOut = false;
      const timer = setTimeout(() => {
        isTimedOut = true;
        stream.destroy();
      }, timeoutMs);
      const settle = () => {
        if (status !== undefined) resolve({ kind: 'answer', status, retryAfter, body: text });
        else resolve({ kind: isTimedOut ? 'timeout' : 'lost' });
      };
      stream.on('response', (fields) => {
        this.#heardAt = performance.now();
        status = fields[':status'];
        retryAfter = fields['retry-after'];
        if (status === 200 && !wantsBody) settle();
      });
      stream.setEncoding('latin1');
      stream.on('data', (chunk: string) => {
        this.#heardAt = performance.now();
        text += chunk;
        if (text.length > MAX_BODY_BYTES) stream.destroy();
      });
      stream.on('error', () => {});
      stream.on('close', () => {
        clearTimeout(timer);
        this.#finish();
        settle();
      });
      stream.end(body);
    });
  }

  /** Ends the connection; requests on it end as `lost`. */
  destroy(): void {
    this.#isUsable = false;
    this.#socket.destroy();
  }

  #begin(): void {
    if (this.#streams++ > 0) return;
    this.#heardAt = performance.now();
    this.#watch = setInterval(() => this.#lookForLife(), this.#silenceMs);
  }

  #finish(): void {
    if (--this.#streams === 0) clearInterval(this.#watch);
    this.#onChange();
  }

  #check(): void {
    this.#isChecking = true;
    const timer = setTimeout(() => this.destroy(), this.#pongMs);
    const answered = (error: Error | null) => {
      clearTimeout(timer);
      if (error) return;
      this.#isChecking = false;
      this.#heardAt = performance.now();
      this.#isFresh = true;
      this.#onChange();
      this.#isFresh = false;
    };
    try {
      this.#session.ping(answered);
    } catch {
      clearTimeout(timer);
      this.destroy();
    }
  }

  /** A connection through a NAT that forgot it swallows requests without a word. */
  #lookForLife(): void {
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs < this.#silenceMs) return;
    if (silentMs >= 3 * this.#silenceMs) {
      this.destroy();
      return;
    }
    if (this.#session.destroyed) return;
    this.#session.ping((error) => {
      if (!error) this.#heardAt = performance.now();
    });
  }
}
