/**
 * Dict commands of Dovecot's METADATA and push hook, to stores and pusher and back. Sets of entries we do not know fail,
 * lookups of them find nothing, and unsetting them succeeds: they are not there. Iterations are empty on purpose: Dovecot
 * unsets what one returns when a mailbox is deleted, and a deleted folder must not take the account's tokens with it.
 */

import { type Address, type Config, parseAddress } from '#core';
import {
  type CommitReply,
  committed,
  type DictHandler,
  type DictOperation,
  type DictTransaction,
  failed,
  found,
  type LookupReply,
  notFound,
} from '#dovecot-dict';
import { entryOf } from './entries.ts';
import type { TokenStore } from './token-store.ts';
import { addToken, liveTokens, parseToken } from './tokens.ts';

/** Recipients of one message: what Postfix takes by default (smtpd_recipient_limit). */
const MAX_SMTP_RECIPIENTS = '1000';
/** The port chatmail-turn listens on (RFC 8656 section 15). */
const TURN_PORT = 3478;

export interface MetadataHandlerOptions {
  /** The configuration of the moment. */
  readonly config: () => Pick<Config, 'mail_domain' | 'iroh_relay'>;
  readonly tokens: TokenStore;
  readonly pusher: {
    /** Queues a push for a new message; resolves when it is on disk. */
    notify(account: string): Promise<void>;
    /** Forgets tokens and pushes of an account; resolves when that is on disk. */
    forget(account: string): Promise<void>;
    /** There is now this token to send to. */
    prepare(token: string): void;
  };
  /** Pushes to every token of an account, and tells what came of it. */
  readonly testPush: (account: string) => Promise<unknown>;
  /** What is queued and what was sent. */
  readonly pushStats: () => unknown;
  readonly waker: {
    /** Sees to it that a message delivered just now is announced to every session that idles. */
    wake(address: Address): void;
  };
  /** `EXPIRY:PASSWORD`, or undefined when there is no TURN service. */
  readonly turnCredentials: () => Promise<string | undefined>;
  /** One line of JSON, or undefined when the operator gave none. */
  readonly appVersions: () => string | undefined;
  readonly now: () => number;
}

/** A change a transaction asks for, checked and ready to be made. */
type Change = () => Promise<void>;

/** Makes the handler of the metadata socket. Its promises resolve when what they promise is on disk. */
export function createMetadataHandler(options: MetadataHandlerOptions): DictHandler {
  const { config, tokens, pusher, waker, turnCredentials, testPush, pushStats, appVersions, now } = options;

  const lookupTurn = async (): Promise<LookupReply> => {
    const credentials = await turnCredentials().catch(() => undefined);
    return foundOrNot(credentials && `${config().mail_domain}:${TURN_PORT}:${credentials}`);
  };

  const lookupTokens = (user: Buffer): LookupReply => {
    const address = addressOf(user);
    const live = address === undefined ? [] : liveTokens(tokens.list(address.text), now());
    return live.length === 0 ? notFound : found(live.map(({ token }) => token).join(' '));
  };

  const lookupTest = async (user: Buffer): Promise<LookupReply> => {
    const address = addressOf(user);
    return address === undefined ? notFound : found(JSON.stringify(await testPush(address.text)));
  };

  /** What an operation asks for; a text says why it cannot be done. */
  const changeOf = (address: Address, operation: DictOperation): Change | string | undefined => {
    const account = address.text;
    const entry = entryOf(operation.key);
    if (operation.type === 'increment') return 'no such number';
    if (operation.type === 'unset') {
      return entry === 'devicetoken' || entry === 'account' ? () => pusher.forget(account) : undefined;
    }
    if (entry === 'messagenew' || entry === 'messagewake') {
      return async () => {
        waker.wake(address);
        if (entry === 'messagenew') await pusher.notify(account);
      };
    }
    if (entry !== 'devicetoken') return 'no such entry';
    const token = parseToken(operation.value);
    if (token === undefined) return 'not a device token';
    return () => {
      pusher.prepare(token);
      return tokens.update(account, (list) => addToken(list, token, now()));
    };
  };

  return {
    lookup({ key, user }) {
      switch (entryOf(key)) {
        case 'devicetoken':
          return lookupTokens(user);
        case 'pushtest':
          return lookupTest(user);
        case 'pushstats':
          return found(JSON.stringify(pushStats()));
        case 'irohrelay':
          return foundOrNot(config().iroh_relay || undefined);
        case 'turn':
          return lookupTurn();
        case 'maxsmtprecipients':
          return found(MAX_SMTP_RECIPIENTS);
        case 'appversions':
          return foundOrNot(appVersions());
        default:
          return notFound;
      }
    },

    iterate: () => [],

    async commit(transaction: DictTransaction): Promise<CommitReply> {
      const address = addressOf(transaction.user);
      if (address === undefined) return failed('not an account');
      const changes: Change[] = [];
      for (const operation of transaction.operations) {
        const change = changeOf(address, operation);
        if (typeof change === 'string') return failed(change);
        if (change) changes.push(change);
      }
      // Begun in one turn of the event loop, which makes them one transaction of the database.
      await Promise.all(changes.map((change) => change()));
      return committed;
    },
  };
}

function foundOrNot(value: string | undefined): LookupReply {
  return value === undefined ? notFound : found(value);
}

function addressOf(user: Buffer): Address | undefined {
  return parseAddress(user.toString('utf8'));
}
