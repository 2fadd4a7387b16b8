/**
 * [io] Free TCP ports on loopback. Postfix and Dovecot bind their ports themselves, so a port can be lost between our look
 * and their start; it is picked outside the range the kernel hands out for connections, at random, and held until then.
 */

import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { DemoError } from './demo-error.ts';

/** Below the ephemeral range of Linux (32768 and up), above what daemons commonly use. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const ATTEMPTS = 200;

export interface HeldPorts {
  readonly ports: readonly number[];
  /** Lets go of them, just before the servers meant for them start. */
  release(): Promise<void>;
}

/**
 * Finds and holds `count` ports on `address`.
 *
 * @param except ports that are somebody's, who has yet to start
 * @throws DemoError `host` when there are not that many
 */
export async function holdPorts(
  count: number,
  address = '127.0.0.1',
  except: readonly number[] = [],
): Promise<HeldPorts> {
  const held = new Map<number, Server>();
  let lastError: unknown;
  for (let attempt = 0; held.size < count && attempt < ATTEMPTS; attempt++) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (held.has(port) || except.includes(port)) continue;
    const server = createServer().listen({ port, host: address, exclusive: true });
    try {
      await once(server, 'listening');
      held.set(port, server);
    } catch (error) {
      lastError = error;
    }
  }
  const release = async () => {
    await Promise.all([...held.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  };
  if (held.size < count) {
    await release();
    throw new DemoError('host', `no free TCP ports between ${FIRST_PORT} and ${LAST_PORT} on ${address}: ${lastError}`);
  }
  return { ports: [...held.keys()], release };
}
