/**
 * What goes into and comes out of a checkpassword program, apart from the doing.
 * Source: cr.yp.to/checkpwd/interface.html; dovecot 2.3.19 src/auth/db-checkpassword.c, src/util/checkpassword-reply.c.
 */

import { type ClientLookupReply, tabEscape } from '#dovecot-dict/client';

/** The password is right. */
export const EXIT_OK = 0;
export const EXIT_REFUSED = 1;
/** A look-up without a password found the user (sic). */
export const EXIT_FOUND = 2;
/** A look-up without a password found nobody. */
export const EXIT_UNKNOWN = 3;
/** Nothing can be said just now. */
export const EXIT_TEMPORARY = 111;

/** All that may stand on descriptor 3. */
export const MAX_CREDENTIALS_BYTES = 512;
/**
 * pam_exec(8) passes on 511 bytes of a longer password and does not say so (PAM_MAX_RESP_SIZE, with a NUL): one of 511 may not be
 * whole. Seen with Linux-PAM 1.5.2 and 1.7.0.
 */
const MAX_PAM_PASSWORD_BYTES = 510;

const DEFAULT_SOCKET = '/run/doveauth/doveauth.socket';

export interface CheckpasswordArguments {
  readonly socket: string;
  /** Called by pam_exec: the user in the environment, the password on standard input. */
  readonly isPam: boolean;
  /** What to run when the password is right. */
  readonly program: readonly string[];
}

/** Parses the words after the program's name; undefined when they make no sense. Options of PROGRAM are left alone. */
export function parseCheckpasswordArguments(words: readonly string[]): CheckpasswordArguments | undefined {
  let socket = DEFAULT_SOCKET;
  let rest = words;
  if (rest[0] === '--socket') {
    socket = (rest[1] ?? '').replace(/^unix:/, '');
    rest = rest.slice(2);
  }
  const isPam = rest[0] === '--pam';
  const program = isPam ? rest.slice(1) : rest;
  const isComplete = isPam ? program.length === 0 : program.length > 0 && !program[0]!.startsWith('-');
  return socket.startsWith('/') && isComplete ? { socket, isPam, program } : undefined;
}

/** `user NUL password NUL timestamp NUL`, or undefined when it is not that. The user is latin1 text. */
export function parseCredentials(bytes: Buffer): { readonly user: string; readonly password: Buffer } | undefined {
  const userEnd = bytes.indexOf(0);
  const passwordEnd = userEnd === -1 ? -1 : bytes.indexOf(0, userEnd + 1);
  if (passwordEnd === -1 || bytes.length > MAX_CREDENTIALS_BYTES) return undefined;
  return { user: bytes.toString('latin1', 0, userEnd), password: bytes.subarray(userEnd + 1, passwordEnd) };
}

/**
 * The password pam_exec(8) writes to standard input, of which at most {@link MAX_CREDENTIALS_BYTES} and one more were read.
 * Undefined when it may not be the whole of it.
 */
export function parsePamPassword(bytes: Buffer): Buffer | undefined {
  const password = bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes;
  return password.length <= MAX_PAM_PASSWORD_BYTES ? password : undefined;
}

export interface Account {
  readonly user: string;
  readonly home: string;
  readonly uid: number;
  readonly gid: number;
}

/** The account in a userdb reply, or undefined when there is none in it. */
export function parseAccount(user: string, reply: ClientLookupReply | undefined): Account | undefined {
  if (reply?.kind !== 'found') return undefined;
  const { home, uid, gid } = JSON.parse(String(reply.values[0])) as Record<string, string>;
  return home === undefined ? undefined : { user, home, uid: Number(uid), gid: Number(gid) };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What a program gets to know that ends in Dovecot's checkpassword-reply: `EXTRA` names further fields for the reply. */
export function formatReplyEnvironment(inherited: Environment, account: Account, isLookup: boolean): Environment {
  const { user, home, uid, gid } = account;
  return {
    ...inherited,
    USER: user,
    HOME: home,
    userdb_uid: String(uid),
    userdb_gid: String(gid),
    EXTRA: ['userdb_uid userdb_gid', ...(inherited.EXTRA ? [inherited.EXTRA] : [])].join(' '),
    // Proves that a look-up was understood as one; checkpassword-reply exits with 2 for it.
    ...(isLookup ? { AUTHORIZED: '2' } : {}),
  };
}

/** What Dovecot's checkpassword-reply would write to descriptor 4: no line feed, no NUL. */
export function formatReply({ user, home, uid, gid }: Account): Buffer {
  const fields = [`user=${user}`, `userdb_home=${home}`, `userdb_uid=${uid}`, `userdb_gid=${gid}`];
  return Buffer.concat(fields.map((field) => Buffer.concat([tabEscape(Buffer.from(field)), Buffer.from('\t')])));
}
