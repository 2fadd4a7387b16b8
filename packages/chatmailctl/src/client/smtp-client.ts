/**
 * [io] A raw SMTP client (RFC 5321) that shows every reply as it came. It sends what it is told, right or wrong.
 */

import { LineSocket } from './line-socket.ts';

/** One reply: its code, and the text of all its lines. */
export interface SmtpReply {
  readonly code: number;
  readonly text: string;
}

export interface SmtpSessionOptions {
  /** 127.0.0.1 unless said. */
  readonly host?: string | undefined;
  readonly port: number;
  /** TLS from the first byte (submissions) or after STARTTLS (submission, port 25). */
  readonly tls: 'implicit' | 'starttls' | 'none';
  /** The name the server's certificate must be for; undefined: it is not checked. */
  readonly certificateFor?: string | undefined;
  readonly login?: { readonly user: string; readonly password: string };
}

export class SmtpClient {
  readonly #lines: LineSocket;

  private constructor(lines: LineSocket) {
    this.#lines = lines;
  }

  /** Connects and greets, and logs in where asked. Rejects when the server refuses any of it. */
  static async open(options: SmtpSessionOptions): Promise<SmtpClient> {
    const { host, port, tls, certificateFor } = options;
    const client = new SmtpClient(await LineSocket.connect(port, { host, tls: tls === 'implicit', certificateFor }));
    try {
      expectCode(await client.#readReply(), 220);
      expectCode(await client.command('EHLO client.example'), 250);
      if (tls === 'starttls') {
        expectCode(await client.command('STARTTLS'), 220);
        await client.#lines.startTls();
        expectCode(await client.command('EHLO client.example'), 250);
      }
      if (options.login) expectCode(await client.authPlain(options.login.user, options.login.password), 235);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async command(line: string): Promise<SmtpReply> {
    this.#lines.write(`${line}\r\n`);
    return await this.#readReply();
  }

  async authPlain(user: string, password: string): Promise<SmtpReply> {
    return await this.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`);
  }

  /**
   * Sends one message and returns the first reply that refuses it, or the last one.
   *
   * @param content header and body, lines ending in CRLF, dots not yet doubled
   */
  async send(envelope: { from: string; to: readonly string[] }, content: string): Promise<SmtpReply> {
    const before = [`MAIL FROM:<${envelope.from}>`, ...envelope.to.map((to) => `RCPT TO:<${to}>`), 'DATA'];
    for (const line of before) {
      const reply = await this.command(line);
      if (reply.code >= 400) return reply;
    }
    const stuffed = content.replace(/^\./gm, '..');
    this.#lines.write(`${stuffed}${stuffed.endsWith('\r\n') ? '' : '\r\n'}.\r\n`);
    return await this.#readReply();
  }

  get tlsVersion(): string | undefined {
    return this.#lines.tlsVersion;
  }

  close(): void {
    this.#lines.close();
  }

  async #readReply(): Promise<SmtpReply> {
    const text: string[] = [];
    for (;;) {
      const line = await this.#lines.readLine();
      text.push(line.slice(4));
      if (line[3] !== '-') return { code: Number(line.slice(0, 3)), text: text.join('\n') };
    }
  }
}

function expectCode(reply: SmtpReply, code: number): void {
  if (reply.code !== code) throw new Error(`SMTP: expected ${code}, got ${reply.code} ${reply.text}`);
}
