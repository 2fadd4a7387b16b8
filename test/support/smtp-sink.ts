/**
 * [io] For tests: another mail server's port 25, as strict or as careless about TLS as told, that keeps what it is given. It
 * shares no code with the servers it stands beside.
 */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type SecureContextOptions, TLSSocket } from 'node:tls';

export interface SunkMessage {
  readonly from: string;
  readonly to: readonly string[];
  /** Header and body with CRLF, dots undoubled, bytes as Latin-1. */
  readonly content: string;
  readonly helo: string;
  /** `none` in clear. */
  readonly tls: string;
}

export interface SinkOptions {
  readonly host: string;
  /** What its TLS is like; none: it knows no STARTTLS. */
  readonly tls?: SecureContextOptions;
}

export class SmtpSink {
  readonly messages: SunkMessage[] = [];
  /** How many have connected so far. */
  connections = 0;
  readonly #open = new Set<Socket>();
  readonly #server: Server;

  private constructor(options: SinkOptions) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#open.add(socket);
      socket.on('error', () => {}).on('close', () => this.#open.delete(socket));
      socket.write('220 sink ESMTP\r\n');
      this.#serve(socket, options, { tls: 'none' });
    });
  }

  static async start(options: SinkOptions): Promise<SmtpSink> {
    const sink = new SmtpSink(options);
    sink.#server.listen(25, options.host);
    await once(sink.#server, 'listening');
    return sink;
  }

  /** Hangs up on everybody, as servers do that restart. */
  hangUp(): void {
    for (const socket of this.#open) socket.destroy();
  }

  stop(): void {
    this.hangUp();
    this.#server.close();
  }

  #serve(socket: Socket, options: SinkOptions, { tls }: { tls: string }): void {
    let buffered = '';
    let data: string | undefined;
    let envelope = { helo: '', from: '', to: [] as string[] };
    const reply = (text: string) => socket.write(`${text}\r\n`);
    const takeLine = (line: string) => {
      if (data !== undefined) {
        if (line === '.') {
          this.messages.push({ ...envelope, content: data, tls });
          data = undefined;
          return reply('250 2.0.0 kept');
        }
        data += `${line.replace(/^\./, '')}\r\n`;
        return;
      }
      const [verb = '', ...rest] = line.split(/[ :]/);
      const path = /<(.*)>/.exec(line)?.[1] ?? '';
      switch (verb.toUpperCase()) {
        case 'EHLO':
          envelope = { helo: rest.join(':'), from: '', to: [] };
          // No 8BITMIME on purpose.
          return reply(options.tls && tls === 'none' ? '250-sink\r\n250 STARTTLS' : '250 sink');
        case 'MAIL':
          envelope = { ...envelope, from: path, to: [] };
          return reply('250 2.1.0 ok');
        case 'RCPT':
          envelope.to.push(path);
          return reply('250 2.1.5 ok');
        case 'DATA':
          data = '';
          return reply('354 go on');
        case 'STARTTLS': {
          reply('220 2.0.0 go on');
          socket.removeAllListeners('data');
          const secured = new TLSSocket(socket, { isServer: true, ...options.tls });
          secured.on('error', () => {});
          secured.once('secure', () => this.#serve(secured, options, { tls: secured.getProtocol() ?? 'unknown' }));
          return;
        }
        case 'QUIT':
          socket.end('221 2.0.0 bye\r\n');
          return;
        default:
          return reply('250 2.0.0 ok');
      }
    };
    socket.on('data', (bytes: Buffer) => {
      buffered += bytes.toString('latin1');
      for (let end = buffered.indexOf('\r\n'); end >= 0; end = buffered.indexOf('\r\n')) {
        const line = buffered.slice(0, end);
        buffered = buffered.slice(end + 2);
        takeLine(line);
      }
    });
  }
}
