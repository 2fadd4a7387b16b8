/**
 * Reads a connection's bytes, by default through one buffer that all connections share. [io]
 *
 * A plain net.Socket allocates 64 KiB for every read, memory that comes back only when the garbage collector gets to it:
 * with 50 messages of 10 MB at once that is some 50 MB more. `onread` (documented for client sockets) reads into a buffer of
 * ours. For an accepted socket Node has no such option, so its handle is moved to a new net.Socket; where the handle does
 * not look as expected the plain way is used. Both ways are tested.
 */

import { Socket, type SocketConstructorOpts } from 'node:net';

/** As much as Node reads at once, and a whole body chunk of Postfix. */
const READ_BUFFER_BYTES = 65_536;

/** One for the process: a read is handed on, and done with, before the next one begins. */
const sharedBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** Called with each piece read, a view valid only during the call; false stops reading until {@link Reading.resume}. */
export type OnBytes = (bytes: Buffer) => boolean;

/** An accepted connection, not read from before the first `resume`. */
export interface Reading {
  /** The socket to write to and to listen to for `close`, `drain` and `error`. */
  readonly socket: Socket;
  readonly resume: () => void;
}

/** What is used of the handle inside a net.Socket, and of the socket itself; neither is documented. */
interface Handle {
  reading: boolean;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
}
interface SocketInternals {
  _handle: Handle | null;
  _server: unknown;
  server: unknown;
}

/** Takes over a socket just accepted; call it from the `connection` event itself, before anything is read. */
export function openReading(accepted: Socket, way: 'shared' | 'plain', onBytes: OnBytes): Reading {
  return (way === 'shared' ? openShared(accepted, onBytes) : undefined) ?? openPlain(accepted, onBytes);
}

function openPlain(socket: Socket, onBytes: OnBytes): Reading {
  socket.pause();
  socket.on('data', (bytes: Buffer) => {
    if (!onBytes(bytes)) socket.pause();
  });
  // Adding the listener starts the flow unless the socket was paused before; say so once more for older releases.
  socket.pause();
  return { socket, resume: () => socket.resume() };
}

function openShared(accepted: Socket, onBytes: OnBytes): Reading | undefined {
  const from = accepted as unknown as SocketInternals;
  const handle = from._handle;
  if (typeof handle?.readStop !== 'function' || typeof handle.useUserBuffer !== 'function') return undefined;
  handle.readStop();
  handle.reading = false;
  const onRead = (length: number) => onBytes(sharedBuffer.subarray(0, length));
  const options = {
    handle,
    readable: true,
    writable: true,
    manualStart: true,
    onread: { buffer: sharedBuffer, callback: onRead },
  };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  // The server counts this socket instead of the one it made, or its close() would never finish.
  const to = socket as unknown as SocketInternals;
  to._server = from._server;
  to.server = from.server;
  from._server = null;
  from._handle = null;
  accepted.destroy();
  return { socket, resume: () => socket.resume() };
}
