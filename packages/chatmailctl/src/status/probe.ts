/**
 * [io] Uses the relay as a client does: makes a throw-away account, logs in and submits over real TLS, sends itself an encrypted
 * message, waits in IDLE for its announcement, reads it back, and removes the account again whatever happened.
 */

import { parseAddress } from '#core';
import { createAccount } from '../accounts/create-account.ts';
import { deleteAccount } from '../accounts/delete-account.ts';
import type { RelayAccess } from '../accounts/relay-access.ts';
import { ImapClient, quoted } from '../client/imap-client.ts';
import { encryptedMessage } from '../client/messages.ts';
import { SmtpClient } from '../client/smtp-client.ts';

/** One step: how long it took, or what went wrong. What comes after one that failed is not tried. */
export interface ProbeStep {
  readonly name: string;
  readonly ms: number;
  readonly trouble?: string;
  /** Where to look. */
  readonly fix?: string;
}

/** The longest a step takes. Dovecot waits two seconds before it refuses a password, doveauth may have to be started. */
const STEP_MS = 20_000;

const FIXES: Readonly<Record<string, string>> = {
  'log in (IMAP)': 'journalctl -u dovecot -u doveauth -n 50',
  'log in (submission)': 'journalctl -u "postfix*" -u dovecot -n 50',
  send: 'journalctl -u filtermail -u "postfix*" -n 50',
  'deliver and announce': 'it was accepted but did not arrive: postqueue -p says why; journalctl -u dovecot -n 50',
};

export interface ProbeOptions {
  readonly relay: RelayAccess;
  readonly ports: { readonly submissions: number; readonly imaps: number };
  /** Ends the probe early; the account is removed all the same. */
  readonly signal: AbortSignal;
}

/** Runs all steps and tells what came of each. Never rejects. */
export async function probeRelay({ relay, ports, signal }: ProbeOptions): Promise<ProbeStep[]> {
  const { mail_domain: domain, isSelfSigned } = relay.config;
  const certificateFor = isSelfSigned ? undefined : domain;
  const steps: ProbeStep[] = [];
  const open: { close(): void }[] = [];
  const interrupted = new Promise<never>((_, reject) => {
    const interrupt = () => reject(new Error('interrupted'));
    if (signal.aborted) interrupt();
    else signal.addEventListener('abort', interrupt, { once: true });
  });
  interrupted.catch(() => {});
  const step = async <T>(name: string, work: Promise<T>): Promise<T> => {
    const beganMs = performance.now();
    const msSince = () => Math.round(performance.now() - beganMs);
    try {
      const result = await work;
      steps.push({ name, ms: msSince() });
      return result;
    } catch (error) {
      const fix = signal.aborted ? undefined : FIXES[name];
      steps.push({ name, ms: msSince(), trouble: (error as Error).message, ...(fix === undefined ? {} : { fix }) });
      throw error;
    }
  };
  const brief = async <T>(work: () => Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`nothing within ${STEP_MS / 1000} s`)), STEP_MS);
    });
    try {
      return await Promise.race([...(signal.aborted ? [] : [work()]), late, interrupted]);
    } finally {
      clearTimeout(timer);
    }
  };

  // A client that gets through only after the account is gone would bring it back by logging in.
  let isOver = false;
  const hold = async <T extends { close(): void }>(opening: Promise<T>): Promise<T> => {
    const client = await opening;
    if (!isOver) open.push(client);
    else client.close();
    return client;
  };

  let address: string | undefined;
  try {
    // Waited for to its own end, for an account whose name nobody has heard could not be removed.
    const account = await step('make an account', createAccount(relay));
    address = account.address;
    const login = async () => {
      const client = await hold(ImapClient.connect(ports.imaps, undefined, certificateFor));
      await client.mustSucceed(`LOGIN ${quoted(account.address)} ${quoted(account.password)}`);
      await client.mustSucceed('SELECT INBOX');
      await client.idle();
      return client;
    };
    const imap = await step('log in (IMAP)', brief(login));
    const authenticate = async () => {
      const client = await hold(SmtpClient.open({ port: ports.submissions, tls: 'implicit', certificateFor }));
      const reply = await client.authPlain(account.address, account.password);
      if (reply.code !== 235) throw new Error(`refused: ${reply.code} ${reply.text}`);
      return client;
    };
    const smtp = await step('log in (submission)', brief(authenticate));
    const send = async () => {
      const envelope = { from: account.address, to: account.address };
      const reply = await smtp.send({ from: envelope.from, to: [envelope.to] }, encryptedMessage(envelope));
      if (reply.code !== 250) throw new Error(`refused: ${reply.code} ${reply.text}`);
    };
    await step('send', brief(send));
    await step(
      'deliver and announce',
      brief(() => imap.announcement(/ EXISTS$/)),
    );
    const read = async () => {
      const { untagged } = await imap.mustSucceed('FETCH 1 BODY.PEEK[TEXT]');
      if (untagged.includes('-----BEGIN PGP MESSAGE-----')) return;
      throw new Error('the message is not the one that was sent');
    };
    await step('read', brief(read));
  } catch {
    // It is in the steps.
  } finally {
    isOver = true;
    for (const client of open) client.close();
  }
  if (address !== undefined) steps.push(await removeAccount(relay, address));
  return steps;
}

/** Also when interrupted: it is a second's work, and nobody else would do it for months. */
async function removeAccount(relay: RelayAccess, text: string): Promise<ProbeStep> {
  const beganMs = performance.now();
  let trouble: string | undefined;
  try {
    const outcome = await deleteAccount(relay, parseAddress(text)!);
    if (outcome === 'missing') trouble = 'it was not there';
    if (outcome === 'forget-later') trouble = 'metadata-push could not be told; chatmail-expire will';
  } catch (error) {
    trouble = (error as Error).message;
  }
  return {
    name: 'remove the account',
    ms: Math.round(performance.now() - beganMs),
    ...(trouble === undefined ? {} : { trouble }),
  };
}
