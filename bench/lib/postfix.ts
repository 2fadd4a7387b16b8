/**
 * [io] A Postfix for load: its own configuration, queue and log in the workspace, one smtpd per variant on a loopback port,
 * all mail discarded after it was queued. Nothing of /etc/postfix or /var/spool/postfix is read or touched.
 *
 * One instance serves all variants, so that they share one queue, one cleanup and one log. Everything is as a relay has
 * it but TLS and SASL, which would cost the same with every filter; the login comes by XCLIENT instead.
 */

import { chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Program, runToEnd } from './process.ts';
import { BenchError, type Workspace } from './workspace.ts';

export interface SmtpService {
  readonly name: string;
  /** Socket of its milter; undefined: none. */
  readonly milter: string | undefined;
}

export interface PostfixInstance {
  readonly ports: ReadonlyMap<string, number>;
  /** Resolves when no message is queued any more, so that the next turn does not pay for this one. */
  settle(): Promise<void>;
  /** The last complaints in its log, to explain a failed turn. */
  complaints(): Promise<string>;
}

/**
 * Starts it and resolves when all services greet.
 *
 * @throws BenchError when Postfix refuses its configuration or does not start
 */
export async function startPostfix(workspace: Workspace, services: readonly SmtpService[]): Promise<PostfixInstance> {
  const [config, queue, data] = ['config', 'queue', 'data'].map((name) => workspace.path(`postfix-${name}`));
  for (const directory of [config, queue, data]) await mkdir(directory!);
  const [uid, gid] = await postfixAccount();
  await chown(data!, uid, gid);
  const ports = await freePorts(services.map(({ name }) => name));
  await writeFile(`${config}/main.cf`, mainCf(workspace, queue!, data!));
  await writeFile(`${config}/master.cf`, masterCf(services, ports));
  await runToEnd('postfix', ['-c', config!, 'check']);
  const daemons = (await runToEnd('postconf', ['-c', config!, '-h', 'daemon_directory'])).trim();
  const allGreet = async () => (await Promise.all([...ports.values()].map(greets))).every(Boolean);
  await Program.start(workspace, 'Postfix', [`${daemons}/master`, '-c', config!, '-s'], allGreet);
  return {
    ports,
    settle: () => emptied([`${queue}/incoming`, `${queue}/active`]),
    complaints: async () => {
      const log = await readFile(logPath(workspace), 'utf8').catch(() => '');
      const lines = log.split('\n').filter((line) => /\b(?:warning|error|fatal|panic|milter-reject):/.test(line));
      return lines.slice(-3).join('\n');
    },
  };
}

function logPath(workspace: Workspace): string {
  return workspace.path('postfix.log');
}

function mainCf(workspace: Workspace, queue: string, data: string): string {
  const log = logPath(workspace);
  return `compatibility_level = 3.6
queue_directory = ${queue}
data_directory = ${data}
maillog_file = ${log}
maillog_file_prefixes = ${log}
myhostname = bench.invalid
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
smtpd_peername_lookup = no
mynetworks = 127.0.0.1
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_authorized_xclient_hosts = 127.0.0.1
default_transport = discard
local_transport = discard
local_recipient_maps =
alias_maps =
alias_database =
# As chatmailctl sets them for a relay.
milter_protocol = 6
milter_default_action = tempfail
disable_mime_input_processing = yes
local_header_rewrite_clients =
message_size_limit = 31457280
mailbox_size_limit = 0
# Nothing that slows a client down on purpose.
default_process_limit = 200
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
`;
}

function masterCf(services: readonly SmtpService[], ports: ReadonlyMap<string, number>): string {
  const smtpd = services.map(({ name, milter }) => {
    const options = milter ? ` -o smtpd_milters=unix:${milter}` : '';
    return `127.0.0.1:${ports.get(name)} inet n - n - 0 smtpd${options}\n`;
  });
  return `${smtpd.join('')}cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
postlog unix-dgram n - n - 1 postlogd
`;
}

async function postfixAccount(): Promise<[uid: number, gid: number]> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith('postfix:'));
  const fields = line?.split(':');
  if (!fields) throw new BenchError('there is no user postfix: is Postfix installed?');
  return [Number(fields[2]), Number(fields[3])];
}

/** Ports the kernel picks, all held until the last is known. Another program may still be quicker; Postfix then says so. */
async function freePorts(names: readonly string[]): Promise<Map<string, number>> {
  const held = await Promise.all(
    names.map(
      () =>
        new Promise<Server>((resolve, reject) => {
          const server = createServer().once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = new Map(names.map((name, index) => [name, (held[index]!.address() as { port: number }).port]));
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.end();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}

/** @throws BenchError after a minute */
async function emptied(directories: readonly string[]): Promise<void> {
  for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 50) {
    const entries = await Promise.all(directories.map((directory) => readdir(directory)));
    if (entries.flat().length === 0) return;
    await sleep(50);
  }
  throw new BenchError('Postfix did not get rid of its queue within a minute');
}
