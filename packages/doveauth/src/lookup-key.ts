/**
 * The dict keys Dovecot 2.3 asks for: `shared/passdb/PASSWORD"USER`, `shared/userdb/USER`, `shared/last-login/USER`.
 * `%E` in Dovecot's configuration puts a backslash before every `"`, `'` and `\` of the password and of the name, so the
 * first bare quote is the border. Source: dovecot 2.3 src/auth/db-dict.c, auth-dict.conf as chatmailctl renders it.
 * Everything stays bytes: a password need not be UTF-8. Names become latin1 text, in which no byte above 0x7f can pass
 * for an ASCII letter.
 */

const BACKSLASH = 0x5c;
const QUOTE = 0x22;

const PASSDB_PREFIX = Buffer.from('shared/passdb/');
const USERDB_PREFIX = Buffer.from('shared/userdb/');
const LAST_LOGIN_PREFIX = Buffer.from('shared/last-login/');

/** The path under which Dovecot iterates over all accounts. */
export const USERDB_PATH = 'shared/userdb/';

export type LookupKey =
  | { readonly kind: 'passdb'; readonly user: string; readonly password: Buffer }
  | { readonly kind: 'userdb'; readonly user: string }
  /** Nothing Dovecot sends when its configuration is right. `isPassdb`: the key may hold a password. */
  | { readonly kind: 'malformed'; readonly isPassdb: boolean };

/** Takes a look-up key apart. Never throws; linear in the length of the key. */
export function parseLookupKey(key: Buffer): LookupKey {
  if (startsWith(key, PASSDB_PREFIX)) {
    const password = unescapeUntilQuote(key, PASSDB_PREFIX.length);
    const user = password.end < key.length ? unescapeUntilQuote(key, password.end + 1) : undefined;
    return user?.end === key.length
      ? { kind: 'passdb', user: user.bytes.toString('latin1'), password: password.bytes }
      : { kind: 'malformed', isPassdb: true };
  }
  if (startsWith(key, USERDB_PREFIX)) {
    const user = unescapeUntilQuote(key, USERDB_PREFIX.length);
    if (user.end === key.length) return { kind: 'userdb', user: user.bytes.toString('latin1') };
  }
  return { kind: 'malformed', isPassdb: false };
}

/** The user of a last-login key, or undefined when it is another key. The plugin writes names without escapes. */
export function parseLastLoginKey(key: Buffer): string | undefined {
  return startsWith(key, LAST_LOGIN_PREFIX) ? key.toString('latin1', LAST_LOGIN_PREFIX.length) : undefined;
}

/** The inverse of {@link parseLookupKey} for a passdb key. `user` is latin1 text. */
export function formatPassdbKey(user: string, password: Buffer): Buffer {
  return Buffer.concat([PASSDB_PREFIX, backslash(password), Buffer.of(QUOTE), backslash(Buffer.from(user, 'latin1'))]);
}

/** The inverse of {@link parseLookupKey} for a userdb key. `user` is latin1 text. */
export function formatUserdbKey(user: string): Buffer {
  return Buffer.concat([USERDB_PREFIX, backslash(Buffer.from(user, 'latin1'))]);
}

function backslash(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(/["'\\]/g, '\\$&'), 'latin1');
}

function startsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

/** Removes backslashes up to the first bare quote or the end; `end` is where it stopped. */
function unescapeUntilQuote(key: Buffer, start: number): { readonly bytes: Buffer; readonly end: number } {
  const bytes = Buffer.alloc(key.length - start);
  let length = 0;
  let at = start;
  for (; at < key.length && key[at] !== QUOTE; at++) {
    // A backslash at the very end escapes nothing and stays.
    if (key[at] === BACKSLASH && at + 1 < key.length) at++;
    bytes[length++] = key[at]!;
  }
  return { bytes: bytes.subarray(0, length), end: at };
}
