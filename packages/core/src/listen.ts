/**
 * [io] Listening sockets: `unix:/path`, `inet:127.0.0.1:PORT`, `inet:[::1]:PORT`, or descriptors inherited from systemd
 * (sd_listen_fds(3)), matched by their FileDescriptorName.
 */

import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, isIP, type ListenOptions, type Server } from 'node:net';
import { dirname } from 'node:path';
import { ConfigError, UsageError } from './errors.ts';

/** Connections the kernel keeps waiting for us. A short queue was the cause of failed first logins on older relays. */
const BACKLOG = 4096;
/** First inherited descriptor (SD_LISTEN_FDS_START). */
const FIRST_INHERITED_FD = 3;
/** Unix sockets are made with mode 0660: owner and group may connect. */
const SOCKET_UMASK = 0o117;

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet'; readonly host: string; readonly port: number }
  | { readonly kind: 'inherited'; readonly fd: number };

/**
 * Parses `unix:/path`, `inet:HOST:PORT` or `inet:[V6HOST]:PORT`; port 0 lets the system choose.
 *
 * @throws UsageError
 */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:/') && !text.includes('\0')) return { kind: 'unix', path: text.slice('unix:'.length) };
  const match = /^inet:(?:\[([0-9a-f:.]+)\]|([0-9.]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  if (isIP(host) !== 0 && port <= 65_535) return { kind: 'inet', host, port };
  throw new UsageError(
    `'${text}' is no address to listen on; write unix:/path, inet:127.0.0.1:PORT or inet:[::1]:PORT`,
  );
}

/** The inverse of {@link parseListenAddress}; for an inherited socket, `fd:N`. */
export function formatListenAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  if (address.kind === 'inherited') return `fd:${address.fd}`;
  return `inet:${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${address.port}`;
}

/**
 * Takes the sockets systemd passed to this very process, by name, and removes the variables so that children do not
 * mistake them for theirs. Empty when the process was not socket-activated.
 *
 * @throws ConfigError when the variables make no sense
 */
export function takeInheritedSockets(env: NodeJS.ProcessEnv, pid: number): Map<string, ListenAddress[]> {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const sockets = new Map<string, ListenAddress[]>();
  if (LISTEN_PID === undefined || Number(LISTEN_PID) !== pid) return sockets;
  const count = Number(LISTEN_FDS);
  const names = (LISTEN_FDNAMES ?? '').split(':');
  if (!Number.isInteger(count) || count < 1 || names.length !== count) {
    throw new ConfigError(
      `socket activation passed ${LISTEN_FDS} sockets with names '${LISTEN_FDNAMES}'; each needs a FileDescriptorName=`,
    );
  }
  for (const [index, name] of names.entries()) {
    sockets.set(name, [...(sockets.get(name) ?? []), { kind: 'inherited', fd: FIRST_INHERITED_FD + index }]);
  }
  return sockets;
}

/**
 * Makes a server listen. A socket file nobody listens on any more is replaced; one that is alive is left alone.
 *
 * @returns the address in use, with the port the system chose
 * @throws ConfigError when the address cannot be bound, saying why
 */
export async function listen(server: Server, address: ListenAddress): Promise<ListenAddress> {
  if (address.kind === 'unix') await removeStaleSocket(address.path);
  try {
    await bind(server, address);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `cannot listen on ${formatListenAddress(address)} (${code}): ${explain(address, code)}`,
      {},
      { cause: error },
    );
  }
  const bound = server.address();
  return address.kind === 'inet' && bound !== null && typeof bound === 'object'
    ? { ...address, port: bound.port }
    : address;
}

function bind(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const options: ListenOptions & { fd?: number } = { backlog: BACKLOG };
    if (address.kind === 'unix') options.path = address.path;
    if (address.kind === 'inet') Object.assign(options, { host: address.host, port: address.port });
    if (address.kind === 'inherited') options.fd = address.fd;
    const umask = process.umask(SOCKET_UMASK);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
    process.umask(umask);
  });
}

function explain(address: ListenAddress, code: string | undefined): string {
  // Asked of the file system, because Node reports a missing directory as EACCES.
  if (address.kind === 'unix' && !existsSync(dirname(address.path))) return 'the directory does not exist; create it';
  if (code === 'EADDRINUSE') return 'something else is there; remove it or choose another address';
  if (code === 'EACCES') return 'this user may not create it; check the owner of the directory';
  return 'choose another address';
}

/** Unlinks a socket file left by a process that is gone; anything that is not a socket is not ours to remove. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
  if (isStale) unlinkSync(path);
}
