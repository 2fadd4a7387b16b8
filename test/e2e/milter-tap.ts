/**
 * [io] For tests: stands between Postfix and a milter's Unix socket, hands every byte on, and keeps the messages that went
 * by as the milter saw them, and what it did to them.
 */

import { once } from 'node:events';
import { chmod, rename } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FrameReader } from '../../packages/milter/src/frame.ts';
import { decodeReply, type MtaReply } from '../../packages/milter/src/mta-reply.ts';
import { SMFIC_BODYEOB, SMFIC_HEADER, SMFIC_MAIL } from '../../packages/milter/src/protocol.ts';

export interface TappedMessage {
  /** Values are byte strings; folds are joined by LF. */
  readonly header: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** What the milter answered: edits, then the verdict. */
  readonly replies: readonly MtaReply[];
}

export class MilterTap {
  readonly messages: TappedMessage[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Takes the place of the socket at `path`, which moves aside. */
  static async insert(path: string): Promise<MilterTap> {
    const behind = `${path}.behind`;
    await rename(path, behind);
    const server = createServer();
    const tap = new MilterTap(server);
    server.on('connection', (mta) => tap.#relay(mta, behind));
    server.listen(path);
    await once(server, 'listening');
    await chmod(path, 0o666);
    return tap;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #relay(mta: Socket, path: string): void {
    const milter = connect(path);
    const { commands, replies } = this.#recorders();
    mta.on('data', (bytes: Buffer) => commands.push(bytes));
    milter.on('data', (bytes: Buffer) => replies.push(bytes));
    mta.pipe(milter).pipe(mta);
    for (const [socket, other] of [
      [mta, milter],
      [milter, mta],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => this.#sockets.delete(socket));
    }
  }

  #recorders(): { commands: FrameReader; replies: FrameReader } {
    let header: [string, string][] = [];
    let body: Buffer[] = [];
    let answer: MtaReply[] | undefined;
    const commands = new FrameReader({
      frame: (command, data) => {
        if (command === SMFIC_MAIL) [header, body] = [[], []];
        if (command === SMFIC_HEADER) {
          const [name, value] = data.toString('latin1').split('\0');
          header.push([name!, value!]);
        }
        if (command === SMFIC_BODYEOB) {
          answer = [];
          this.messages.push({ header, body: Buffer.concat(body), replies: answer });
        }
        return true;
      },
      body: (piece) => {
        body.push(Buffer.from(piece));
        return true;
      },
    });
    const replies = new FrameReader({
      frame: (command, data) => {
        answer?.push(decodeReply(command, Buffer.from(data)));
        return true;
      },
      body: () => true,
    });
    return { commands, replies };
  }
}
