/**
 * [io] Connects to the relay's ports as a client does: whether somebody answers, with TLS where there must be some, and which
 * certificate is shown.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { inspectCertificate } from '../tls/certificate.ts';
import type { PortFacts, ServedCertificate } from './facts.ts';

const TIMEOUT_MS = 5000;
const HOST = '127.0.0.1';

export interface Listener {
  readonly port: number;
  readonly service: string;
  /** TLS from the first byte. */
  readonly tls: boolean;
  /** What the server says first; undefined: the client speaks first. */
  readonly greeting: string | undefined;
}

/** Tries one port. */
export async function tryPort({ port, service, tls, greeting }: Listener): Promise<PortFacts> {
  const trouble = await withSocket(
    tls ? tlsSocket(port, undefined) : connect(port, HOST),
    tls,
    async (socket, signal) => {
      if (greeting === undefined) return undefined;
      const [data] = (await once(socket, 'data', { signal })) as [Buffer];
      const text = data.toString('latin1');
      return text.startsWith(greeting) ? undefined : `answers '${text.split(/\r?\n/)[0]!.slice(0, 60)}'`;
    },
  ).catch(troubleOf);
  return { port, service, trouble };
}

/**
 * Looks at the certificate shown on a port with TLS.
 *
 * @param name the relay's: a DNS name or an IPv4 address
 * @throws Error when there is no TLS to be had
 */
export async function readServedCertificate(port: number, name: string): Promise<ServedCertificate> {
  const socket = tlsSocket(port, /^[\d.]+$/.test(name) ? undefined : name);
  return await withSocket(socket, true, async () => {
    const facts = inspectCertificate(socket.getPeerX509Certificate()!.toString(), undefined, name);
    if ('problem' in facts) throw new Error(`the certificate ${facts.problem}`);
    return { ...facts, refusedFor: socket.authorized ? undefined : String(socket.authorizationError) };
  });
}

function tlsSocket(port: number, servername: string | undefined): TLSSocket {
  return connectTls({ host: HOST, port, rejectUnauthorized: false, ...(servername ? { servername } : {}) });
}

/** The signal is aborted when it takes too long, and when the other side closes the connection without a word. */
async function withSocket<T>(
  socket: Socket,
  tls: boolean,
  work: (socket: Socket, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const closed = new AbortController();
  socket.once('close', () => closed.abort());
  const signal = AbortSignal.any([closed.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    await once(socket, tls ? 'secureConnect' : 'connect', { signal });
    return await work(socket, signal);
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}

function troubleOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ECONNREFUSED') return 'nobody listens';
  return error.name === 'AbortError' || error.name === 'TimeoutError' ? 'no answer' : (error.code ?? error.message);
}
