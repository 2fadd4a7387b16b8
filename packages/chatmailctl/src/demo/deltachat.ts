/**
 * [io] A real Delta Chat client without a window: `deltachat-rpc-server` driven over its JSON-RPC (chatmail/core). It is a
 * development dependency, loaded when a demo begins. All events are kept with the time they came, so that waiting for one
 * cannot miss it.
 */

import type { DcEvent, StdioDeltaChat } from '@deltachat/jsonrpc-client';
import { DemoError } from './demo-error.ts';
import { ManagedProcess } from './managed-process.ts';
import type { Relay } from './relay.ts';

export interface TimedEvent {
  readonly event: DcEvent;
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
}

export interface ReceivedMessage {
  readonly text: string;
  /** Encrypted and signed: what users once saw as a padlock. */
  readonly padlock: boolean;
  readonly atMs: number;
}

/** Where a client's files are, and what ends it at the latest. */
export type ClientHost = Pick<Relay, 'directory' | 'guard' | 'clients'>;

/** Longest wait for anything a client does. */
const EVENT_MS = 30_000;

/** SecureJoin is over on that side. */
const JOINED = 1000;

type EventOf<Kind extends DcEvent['kind']> = Extract<DcEvent, { kind: Kind }>;

export class ChatClient {
  readonly name: string;
  readonly #process: ManagedProcess;
  readonly #chat: StdioDeltaChat;
  readonly #account: number;
  readonly #events: TimedEvent[] = [];
  readonly #watchers = new Set<() => void>();

  private constructor(name: string, process: ManagedProcess, chat: StdioDeltaChat, account: number) {
    this.name = name;
    this.#process = process;
    this.#chat = chat;
    this.#account = account;
    chat.getContextEvents(account).on('ALL', (event) => {
      this.#events.push({ event, atMs: performance.now() });
      for (const check of this.#watchers) check();
    });
  }

  /** Starts a client with an empty account, which ends with the relay at the latest. */
  static async start(name: string, relay: ClientHost): Promise<ChatClient> {
    const [{ StdioDeltaChat: Chat }, { getRPCServerPath }] = await loadLibraries();
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
    try {
      const chat = new Chat(process.child.stdin, process.child.stdout, true);
      const account = await process.during(chat.rpc.addAccount());
      await process.during(chat.rpc.setConfig(account, 'displayname', name));
      return new ChatClient(name, process, chat, account);
    } catch (error) {
      await process.stop();
      throw error;
    }
  }

  /** Logs in with a `dclogin:` link, which makes the account, and begins to listen for mail. */
  async login(link: string): Promise<void> {
    await this.#ask(this.#chat.rpc.addTransportFromQr(this.#account, link));
    await this.#ask(this.#chat.rpc.startIo(this.#account));
    // From here on, new mail is announced.
    await this.waitFor('ImapInboxIdle');
  }

  /** As somebody who closes and opens the app: connects at once, where Delta Chat itself would wait longer each time. */
  async reopen(): Promise<void> {
    await this.close();
    await this.#ask(this.#chat.rpc.startIo(this.#account));
  }

  /** As somebody who closes the app: no connection is left. */
  async close(): Promise<void> {
    await this.#ask(this.#chat.rpc.stopIo(this.#account));
  }

  /** The invitation another client joins with. */
  async invitation(): Promise<string> {
    return await this.#ask(this.#chat.rpc.getChatSecurejoinQrCode(this.#account, null));
  }

  /** Joins by an invitation; resolves with the chat when this side is done. */
  async join(invitation: string): Promise<number> {
    const chat = await this.#ask(this.#chat.rpc.secureJoin(this.#account, invitation));
    await this.waitFor('SecurejoinJoinerProgress', (event) => event.progress === JOINED);
    return chat;
  }

  /** Resolves with the chat when somebody has joined by our invitation. */
  async joined(): Promise<number> {
    const { event } = await this.waitFor('SecurejoinInviterProgress', ({ progress }) => progress === JOINED);
    return await this.#ask(this.#chat.rpc.createChatByContactId(this.#account, event.contactId));
  }

  async sendText(chat: number, text: string): Promise<void> {
    await this.#ask(this.#chat.rpc.miscSendTextMessage(this.#account, chat, text));
  }

  /** Resolves with the message of that text when it has come in. */
  async receive(text: string, timeoutMs = EVENT_MS): Promise<ReceivedMessage> {
    const deadline = performance.now() + timeoutMs;
    const seen = new Set<number>();
    while (performance.now() < deadline) {
      const { event, atMs } = await this.waitFor('IncomingMsg', ({ msgId }) => !seen.has(msgId), timeoutMs);
      seen.add(event.msgId);
      const message = await this.#ask(this.#chat.rpc.getMessage(this.#account, event.msgId));
      if (message.text === text) return { text, padlock: message.showPadlock, atMs };
    }
    throw new DemoError('step', `${this.name} received other messages, but not the one expected.`);
  }

  /**
   * Waits for an event, unless it has come already.
   *
   * @throws DemoError `step` after `timeoutMs`
   */
  async waitFor<Kind extends DcEvent['kind']>(
    kind: Kind,
    wanted: (event: EventOf<Kind>) => boolean = () => true,
    timeoutMs = EVENT_MS,
  ): Promise<{ event: EventOf<Kind>; atMs: number }> {
    const find = () => {
      const found = this.#events.find(({ event }) => event.kind === kind && wanted(event as EventOf<Kind>));
      return found as { event: EventOf<Kind>; atMs: number } | undefined;
    };
    let check = () => {};
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        check = () => {
          const found = find();
          if (found) resolve(found);
        };
        timer = setTimeout(
          () =>
            reject(new DemoError('step', `${this.name} waited ${timeoutMs / 1000} s for ${kind}${this.#errors()}.`)),
          timeoutMs,
        );
        this.#watchers.add(check);
        check();
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(check);
    }
  }

  /** What the client complained of meanwhile. */
  #errors(): string {
    const texts = this.#events.flatMap(({ event }) =>
      event.kind === 'Error' || event.kind === 'Warning' ? event.msg : [],
    );
    return texts.length === 0 ? '' : `; it said last: ${texts.slice(-3).join(' | ')}`;
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await this.#process.during(answer, EVENT_MS);
    } catch (error) {
      if (error instanceof DemoError) throw error;
      throw new DemoError('step', `Delta Chat (${this.name}) says: ${(error as Error).message}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}

async function loadLibraries() {
  try {
    return await Promise.all([import('@deltachat/jsonrpc-client'), import('@deltachat/stdio-rpc-server')]);
  } catch (error) {
    throw new DemoError('host', "Delta Chat's test client is missing; run 'npm ci' in the checkout.", { cause: error });
  }
}
