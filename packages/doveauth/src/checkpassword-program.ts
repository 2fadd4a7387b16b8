/**
 * [io] doveauth-checkpassword: doveauth for programs that speak the checkpassword interface (cr.yp.to/checkpwd/interface.html)
 * as Dovecot 2.3 extends it (its src/auth/passdb-checkpassword.c), and for pam_exec(8). Asks doveauth's dict socket: the
 * account is found or created there, the password is verified here. A process for every login, so it loads little.
 * Never says "wrong password" or "no such user" when it does not know: that is exit code 111.
 */

import { readSync, writeSync } from 'node:fs';
import { type ClientLookupReply, lookUp } from '#dovecot-dict/client';
import {
  type Account,
  EXIT_FOUND,
  EXIT_OK,
  EXIT_REFUSED,
  EXIT_TEMPORARY,
  EXIT_UNKNOWN,
  formatReply,
  formatReplyEnvironment,
  MAX_CREDENTIALS_BYTES,
  parseAccount,
  parseCheckpasswordArguments,
  parseCredentials,
  parsePamPassword,
} from './checkpassword-interface.ts';
import { findProgram } from './find-program.ts';
import { formatPassdbKey, formatUserdbKey } from './lookup-key.ts';

/** Dovecot gives up after 60 s; doveauth itself answers within 5. */
const TIMEOUT_MS = 15_000;
const CREDENTIALS_FD = 3;
const REPLY_FD = 4;
/** Dovecot's own PROGRAM: its work, one line on descriptor 4, is done here, which saves a process. */
const DOVECOT_REPLY = /(?:^|\/)checkpassword-reply$/;

/** Does all of it; resolves with the exit code, and never rejects. */
export async function runCheckpassword(): Promise<number> {
  return decide().catch((error: NodeJS.ErrnoException) => {
    // A code and no message: that could quote what it is about.
    process.stderr.write(`doveauth-checkpassword: ${error.code ?? error.name}: no decision could be made\n`);
    return EXIT_TEMPORARY;
  });
}

async function decide(): Promise<number> {
  const options = parseCheckpasswordArguments(process.argv.slice(2));
  if (options === undefined) {
    process.stderr.write('usage: doveauth-checkpassword [--socket PATH] PROGRAM [ARG...] | --pam\n');
    return EXIT_TEMPORARY;
  }
  const { PAM_USER = '', AUTHORIZED, ORIG_UID } = process.env;
  if (options.isPam) {
    const password = parsePamPassword(readAll(0));
    if (!password) {
      process.stderr.write(
        'doveauth-checkpassword: refused: of a password over 510 bytes pam_exec may pass on only a part\n',
      );
      return EXIT_REFUSED;
    }
    return (await check(options.socket, Buffer.from(PAM_USER).toString('latin1'), password)).code;
  }
  const credentials = parseCredentials(readAll(CREDENTIALS_FD));
  if (!credentials) return EXIT_TEMPORARY;
  const isLookup = AUTHORIZED === '1';
  const { code, account } = isLookup
    ? await find(options.socket, credentials.user)
    : await check(options.socket, credentials.user, credentials.password);
  if (!account) return code;
  const [program = '', ...args] = options.program;
  if (DOVECOT_REPLY.test(program)) {
    writeSync(REPLY_FD, formatReply(account));
    return isLookup ? EXIT_FOUND : EXIT_OK;
  }
  // Only Dovecot sets either.
  if (ORIG_UID === undefined && !isLookup) return become(program, args, account);
  return runForReply(program, args, formatReplyEnvironment(process.env, account, isLookup));
}

interface Answer {
  readonly code: number;
  readonly account?: Account;
}

/** Verifies a password; the account may come into being. Both questions go out together and are answered in order. */
async function check(socket: string, user: string, password: Buffer): Promise<Answer> {
  const keys = [formatPassdbKey(user, password), formatUserdbKey(user)];
  const questions = keys.map((key) => ({ key }));
  // What verifies loads while doveauth looks.
  const [[passdb, userdb], { verifyPassword }] = await Promise.all([
    lookUp(socket, questions, TIMEOUT_MS),
    import('./sha512-crypt.ts'),
  ]);
  if (passdb?.kind === 'notFound') return { code: EXIT_REFUSED };
  const account = parseAccount(user, userdb);
  if (!account) return { code: EXIT_TEMPORARY };
  const hash = storedHash(passdb);
  const isVerified = hash === undefined || verifyPassword(password, hash);
  return isVerified ? { code: EXIT_OK, account } : { code: EXIT_REFUSED };
}

/**
 * What to verify the password against, or undefined where doveauth has verified it.
 *
 * @throws SyntaxError when doveauth has trouble: its reply is then empty
 */
function storedHash(reply: ClientLookupReply | undefined): string | undefined {
  const fields = JSON.parse(reply?.kind === 'found' ? String(reply.values[0]) : '') as Record<string, string>;
  return fields.nopassword === undefined ? (fields.password ?? '') : undefined;
}

async function find(socket: string, user: string): Promise<Answer> {
  const [userdb] = await lookUp(socket, [{ key: formatUserdbKey(user) }], TIMEOUT_MS);
  if (userdb?.kind === 'notFound') return { code: EXIT_UNKNOWN };
  const account = parseAccount(user, userdb);
  return account ? { code: EXIT_FOUND, account } : { code: EXIT_TEMPORARY };
}

/**
 * Runs a program that ends in Dovecot's reply program; its exit code is ours. Neither user nor directory change: the reply
 * program insists on the user Dovecot started us as, who may not enter mailboxes.
 * A child, since descriptor 4 must be open in it: Node closes all but the first three when it becomes another program.
 */
async function runForReply(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const { spawnSync } = await import('node:child_process');
  const { status, error } = spawnSync(program, args, {
    env,
    stdio: ['inherit', 'inherit', 'inherit', CREDENTIALS_FD, REPLY_FD],
  });
  if (error) throw error;
  return status ?? EXIT_TEMPORARY;
}

/**
 * Becomes the program, as the user where we are root, in their directory. Returns or throws only when that fails: a shell's
 * 126 or 127 is nothing that whoever called us knows.
 */
function become(program: string, args: readonly string[], { user, home, uid, gid }: Account): number {
  if (process.geteuid?.() === 0) {
    process.setgroups!([gid]);
    process.setgid!(gid);
    process.setuid!(uid);
  }
  process.chdir(home);
  const env = { ...process.env, USER: user, HOME: home, SHELL: '/bin/sh' };
  const path = findProgram(program, process.env.PATH);
  if (path === undefined) {
    process.stderr.write('doveauth-checkpassword: PROGRAM is not there, or may not be run\n');
    return EXIT_TEMPORARY;
  }
  try {
    process.execve!(path, [program, ...args], env);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOEXEC') throw error;
    // A script without #!, as shells have always run them.
    process.execve!('/bin/sh', ['sh', path, ...args], env);
  }
  return EXIT_TEMPORARY;
}

/** Everything up to the end, or one byte more than is allowed. */
function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(MAX_CREDENTIALS_BYTES + 1);
  let length = 0;
  for (let count = 1; count > 0 && length < bytes.length; length += count) {
    count = readSync(fd, bytes, length, bytes.length - length, null);
  }
  return bytes.subarray(0, length);
}
