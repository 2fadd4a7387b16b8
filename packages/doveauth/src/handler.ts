/**
 * The two dict sockets of doveauth: `auth` is Dovecot 2.3's passdb and userdb, `lastlogin` its last_login plugin.
 * Only translates: keys to questions for the accounts, outcomes to replies.
 * On passdb, trouble is `O` with an empty value: any other sign of it makes Dovecot 2.3 log the password.
 */

import type { Logger } from '#core';
import {
  committed,
  type DictHandler,
  type DictOperation,
  type DictRow,
  failed,
  found,
  type HandlerErrorReply,
  type LookupReply,
  notFound,
} from '#dovecot-dict';
import type { Accounts } from './accounts.ts';
import { parseLastLoginKey, parseLookupKey, USERDB_PATH } from './lookup-key.ts';
import { formatPassdbReply, formatUserdbReply, VERIFIED_PASSDB_REPLY } from './userdb.ts';

const TEMPORARY_PASSDB_REPLY = found('');
const TEMPORARY_USERDB_REPLY = failed('temporary failure');

/** Answers look-ups and iterations on the socket `auth`. */
export function createAuthHandler(accounts: Accounts, log: Logger): DictHandler {
  return {
    lookup: ({ key }) => {
      const lookup = parseLookupKey(key);
      switch (lookup.kind) {
        case 'passdb':
          return answerPassdb(accounts, lookup.user, lookup.password);
        case 'userdb':
          return answerUserdb(accounts, lookup.user);
        case 'malformed':
          log.warn('not a passdb or userdb key: check password_key and user_key in the Dovecot configuration');
          return lookup.isPassdb ? TEMPORARY_PASSDB_REPLY : failed('unknown key');
      }
    },
    iterate: ({ path }) => (path.toString('latin1') === USERDB_PATH ? userRows(accounts) : failed('unknown path')),
  };
}

/** Chooses the reply on the socket `auth` when a handler function threw or was late. */
export function createAuthErrorReply(log: Logger): HandlerErrorReply {
  return (error, command) => {
    log.error('a dict command failed', { listener: 'auth', error });
    if (command.type !== 'lookup') return undefined;
    return parseLookupKey(command.key).kind === 'userdb' ? TEMPORARY_USERDB_REPLY : TEMPORARY_PASSDB_REPLY;
  };
}

/** Takes the transactions of the socket `lastlogin`. */
export function createLastLoginHandler(accounts: Accounts): DictHandler {
  return {
    async commit({ operations }) {
      const logins = operations.map(parseLogin);
      if (logins.includes(undefined)) return failed('unknown key');
      for (const login of logins) await accounts.recordLogin(login!.user, login!.value);
      return committed;
    },
  };
}

async function answerPassdb(accounts: Accounts, user: string, password: Buffer): Promise<LookupReply> {
  const outcome = await accounts.login(user, password);
  switch (outcome.kind) {
    case 'found':
      return found(formatPassdbReply(outcome.hash));
    case 'verified':
      return found(VERIFIED_PASSDB_REPLY);
    case 'refused':
      return notFound;
    case 'temporary':
      return TEMPORARY_PASSDB_REPLY;
  }
}

async function answerUserdb(accounts: Accounts, user: string): Promise<LookupReply> {
  const outcome = await accounts.lookup(user);
  switch (outcome.kind) {
    case 'found':
      return found(formatUserdbReply(outcome.home, outcome.owner));
    case 'unknown':
      return notFound;
    case 'temporary':
      return TEMPORARY_USERDB_REPLY;
  }
}

async function* userRows(accounts: Accounts): AsyncGenerator<DictRow> {
  for await (const user of accounts.list()) yield { key: USERDB_PATH + user, value: '' };
}

function parseLogin(operation: DictOperation): { readonly user: string; readonly value: Buffer } | undefined {
  const user = operation.type === 'set' ? parseLastLoginKey(operation.key) : undefined;
  return operation.type === 'set' && user !== undefined ? { user, value: operation.value } : undefined;
}
