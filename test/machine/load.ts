/**
 * [io] People who never stop: each sends a message a second to one mailbox through submission and logs in anew by IMAP for
 * it, and notes what was answered. A message that was accepted must arrive, whatever happens meanwhile.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import type { Credentials } from '../../packages/chatmailctl/src/demo/relay.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';
import type { RelayMachine } from './relay-machine.ts';

/** Below the messages a minute that one account may send. */
const EVERY_MS = 1100;

/** Postfix calls every failure of a login permanent; this is the text for one that nobody decided. */
const NO_ANSWER = /got 535 .*\(reason unavailable\)/;

export class Load {
  /** Message-IDs the relay took responsibility for. */
  readonly accepted: string[] = [];
  /** Replies that a sending program answers by trying again: 4xx, and connections that were refused or lost. */
  readonly delayed: string[] = [];
  /** Replies that make it give up. */
  readonly refused: string[] = [];
  /** Logins that worked, and what was said to the others. */
  logins = 0;
  readonly refusedLogins: string[] = [];
  readonly #machine: RelayMachine;
  readonly #recipient: Credentials;
  readonly #senders: Promise<void>[];
  #running = true;

  private constructor(machine: RelayMachine, recipient: Credentials, senders: readonly Credentials[]) {
    this.#machine = machine;
    this.#recipient = recipient;
    this.#senders = senders.map((sender) => this.#send(sender));
  }

  /** Makes the accounts and begins. */
  static async start(machine: RelayMachine, people = 4): Promise<Load> {
    const [recipient, ...senders] = Array.from({ length: people + 1 }, () => machine.invent());
    for (const account of [recipient!, ...senders]) {
      const answer = await machine.tryLogin(account);
      if (answer !== 'OK') throw new Error(`a new account: ${answer}`);
    }
    return new Load(machine, recipient!, senders);
  }

  async #send(sender: Credentials): Promise<void> {
    for (let number = 1; this.#running; number++) {
      const id = `<${number}.${sender.user.replace(/@.*/, '')}@load>`;
      await Promise.all([this.#submit(sender, id), this.#login(sender), sleep(EVERY_MS)]);
    }
  }

  async #submit(sender: Credentials, id: string): Promise<void> {
    const own = { from: sender.user, to: this.#recipient.user };
    const message = encryptedMessage(own).replace(/^Message-ID: .*$/m, `Message-ID: ${id}\r`);
    try {
      const smtp = await this.#machine.smtp(sender);
      try {
        const { code, text } = await smtp.send({ from: own.from, to: [own.to] }, message);
        if (code === 250) this.accepted.push(id);
        else (code < 500 ? this.delayed : this.refused).push(`${code} ${text}`);
      } finally {
        smtp.close();
      }
    } catch (error) {
      const { message } = error as Error;
      (/got 5/.test(message) && !NO_ANSWER.test(message) ? this.refused : this.delayed).push(message);
    }
  }

  async #login(sender: Credentials): Promise<void> {
    const answer = await this.#machine.tryLogin(sender).catch((error: Error) => error.message);
    if (answer === 'OK') this.logins++;
    else this.refusedLogins.push(answer);
  }

  /** Lets them finish what they are at. */
  async stop(): Promise<this> {
    this.#running = false;
    await Promise.all(this.#senders);
    return this;
  }

  /**
   * Resolves when every accepted message is in the mailbox.
   *
   * @throws Error that names those that are not, with the queue
   */
  async allArrived(timeoutMs = 30_000): Promise<void> {
    let missing: readonly string[] = this.accepted;
    await until(async () => {
      await this.#machine.flushQueue();
      const inbox = await this.#machine.inbox(this.#recipient).catch(() => new Set<string>());
      missing = this.accepted.filter((id) => !inbox.has(id));
      if (missing.length > 0) await sleep(500);
      return missing.length === 0;
    }, timeoutMs).catch(async () => {
      const queue = await this.#machine.container.run('postqueue -p | tail -n 20');
      const evidence = await this.#machine.evidence();
      const lost = `${missing.length} of ${this.accepted.length} accepted messages did not arrive: ${missing.slice(0, 5)}`;
      throw new Error(`${lost}\nqueue:\n${queue}\n${evidence}`);
    });
  }
}
