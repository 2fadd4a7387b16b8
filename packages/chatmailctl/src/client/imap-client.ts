/**
 * [io] A raw IMAP client (RFC 9051) for what the demo, the tests and `status --probe` look at: a tagged command out, its lines back.
 */

import { LineSocket } from './line-socket.ts';

export interface ImapReply {
  readonly status: 'OK' | 'NO' | 'BAD';
  /** The tagged line after the status, with its response code: `[AUTHENTICATIONFAILED] ...`. */
  readonly text: string;
  /** Untagged lines, without `* `. */
  readonly untagged: readonly string[];
}

export class ImapClient {
  readonly #lines: LineSocket;
  #tag = 0;

  private constructor(lines: LineSocket) {
    this.#lines = lines;
  }

  /** Connects over TLS and reads the greeting. */
  static async connect(port: number, host?: string, certificateFor?: string): Promise<ImapClient> {
    const lines = await LineSocket.connect(port, { host, tls: true, certificateFor });
    const greeting = await lines.readLine();
    if (!greeting.startsWith('* OK')) {
      lines.close();
      throw new Error(`IMAP: unexpected greeting: ${greeting}`);
    }
    return new ImapClient(lines);
  }

  /** Connects and logs in. Rejects when the server refuses. */
  static async open(
    port: number,
    login: { user: string; password: string },
    host?: string,
    certificateFor?: string,
  ): Promise<ImapClient> {
    const client = await ImapClient.connect(port, host, certificateFor);
    try {
      await client.mustSucceed(`LOGIN ${quoted(login.user)} ${quoted(login.password)}`);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Sends a command, and its literal (RFC 9051 section 4.3) when the server asks for it. */
  async command(text: string, literal?: string): Promise<ImapReply> {
    const tag = `a${++this.#tag}`;
    const untagged: string[] = [];
    this.#lines.write(`${tag} ${text}${literal === undefined ? '' : ` {${literal.length}}`}\r\n`);
    for (;;) {
      const line = await this.#lines.readLine();
      if (line.startsWith('+') && literal !== undefined) this.#lines.write(`${literal}\r\n`);
      else if (line.startsWith(`${tag} `)) {
        const [status, ...rest] = line.slice(tag.length + 1).split(' ');
        return { status: status as ImapReply['status'], text: rest.join(' '), untagged };
      } else untagged.push(line.replace(/^\* /, ''));
    }
  }

  /** As {@link command}; rejects unless the reply is OK. */
  async mustSucceed(text: string, literal?: string): Promise<ImapReply> {
    const reply = await this.command(text, literal);
    if (reply.status !== 'OK') throw new Error(`IMAP: ${text.split(' ')[0]}: ${reply.status} ${reply.text}`);
    return reply;
  }

  /** Begins to idle (RFC 2177); what the server then announces is for {@link announcement}. */
  async idle(): Promise<void> {
    this.#lines.write(`a${++this.#tag} IDLE\r\n`);
    while (!(await this.#lines.readLine()).startsWith('+'));
  }

  /** Waits for an announcement while idling, then ends that. */
  async announcement(pattern: RegExp): Promise<void> {
    while (!pattern.test(await this.#lines.readLine()));
    this.#lines.write('DONE\r\n');
    while (!(await this.#lines.readLine()).startsWith(`a${this.#tag} `));
  }

  close(): void {
    this.#lines.close();
  }
}

/** A quoted string. */
export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
