/**
 * [io] Changes what metadata-push keeps, over its dict socket and from outside of Dovecot: accounts that are gone are forgotten with
 * their device tokens and queued pushes, those of a backup get theirs again. Answered when it is on disk.
 * Source: dovecot 2.3 src/lib-dict/dict-client.h (protocol 3.2). This is the small part of a dict client that one command
 * needs; answers are in the order of the questions.
 */

import { existsSync } from 'node:fs';
import { connect } from 'node:net';

/** Where metadata-push listens unless told otherwise. */
export const METADATA_SOCKET = '/run/chatmail-metadata/metadata.socket';
/** The whole conversation may take this long, ms. */
const TIMEOUT_MS = 30_000;
/** Transactions sent before their answers are waited for: far below what either side buffers. */
const TRANSACTIONS_AT_ONCE = 100;
/** An answer is a letter and a number, or a reason. */
const MAX_LINE_CHARACTERS = 8192;

/** One operation of one account; nothing in it holds a byte that this protocol would have to escape. */
interface Change {
  readonly account: string;
  /** The letter of the command, and what stands after the number of the transaction. */
  readonly command: 'S' | 'U';
  readonly rest: string;
}

/** The entry clients set, of a mailbox whose id nobody asks for. */
const DEVICE_TOKEN_KEY = `priv/${'0'.repeat(32)}/devicetoken`;

/**
 * Has the accounts forgotten by the daemon behind `socketPath`. Where neither that socket nor `stateDir` exists, nothing ever
 * was remembered, and there is nothing to do.
 *
 * @throws Error when the daemon cannot be reached or does not confirm every one of them
 */
export async function forgetAccounts(
  addresses: readonly string[],
  socketPath: string,
  stateDir: string,
): Promise<void> {
  if (!existsSync(socketPath) && !existsSync(stateDir)) return;
  const changes = addresses.map((account) => ({ account, command: 'U', rest: 'priv/account' }) as const);
  await change(changes, socketPath, 'forget an account');
}

/** A token a client has set. */
export interface AccountToken {
  readonly account: string;
  readonly token: string;
}

/**
 * Gives accounts device tokens, as if their clients had set them now.
 *
 * @throws Error when the daemon cannot be reached or does not confirm every one of them; Error for a token that is none
 */
export async function restoreDeviceTokens(tokens: readonly AccountToken[], socketPath: string): Promise<void> {
  const changes = tokens.map(({ account, token }) => {
    if (!/^[!-~]+$/.test(token)) throw new Error('not a device token');
    return { account, command: 'S', rest: `${DEVICE_TOKEN_KEY}\t${token}` } as const;
  });
  await change(changes, socketPath, 'take a device token');
}

async function change(changes: readonly Change[], socketPath: string, what: string): Promise<void> {
  if (changes.length === 0) return;
  await new Promise<void>((resolve, reject) => {
    const socket = connect(socketPath);
    let sent = 0;
    let confirmed = 0;
    let rest = '';
    const ask = () => {
      let lines = '';
      for (const end = Math.min(sent + TRANSACTIONS_AT_ONCE, changes.length); sent < end; sent++) {
        const { account, command, rest } = changes[sent]!;
        const number = sent + 1;
        lines += `B${number}\t${account}\n${command}${number}\t${rest}\nC${number}\n`;
      }
      socket.write(lines);
    };
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    const onLine = (line: string) => {
      if (!/^O(?:\d|\t|$)/.test(line)) return fail(new Error(`metadata-push could not ${what}`));
      confirmed++;
      if (confirmed === changes.length) {
        socket.end();
        resolve();
      } else if (confirmed === sent) ask();
    };
    socket.setEncoding('latin1').setTimeout(TIMEOUT_MS);
    socket.on('connect', () => {
      socket.write('H3\t2\t0\t\tmetadata\n');
      ask();
    });
    socket.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
      if (rest.length > MAX_LINE_CHARACTERS) fail(new Error('metadata-push sent an endless line'));
    });
    socket.on('timeout', () => fail(new Error('metadata-push does not answer')));
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('metadata-push closed the connection')));
  });
}
