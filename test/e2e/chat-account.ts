/**
 * [io] For tests: one account of a real Delta Chat core with the whole of its JSON-RPC, for what the demo's client does not
 * do: groups, files, quotes, read receipts. It ends with its relay.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { type DcEvent, StdioDeltaChat, type T } from '@deltachat/jsonrpc-client';
import { getRPCServerPath } from '@deltachat/stdio-rpc-server';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import {
  type Credentials,
  inventCredentials,
  loginLink,
  type Relay,
} from '../../packages/chatmailctl/src/demo/relay.ts';

/** Longest wait for anything, ms. */
const WAIT_MS = 40_000;

/** The contact id of an account itself. */
const SELF = 1;

type EventOf<Kind extends DcEvent['kind']> = Extract<DcEvent, { kind: Kind }>;

export class ChatAccount {
  readonly rpc: StdioDeltaChat['rpc'];
  readonly id: number;
  readonly credentials: Credentials;
  readonly #events: DcEvent[] = [];

  private constructor(chat: StdioDeltaChat, id: number, credentials: Credentials) {
    this.rpc = chat.rpc;
    this.id = id;
    this.credentials = credentials;
    chat.getContextEvents(id).on('ALL', (event) => this.#events.push(event));
  }

  /** Starts a core, logs in with invented credentials, and listens for mail. */
  static async start(name: string, relay: Relay): Promise<ChatAccount> {
    const process = new ManagedProcess(
      {
        name: `Delta Chat (${name})`,
        command: getRPCServerPath({ disableEnvPath: true }),
        args: [],
        logFile: `${relay.directory}/log/${name}.log`,
        env: { DC_ACCOUNTS_PATH: `${relay.directory}/clients/${name}` },
        stdio: 'pipe',
      },
      relay.guard,
    );
    relay.clients.push(process);
    const chat = new StdioDeltaChat(process.child.stdin!, process.child.stdout!, true);
    const id = await process.during(chat.rpc.addAccount());
    const account = new ChatAccount(chat, id, inventCredentials(relay.layout));
    await chat.rpc.setConfig(id, 'displayname', name);
    await process.during(chat.rpc.addTransportFromQr(id, loginLink(relay.layout, account.credentials)), WAIT_MS);
    await chat.rpc.startIo(id);
    await account.event('ImapInboxIdle');
    return account;
  }

  /** Meets another account by securejoin; both chats' ids, ours first. */
  async meet(other: ChatAccount): Promise<[ours: number, theirs: number]> {
    const invitation = await this.rpc.getChatSecurejoinQrCode(this.id, null);
    const theirs = await other.rpc.secureJoin(other.id, invitation);
    const [{ contactId }] = await Promise.all([
      this.event('SecurejoinInviterProgress', ({ progress }) => progress === 1000),
      other.event('SecurejoinJoinerProgress', ({ progress }) => progress === 1000),
    ]);
    return [await this.rpc.createChatByContactId(this.id, contactId), theirs];
  }

  /** Sends a message; what is left out is null. Returns its id. */
  async send(chat: number, message: Partial<T.MessageData>): Promise<number> {
    const nothing = { text: null, html: null, viewtype: null, file: null, filename: null, location: null };
    const quote = { overrideSenderName: null, quotedMessageId: null, quotedText: null };
    return await this.rpc.sendMsg(this.id, chat, { ...nothing, ...quote, ...message });
  }

  /** The incoming message that fits. Rejects when none has come in time. */
  async receive(fits: (message: T.Message) => boolean): Promise<T.Message> {
    return await until(async () => {
      const ids = this.#events.flatMap((event) =>
        (event.kind === 'IncomingMsg' || event.kind === 'MsgsChanged') && event.msgId > 0 ? [event.msgId] : [],
      );
      const messages = await Promise.all(
        [...new Set(ids)].map((id) => this.rpc.getMessage(this.id, id).catch(() => undefined)),
      );
      return messages.find((message) => message !== undefined && message.fromId !== SELF && fits(message));
    }, 'a message');
  }

  /** An event that has come, or comes in time. */
  async event<Kind extends DcEvent['kind']>(
    kind: Kind,
    fits: (event: EventOf<Kind>) => boolean = () => true,
  ): Promise<EventOf<Kind>> {
    const find = async () => this.#events.find((event) => event.kind === kind && fits(event as EventOf<Kind>));
    return (await until(find, `${kind}`)) as EventOf<Kind>;
  }
}

/** Asks until there is an answer. */
export async function until<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  for (let waitedMs = 0; waitedMs < WAIT_MS; waitedMs += 50) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await sleep(50);
  }
  throw new Error(`waited ${WAIT_MS / 1000} s for ${what}`);
}
