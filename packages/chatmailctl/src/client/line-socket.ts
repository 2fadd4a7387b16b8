/**
 * [io] A connection that speaks lines, plain or under TLS, for the raw SMTP and IMAP clients of the demo, the tests and
 * `status --probe`. Certificates are checked where a name is given: a relay without one signs its own. Lines are bytes seen as
 * Latin-1.
 */

import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How long a reply may take. Dovecot waits two seconds before it refuses a password. */
const REPLY_MS = 30_000;

export interface LineSocketOptions {
  readonly host?: string | undefined;
  readonly tls: boolean;
  readonly certificateFor?: string | undefined;
}

export class LineSocket {
  #socket: Socket;
  #buffered = '';
  #waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  /** @param options `certificateFor`: the name the server's certificate must be for, by somebody this machine trusts */
  static async connect(port: number, options: LineSocketOptions): Promise<LineSocket> {
    const { host = '127.0.0.1', certificateFor: servername } = options;
    const trust = servername === undefined ? { rejectUnauthorized: false } : { servername };
    const socket = options.tls ? connectTls({ host, port, ...trust }) : connectPlain({ host, port });
    socket.setNoDelay(true);
    await once(socket, options.tls ? 'secureConnect' : 'connect');
    return new LineSocket(socket);
  }

  #listen(): void {
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text) => {
      this.#buffered += text;
      this.#deliver();
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  #deliver(): void {
    if (!this.#waiting) return;
    const end = this.#buffered.indexOf('\n');
    if (end < 0) return;
    const line = this.#buffered.slice(0, end).replace(/\r$/, '');
    this.#buffered = this.#buffered.slice(end + 1);
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(line);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }

  /** The next line without its end. Rejects when the connection ends or nothing comes for 30 s. */
  async readLine(): Promise<string> {
    const line = new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    this.#deliver();
    if (this.#waiting && this.#failure) this.#fail(this.#failure);
    const timer = setTimeout(() => this.#fail(new Error(`no reply within ${REPLY_MS / 1000} s`)), REPLY_MS);
    try {
      return await line;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends text as it is, each character one byte. */
  write(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Goes on under TLS, after the server has agreed to it. */
  async startTls(): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners();
    const secured = connectTls({ socket: plain, rejectUnauthorized: false });
    await once(secured, 'secureConnect');
    this.#socket = secured;
    this.#listen();
  }

  /** The protocol version of TLS, such as `TLSv1.3`; `undefined` without TLS. */
  get tlsVersion(): string | undefined {
    return 'getProtocol' in this.#socket
      ? ((this.#socket as import('node:tls').TLSSocket).getProtocol() ?? undefined)
      : undefined;
  }

  close(): void {
    this.#failure ??= new Error('closed');
    this.#socket.destroy();
  }
}
