/**
 * [io] What a demo shows, and the end-to-end tests assert: each step does one thing a user or operator relies on, with real
 * programs, and returns what it saw. Judging that is the caller's business.
 */

import { randomBytes } from 'node:crypto';
import { readdir, rename, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImapClient, quoted } from '../client/imap-client.ts';
import { clearTextMessage, encryptedMessage } from '../client/messages.ts';
import { SmtpClient, type SmtpReply } from '../client/smtp-client.ts';
import { run } from '../run.ts';
import { asAccount, PACKAGE_ROOT } from './daemons.ts';
import { ChatClient } from './deltachat.ts';
import { DemoError } from './demo-error.ts';
import { readBusySeconds } from './measure.ts';
import { nextMail } from './next-mail.ts';
import { type Credentials, inventCredentials, loginLink, type Relay } from './relay.ts';
import type { StubGateway } from './stub-gateway.ts';

/** A person with a client, and the chat with the other one once they have met. */
export interface Participant {
  readonly client: ChatClient;
  readonly credentials: Credentials;
  chat: number;
}

export interface Logins {
  readonly alice: Participant;
  readonly bob: Participant;
  /** What IMAP and submission say to a wrong password for Alice's account. */
  readonly imapRefusal: string;
  readonly smtpRefusal: SmtpReply;
}

/** 1. Two clients log in with names and passwords they invented; then somebody tries a wrong password. */
export async function logIn(relay: Relay): Promise<Logins> {
  const start = async (name: string): Promise<Participant> => {
    const client = await ChatClient.start(name, relay);
    const credentials = inventCredentials(relay.layout);
    await client.login(loginLink(relay.layout, credentials));
    return { client, credentials, chat: 0 };
  };
  const [alice, bob] = await Promise.all([start('Alice'), start('Bob')]);

  const { user } = alice.credentials;
  const imap = await ImapClient.connect(relay.layout.ports.imaps);
  const smtp = await SmtpClient.open({ port: relay.layout.ports.submissions, tls: 'implicit' });
  const [imapReply, smtpRefusal] = await Promise.all([
    imap.command(`LOGIN ${quoted(user)} ${quoted('not-the-password')}`),
    smtp.authPlain(user, 'not-the-password'),
  ]);
  imap.close();
  smtp.close();
  return { alice, bob, imapRefusal: `${imapReply.status} ${imapReply.text}`, smtpRefusal };
}

/** How one message travelled. */
export interface Delivery {
  readonly padlock: boolean;
  /** From the call that sends to the event that it came in, ms. */
  readonly deliveryMs: number;
  /** Of that, spent in our daemons, ms, by name. */
  readonly ownMs: Readonly<Record<string, number>>;
}

/** 2a. Bob joins by Alice's invitation (SecureJoin). */
export async function meet(alice: Participant, bob: Participant): Promise<void> {
  const invitation = await alice.client.invitation();
  [alice.chat, bob.chat] = await Promise.all([alice.client.joined(), bob.client.join(invitation)]);
}

/**
 * Before each message the other side is quiet for so long, ms, as between people: an IDLE session hibernates after a second,
 * and is then told of new mail without the 500 ms that Dovecot lets a busy one wait.
 */
const QUIET_MS = 1500;

/** 2b. Messages both ways, one at a time. */
export async function exchange(relay: Relay, alice: Participant, bob: Participant, each: number): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  for (let round = 1; round <= each; round++) {
    deliveries.push(await deliver(relay, alice, bob, `Message ${round} from Alice`));
    deliveries.push(await deliver(relay, bob, alice, `Message ${round} from Bob`));
  }
  return deliveries;
}

async function deliver(relay: Relay, from: Participant, to: Participant, text: string): Promise<Delivery> {
  await sleep(QUIET_MS);
  const busyBefore = await readBusySeconds(relay.metricsSockets);
  const sentMs = performance.now();
  await from.client.sendText(from.chat, text);
  const { padlock, atMs } = await to.client.receive(text);
  const busyAfter = await readBusySeconds(relay.metricsSockets);
  const own = Object.entries(busyAfter).map(([name, after]) => [name, (after - (busyBefore[name] ?? 0)) * 1000]);
  return { padlock, deliveryMs: atMs - sentMs, ownMs: Object.fromEntries(own) };
}

export interface Refusals {
  readonly clearTextOutgoing: SmtpReply;
  readonly clearTextIncoming: SmtpReply;
  /** The header names somebody else. */
  readonly forgedFrom: SmtpReply;
  /** The envelope does. */
  readonly forgedSender: SmtpReply;
}

