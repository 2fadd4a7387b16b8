/**
 * [io] A Postfix of its own: own configuration, queue and log, none of /etc/postfix or /var/spool/postfix. Its master(8) is
 * our child: `postfix start` and `start-fg` put it into a session of its own, where it would outlive us.
 */

import { chown, mkdir } from 'node:fs/promises';
import { LineSocket } from '../client/line-socket.ts';
import type { RelayLayout } from '../layout.ts';
import { renderPostfix } from '../render/postfix.ts';
import { run } from '../run.ts';
import type { SystemAccount } from './accounts.ts';
import { DemoError } from './demo-error.ts';
import type { Guard } from './guard.ts';
import { ManagedProcess } from './managed-process.ts';
import { writeFiles } from './relay-files.ts';
import { connectsTo } from './wait.ts';

/**
 * Starts Postfix and resolves when all its ports answer.
 *
 * @throws DemoError `start`
 */
export async function startPostfix(
  layout: RelayLayout,
  postfix: SystemAccount,
  logFile: string,
  guard: Guard,
): Promise<ManagedProcess> {
  const { postfixConfig, postfixQueue, postfixData } = layout.directories;
  for (const directory of [postfixConfig, postfixQueue, postfixData]) await mkdir(directory, { recursive: true });
  await chown(postfixData, postfix.uid, postfix.gid);
  await writeFiles(renderPostfix(layout));
  // Creates the queue directories with the owners Postfix insists on, and finds mistakes in the configuration.
  const check = await run('postfix', ['-c', postfixConfig, 'check']);
  if (check.code !== 0) throw new DemoError('start', `Postfix refuses its configuration: ${check.output.trim()}`);

  const { output } = await run('postconf', ['-c', postfixConfig, '-h', 'daemon_directory']);
  const command = `${output.trim()}/master`;
  const server = new ManagedProcess({ name: 'Postfix', command, args: ['-c', postfixConfig, '-s'], logFile }, guard);
  const { smtp, submissions, submission } = layout.ports;
  try {
    const host = layout.listenAddress;
    await server.during(greets(smtp, layout));
    for (const port of [submissions, submission]) {
      if (port !== undefined) await server.during(connectsTo({ host, port }));
    }
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Resolves when the server on a port greets with our name; rejects when it is another's. */
async function greets(port: number, { hostname, listenAddress: host }: RelayLayout): Promise<void> {
  await connectsTo({ host, port });
  const lines = await LineSocket.connect(port, { host, tls: false });
  try {
    const greeting = await lines.readLine();
    if (!greeting.startsWith(`220 ${hostname} `)) {
      throw new DemoError('start', `port ${port} was taken by another program while Postfix started; try again.`);
    }
  } finally {
    lines.close();
  }
}
