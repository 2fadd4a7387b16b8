/**
 * [io] The thread that computes password hashes, so that the event loop never does. One message in, one message out, in
 * order. It knows nothing of accounts.
 */

import { randomBytes } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { formatSalt, hashPassword, SALT_BYTES, UnknownHashError, verifyPassword } from './sha512-crypt.ts';

/** Passwords are copies made for this message. */
export type HashTask =
  | { readonly kind: 'hash'; readonly password: Uint8Array }
  | { readonly kind: 'verify'; readonly password: Uint8Array; readonly stored: string };

/** Null: the stored hash cannot be judged. */
export type HashAnswer = string | boolean | null;

parentPort?.on('message', (task: HashTask) => {
  parentPort?.postMessage(answer(task));
});

/** An error that left this thread would end it, and fail the tasks of others. */
function answer(task: HashTask): HashAnswer {
  if (task.kind === 'hash') return hashPassword(task.password, formatSalt(randomBytes(SALT_BYTES)));
  try {
    return verifyPassword(task.password, task.stored);
  } catch (error) {
    if (error instanceof UnknownHashError) return null;
    throw error;
  }
}
