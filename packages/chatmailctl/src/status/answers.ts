/**
 * [io] Asks our daemons something they answer without doing anything: systemd calls a process that hangs running all the same. One
 * that sleeps is woken.
 */

import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';

const TIMEOUT_MS = 5000;

/** milter-protocol.txt: a frame of 13 bytes, SMFIC_OPTNEG, version 6, all actions, all steps; and SMFIC_QUIT. */
const NEGOTIATION = Buffer.from('0000000d4f00000006000001ff001fffff', 'hex');
const QUIT = Buffer.from('0000000151', 'hex');
const SMFIC_OPTNEG = 0x4f;

/**
 * Negotiates with filtermail as Postfix does, and goes.
 *
 * @returns the milliseconds that took
 * @throws Error when nothing, or nothing sensible, comes back
 */
export async function askFilter(socketPath: string): Promise<number> {
  const began = performance.now();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const socket = connect(socketPath);
  try {
    await once(socket, 'connect', { signal });
    socket.write(NEGOTIATION);
    const closed = once(socket, 'close', { signal });
    const [data] = (await Promise.race([once(socket, 'data', { signal }), closed])) as [Buffer | boolean];
    closed.catch(() => {});
    if (typeof data === 'boolean' || data[4] !== SMFIC_OPTNEG) throw new Error('it does not speak the milter protocol');
    socket.end(QUIT);
    return performance.now() - began;
  } catch (error) {
    throw signal.aborted ? silent(error) : error;
  } finally {
    socket.on('error', () => {});
    if (!socket.writableEnded) socket.destroy();
  }
}

/**
 * Asks doveauth over HTTP about nobody.
 *
 * @returns the milliseconds until it answered, whatever it did
 * @throws Error when nothing comes back
 */
export async function askDoveauth(socketPath: string): Promise<number> {
  const began = performance.now();
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const outgoing = request({ socketPath, path: '/userdb', method: 'POST', agent: false, signal });
  // One error is thrown below; aborting makes another.
  outgoing.on('error', () => {});
  outgoing.end();
  try {
    await once(outgoing, 'response');
    return performance.now() - began;
  } catch (error) {
    throw signal.aborted ? silent(error) : error;
  } finally {
    outgoing.destroy();
  }
}

function silent(cause: unknown): Error {
  return new Error(`nothing within ${TIMEOUT_MS / 1000} s`, { cause });
}
