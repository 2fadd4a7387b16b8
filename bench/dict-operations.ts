/**
 * What the dict benchmark asks for, byte for byte as Dovecot 2.3 does. Pure.
 * `%u` is for dict-load.c: the number of the request, in eight digits.
 */

const GUID = '88b5140ddc6d026b1010000083ecc375';
/** `%u` becomes the number of the account: nine characters before the `@`. */
export const ACCOUNT = 'u%u@[127.0.0.1]';
const NEW_ACCOUNT = 'c%u@[127.0.0.1]';
export type ServerName = 'auth' | 'lastlogin' | 'metadata';

export interface Operation {
  readonly name: string;
  readonly server: ServerName;
  readonly request: string;
  /** Start of a good reply. */
  readonly expect: string;
  /** A connection for each request. */
  readonly fresh?: boolean;
  /** Every request is about an account nobody has seen yet; the reference is then crypt(3). */
  readonly creates?: boolean;
  /** Every account must have a device token first. */
  readonly needsTokens?: boolean;
  /** Existing accounts are looked up at the same time, and their figures are the row's. */
  readonly meanwhile?: boolean;
}

export const passdb = (account: string) => `Lshared/passdb/correct-horse"${account}\t${account}\n`;
const commit = (account: string, key: string, value: string) => `B%u\t${account}\nS%u\t${key}\t${value}\nC%u\n`;

export const SET_TOKEN = commit(ACCOUNT, `priv/${GUID}/devicetoken`, 'token%u');

export const OPERATIONS: readonly Operation[] = [
  { name: 'passdb', server: 'auth', request: passdb(ACCOUNT), expect: 'O{' },
  { name: 'passdb-fresh', server: 'auth', request: passdb(ACCOUNT), expect: 'O{', fresh: true },
  { name: 'userdb', server: 'auth', request: `Lshared/userdb/${ACCOUNT}\t${ACCOUNT}\n`, expect: 'O{' },
  {
    name: 'last-login',
    server: 'lastlogin',
    request: commit(ACCOUNT, `shared/last-login/${ACCOUNT}`, '1795321111'),
    expect: 'O',
  },
  { name: 'create', server: 'auth', request: passdb(NEW_ACCOUNT), expect: 'O{', creates: true },
  { name: 'create+passdb', server: 'auth', request: passdb(NEW_ACCOUNT), expect: 'O{', creates: true, meanwhile: true },
  { name: 'set-token', server: 'metadata', request: SET_TOKEN, expect: 'O' },
  {
    name: 'get-token',
    server: 'metadata',
    request: `Lpriv/${GUID}/devicetoken\t${ACCOUNT}\n`,
    expect: 'O',
    needsTokens: true,
  },
  {
    name: 'message-new',
    server: 'metadata',
    request: commit(ACCOUNT, `priv/${GUID}/messagenew`, ''),
    expect: 'O',
    needsTokens: true,
  },
];