/** 3. What may not be sent: clear text out and in, and mail in somebody else's name. */
export async function tryForbidden(relay: Relay, from: Credentials, to: Credentials): Promise<Refusals> {
  const { ports } = relay.layout;
  const own = { from: from.user, to: to.user };
  const forged = { from: to.user, to: to.user };
  const stranger = { from: 'stranger@sender.example', to: to.user };
  const login = { port: ports.submissions, tls: 'implicit', login: from } as const;
  const [clearTextOutgoing, clearTextIncoming, forgedFrom, forgedSender] = await Promise.all([
    sendOnce(login, own, clearTextMessage(own)),
    sendOnce({ port: ports.smtp, tls: 'starttls' }, stranger, clearTextMessage(stranger)),
    sendOnce(login, own, encryptedMessage(forged)),
    sendOnce(login, forged, encryptedMessage(forged)),
  ]);
  return { clearTextOutgoing, clearTextIncoming, forgedFrom, forgedSender };
}

async function sendOnce(
  session: Parameters<typeof SmtpClient.open>[0],
  envelope: { from: string; to: string },
  content: string,
): Promise<SmtpReply> {
  const client = await SmtpClient.open(session);
  try {
    return await client.send({ from: envelope.from, to: [envelope.to] }, content);
  } finally {
    client.close();
  }
}

export interface Push {
  /** What the gateway was posted. */
  readonly body: string;
  readonly token: string;
  /** From the message's file being in the mailbox to the post; negative when the post was first. */
  readonly afterDeliveryMs: number;
}

/** 4. Bob's client leaves a device token; then Alice writes, one message after the other. */
export async function pushOnMessages(
  relay: Relay,
  gateway: StubGateway,
  alice: Participant,
  bob: Participant,
  count: number,
): Promise<Push[]> {
  const { user } = bob.credentials;
  const token = `openpgp:${randomBytes(24).toString('base64url')}`;
  const imap = await ImapClient.open(relay.layout.ports.imaps, bob.credentials);
  await imap.mustSucceed(`SETMETADATA INBOX (/private/devicetoken ${quoted(token)})`);
  imap.close();

  const pushes: Push[] = [];
  for (let i = 1; i <= count; i++) {
    const text = `Are you there? (${i})`;
    const stop = new AbortController();
    try {
      const delivered = nextMail(`${relay.layout.directories.mailboxes}/${user}/new`, stop.signal);
      const sinceMs = performance.now();
      const [post, deliveredMs] = await Promise.all([
        gateway.waitForToken(token, sinceMs, 20_000),
        delivered,
        alice.client.sendText(alice.chat, text),
      ]);
      await bob.client.receive(text);
      pushes.push({ body: post.body, token, afterDeliveryMs: post.atMs - deliveredMs });
    } finally {
      stop.abort();
    }
  }
  return pushes;
}

export interface Expiry {
  /** Messages in the mailbox: after delivery, after a run that only reports, after `--remove`. */
  readonly delivered: number;
  readonly afterDryRun: number;
  readonly afterRemove: number;
}

/** 5. An account with an old and a new message; chatmail-expire without and with `--remove`. */
export async function expireAged(relay: Relay, agedDays = 30): Promise<Expiry> {
  const account = inventCredentials(relay.layout);
  const imap = await ImapClient.open(relay.layout.ports.imaps, account);
  const envelope = { from: account.user, to: account.user };
  await imap.mustSucceed('APPEND INBOX', encryptedMessage(envelope));
  await age(`${relay.layout.directories.mailboxes}/${account.user}`, agedDays);
  await imap.mustSucceed('APPEND INBOX', encryptedMessage(envelope));

  const delivered = await countMessages(imap);
  await runExpire(relay, []);
  const afterDryRun = await countMessages(imap);
  await runExpire(relay, ['--remove']);
  const afterRemove = await countMessages(imap);
  imap.close();
  return { delivered, afterDryRun, afterRemove };
}

/** Makes all messages of an account as if they had arrived `days` ago: by file name, as Dovecot writes it, and by time stamp. */
async function age(mailbox: string, days: number): Promise<void> {
  const then = Math.floor(Date.now() / 1000) - days * 86_400;
  for (const folder of ['cur', 'new']) {
    for (const name of await readdir(`${mailbox}/${folder}`)) {
      const aged = `${mailbox}/${folder}/${name.replace(/^\d+/, String(then))}`;
      await rename(`${mailbox}/${folder}/${name}`, aged);
      await utimes(aged, then, then);
    }
  }
}

async function countMessages(imap: ImapClient): Promise<number> {
  // EXAMINE reads the directory anew, as the next client to connect would.
  const { untagged } = await imap.mustSucceed('EXAMINE INBOX');
  const exists = untagged.find((line) => line.endsWith(' EXISTS'));
  return Number(exists?.split(' ')[0]);
}

async function runExpire(relay: Relay, options: readonly string[]): Promise<void> {
  const metadata = ['--metadata-socket', relay.layout.sockets.metadata];
  const program = [`${PACKAGE_ROOT}/bin/chatmail-expire`, relay.configPath, ...metadata, ...options];
  const [command, ...args] = await asAccount(relay.mailUser, program);
  const { code, output } = await run(command!, args);
  if (code !== 0) throw new DemoError('step', `chatmail-expire exited with ${code}: ${output.trim()}`);
}
