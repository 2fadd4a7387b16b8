/**
 * [io] Credentials from chatmail-turn: it writes one line, `EXPIRY:PASSWORD`, to whoever connects to its Unix socket.
 * Source: chatmaild/turnserver.py; chatmail/core src/calls.rs for the form. EXPIRY doubles as the TURN user name.
 */

import { connect } from 'node:net';

/** Longest wait for the line; Dovecot logs lookups that take this long. */
const TIMEOUT_MS = 5000;
/** Longest line, bytes; ordinary ones have about 40. */
const MAX_LINE_BYTES = 1024;
/** Clients read the expiry as a signed 64-bit number and split at the first colons. */
const CREDENTIALS = /^\d{1,18}:[!-~]+$/;

/**
 * Asks for credentials.
 *
 * @returns `EXPIRY:PASSWORD`; undefined when there is no such service, or it does not answer in time or in form
 */
export function readTurnCredentials(socketPath: string, timeoutMs = TIMEOUT_MS): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let text = '';
    const end = (credentials: string | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(credentials);
    };
    const finish = () => {
      const line = text.split('\n', 1)[0]!.trimEnd();
      end(CREDENTIALS.test(line) ? line : undefined);
    };
    const timer = setTimeout(() => end(undefined), timeoutMs);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('\n') || text.length > MAX_LINE_BYTES) finish();
    });
    socket.on('end', finish);
    socket.on('error', () => end(undefined));
  });
}
