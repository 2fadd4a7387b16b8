/**
 * [io] A container with the package in it, seen as its operator sees it (status, journal) and as its users do from outside:
 * Delta Chat, and raw IMAP and SMTP where a test must know what exactly was answered.
 */

import { randomBytes } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { SmtpClient } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { ChatClient } from '../../packages/chatmailctl/src/demo/deltachat.ts';
import type { Credentials } from '../../packages/chatmailctl/src/demo/relay.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';
import { Container } from './container.ts';
import { image, type Suite } from './image.ts';

/** Our daemons, with the sockets that would start them again. */
export const DAEMONS = {
  doveauth: [
    'doveauth-auth.socket',
    'doveauth-lastlogin.socket',
    'doveauth-http.socket',
    'doveauth-new.socket',
    'doveauth.service',
  ],
  filtermail: [
    'filtermail-outgoing.socket',
    'filtermail-incoming.socket',
    'filtermail-sign.socket',
    'filtermail.service',
  ],
  'metadata-push': ['metadata-push.socket', 'metadata-push.service'],
} as const;

/** All that is ours in the journal. */
export const OUR_UNITS = [
  ...Object.keys(DAEMONS),
  'chatmail-expire',
  'chatmail-fsreport',
  'push-gateway',
] as readonly string[];

/** A person with a client, and the chat with the other one once they have met. */
export interface Person {
  readonly client: ChatClient;
  readonly credentials: Credentials;
  chat: number;
}

export class RelayMachine {
  readonly suite: Suite;
  readonly container: Container;
  /** What was measured, in the order it was. */
  readonly figures = new Map<string, string>();
  /** Every name that was used, none of which may be in the journal. */
  readonly names: string[] = [];
  readonly people: Person[] = [];
  /** Checksums of Debian's own configuration files, before `apply`. */
  stock: Readonly<Record<string, string>> = {};

  private constructor(suite: Suite, container: Container) {
    this.suite = suite;
    this.container = container;
  }

  /** Boots a fresh Debian that has the packages as /mnt/chatmail.deb and /mnt/next.deb. */
  static async boot(suite: Suite, debs: { readonly chatmail: string; readonly next: string }): Promise<RelayMachine> {
    const container = await Container.boot(await image(suite, debs.chatmail));
    await copyFile(debs.chatmail, `${container.directory}/host/chatmail.deb`);
    await copyFile(debs.next, `${container.directory}/host/next.deb`);
    return new RelayMachine(suite, container);
  }

  get address(): string {
    return this.container.address;
  }

  /** Dovecot 2.4 asks our Lua first, which can answer for accounts that exist without doveauth. */
  get dovecot24(): boolean {
    return this.suite !== 'bookworm';
  }

  /** Name and password of nobody yet. */
  invent(): Credentials {
    const name = `u${randomBytes(4).toString('hex')}`;
    this.names.push(name);
    return { user: `${name}@[${this.address}]`, password: randomBytes(12).toString('hex') };
  }

  /** Starts Delta Chat, which makes its account on the relay. */
  async person(name: string): Promise<Person> {
    const credentials = this.invent();
    const { user, password } = credentials;
    const client = await ChatClient.start(name, this.container);
    const servers = `ih=${this.address}&ip=993&is=ssl&sh=${this.address}&sp=465&ss=ssl`;
    await client.login(`dclogin:${user}?p=${password}&v=1&${servers}&ic=3`);
    const person = { client, credentials, chat: 0 };
    this.people.push(person);
    return person;
  }

  /**
   * Sends a message from one Delta Chat to the other and waits for it there. One that was put off is tried again after up to a
   * minute.
   */
  async say(text: string, [from, to] = this.people as [Person, Person]): Promise<void> {
    await from.client.sendText(from.chat, text);
    const { padlock } = await to.client.receive(text, 100_000);
    if (!padlock) throw new Error(`"${text}" came without padlock`);
  }

  /** The same after everybody lost their connection. */
  async sayAfresh(text: string): Promise<void> {
    for (const { client } of this.people) await client.reopen();
    await this.say(text);
  }

  /** Everybody closes the app: nothing they do changes a mailbox until {@link sayAfresh}. */
  async pause(): Promise<void> {
    for (const { client } of this.people) await client.close();
  }

  async imap(login: Credentials): Promise<ImapClient> {
    return await ImapClient.open(993, login, this.address);
  }

  async smtp(login: Credentials): Promise<SmtpClient> {
    return await SmtpClient.open({ host: this.address, port: 465, tls: 'implicit', login });
  }

  /** What IMAP says to a name and password: OK, or the refusal with its response code. */
  async tryLogin({ user, password }: Credentials): Promise<string> {
    const imap = await ImapClient.connect(993, this.address);
    try {
      const { status, text } = await imap.command(`LOGIN "${user}" "${password}"`);
      return status === 'OK' ? 'OK' : `${status} ${text}`;
    } finally {
      imap.close();
    }
  }

  /** Message-IDs of what an account has in its inbox. */
  async inbox(login: Credentials): Promise<Set<string>> {
    const imap = await this.imap(login);
    try {
      await imap.mustSucceed('SELECT INBOX');
      const { untagged } = await imap.mustSucceed('UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])');
      return new Set(untagged.flatMap((line) => /^Message-ID: (<.*>)/i.exec(line)?.[1] ?? []));
    } finally {
      imap.close();
    }
  }

  /** What `chatmailctl status` says, its exit code, and the names of what it says is broken. */
  async status(): Promise<{ code: number; text: string; broken: string[] }> {
    const { status, stdout, stderr } = await this.container.attempt('chatmailctl status --json');
    const { checks } = JSON.parse(stdout || '{"checks":[]}') as { checks: { name: string; state: string }[] };
    const broken = checks.filter(({ state }) => state === 'fail').map(({ name }) => name);
    return { code: status, text: `${stdout}\n${stderr}`.trim(), broken };
  }

  /** Resolves when `chatmailctl status` finds nothing wrong; what it says last is in the error. */
  async becomesGreen(timeoutMs = 60_000): Promise<void> {
    let last = '';
    await until(async () => {
      const { code, text } = await this.status();
      last = `${code} ${text}`;
      return code === 0;
    }, timeoutMs).catch(async () => {
      const { stdout } = await this.container.attempt('chatmailctl status; systemctl --failed --no-pager');
      throw new Error(`status is not green: ${last.slice(0, 200)}\n${stdout}\n${await this.evidence()}`);
    });
  }

  /** What is in the queue is tried now, instead of in some minutes. */
  async flushQueue(): Promise<void> {
    await this.container.run('postqueue -f');
  }

  /** The last warnings of anything, and the last lines of each of our units. */
  async evidence(): Promise<string> {
    const parts = [await this.container.journal('-p warning -n 15')];
    for (const unit of OUR_UNITS) parts.push(await this.container.journal(`-u ${unit}.service -n 6`));
    parts.push(await this.container.journal('-t postfix -t dovecot -n 20'));
    return parts.filter(Boolean).join('\n--\n');
  }

  async stop(): Promise<void> {
    await this.container.stop();
  }
}
