/**
 * [io] A Dovecot of its own: own configuration, sockets, state and log, none of /etc/dovecot or /run/dovecot. It runs in
 * the foreground, so that it is our child and ends with us.
 */

import { mkdir } from 'node:fs/promises';
import type { RelayLayout } from '../layout.ts';
import { renderDovecot23 } from '../render/dovecot-2.3.ts';
import type { Guard } from './guard.ts';
import { ManagedProcess } from './managed-process.ts';
import { writeFiles } from './relay-files.ts';
import { connectsTo } from './wait.ts';

/**
 * Starts Dovecot and resolves when IMAP, LMTP and SASL answer. The directories of its sockets must exist.
 *
 * @throws DemoError `start`
 */
export async function startDovecot(layout: RelayLayout, logFile: string, guard: Guard): Promise<ManagedProcess> {
  const { dovecotConfig, dovecotRun, dovecotState } = layout.directories;
  for (const directory of [dovecotConfig, dovecotRun, dovecotState]) await mkdir(directory, { recursive: true });
  await writeFiles(renderDovecot23(layout));
  const args = ['-F', '-c', `${dovecotConfig}/dovecot.conf`];
  const server = new ManagedProcess({ name: 'Dovecot', command: 'dovecot', args, logFile }, guard);
  try {
    await server.during(connectsTo({ path: layout.sockets.sasl }));
    await server.during(connectsTo({ path: layout.sockets.lmtp }));
    await server.during(connectsTo({ host: layout.listenAddress, port: layout.ports.imaps }));
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}
