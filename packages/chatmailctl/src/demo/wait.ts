/** [io] Waiting for servers and files to be there, by looking again. */

import { connect, type NetConnectOpts } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between two looks. */
const POLL_MS = 20;

/** Resolves when a port (of 127.0.0.1 unless said) or a Unix socket accepts; at most a minute. */
export async function connectsTo(
  target: { host?: string | undefined; port: number } | { path: string },
): Promise<void> {
  const { host = '127.0.0.1' } = 'port' in target ? target : {};
  await until(() => accepts('port' in target ? { host, port: target.port } : target), 60_000);
}

/** Whether something accepts connections there. */
export async function accepts(target: NetConnectOpts): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(target);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/**
 * Resolves when `condition` holds.
 *
 * @throws Error after `timeoutMs`
 */
export async function until(condition: () => Promise<boolean> | boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`did not come about within ${timeoutMs / 1000} s`);
    await sleep(POLL_MS);
  }
}
