/**
 * [io] A Dovecot 2.3 of our own that asks dict sockets for everything: one temporary directory, a free loopback port,
 * nothing of the system's Dovecot. Needs root, because Dovecot's master does.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';

export const run = promisify(execFile);

/** `mail` exists on every Debian; a user of our own would have to be made and removed. */
export const MAIL_ID = 8;

export interface Dovecot {
  readonly config: string;
  readonly imapPort: number;
  readonly lmtpSocket: string;
  /** The command line of a doveadm for this Dovecot. */
  doveadm(...words: readonly string[]): string[];
  stop(): Promise<void>;
}

/** The dict sockets, as paths. */
export interface DictSockets {
  readonly auth: string;
  readonly lastLogin: string;
  readonly metadata: string;
}

export async function dovecotVersion(): Promise<string> {
  const { stdout } = await run('dovecot', ['--version']);
  return stdout.trim().split(' ')[0]!;
}

/** Writes a configuration that `doveadm dict` can use without any running Dovecot. */
export async function writeBareConfig(dir: string): Promise<string> {
  const path = join(dir, 'bare.conf');
  await writeFile(path, `base_dir = ${dir}/run\nstate_dir = ${dir}/state\nlog_path = /dev/stderr\nssl = no\n`);
  return path;
}

/** The databases of accounts: dict sockets, unless other ones are wanted. */
export interface AccountDatabases {
  /** Sections of dovecot.conf. */
  readonly sections: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export async function startDovecot(
  dir: string,
  sockets: DictSockets,
  databases: AccountDatabases = { sections: dictDatabases(dir) },
): Promise<Dovecot> {
  const imapPort = await freePort();
  const lmtpSocket = join(dir, 'run', 'lmtp');
  const config = join(dir, 'dovecot.conf');
  await chmod(dir, 0o755);
  await mkdir(join(dir, 'mail'));
  await chown(join(dir, 'mail'), MAIL_ID, MAIL_ID);
  await writeFile(
    join(dir, 'auth.conf'),
    `uri = proxy:${sockets.auth}:auth\niterate_disable = no\niterate_prefix = userdb/\ndefault_pass_scheme = plain\n` +
      'password_key = passdb/%Ew"%Eu\nuser_key = userdb/%Eu\n',
  );
  await writeFile(join(dir, 'push.lua'), PUSH_LUA);
  await writeFile(config, dovecotConf(dir, imapPort, sockets, databases));

  const process = spawn('dovecot', ['-F', '-c', config], { stdio: 'ignore', detached: true });
  const exited = once(process, 'exit');
  // Ends it when the test file is killed or runs out of time.
  const guard = new Guard(join(dir, 'run'));
  guard.started(process.pid!);
  for (let tries = 0; !(await accepts(imapPort)); tries++) {
    if (tries === 100 || process.exitCode !== null) throw new Error(`dovecot did not start, see ${dir}/dovecot.log`);
    await sleep(100);
  }
  return {
    config,
    imapPort,
    lmtpSocket,
    doveadm: (...words) => ['doveadm', '-c', config, ...words],
    async stop() {
      process.kill('SIGTERM');
      await exited;
      guard.ended(process.pid!);
      await guard.finish();
    },
  };
}

/** Below the runner's limit for a whole file, so that the line that did not come is named. */
const SAY_TIMEOUT_MS = 20_000;

/** A line client for IMAP and LMTP: sends one line, waits for the last line of the answer. */
export class LineClient {
  readonly #socket: Socket;
  #text = '';
  #wake = () => {};

  constructor(where: { port: number } | { path: string }) {
    this.#socket = connect('port' in where ? { host: '127.0.0.1', ...where } : where);
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => {
      this.#text += text;
      this.#wake();
    });
    this.#socket.on('close', () => this.#wake());
  }

  /**
   * Sends a line, unless empty, and resolves with all text up to and including the first line that matches.
   *
   * @throws Error by rejection when that takes longer than `timeoutMs`; what has arrived meanwhile stays for the next call
   */
  async say(line: string, until: RegExp, timeoutMs = SAY_TIMEOUT_MS): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    if (line !== '') this.#socket.write(Buffer.from(`${line}\r\n`, 'latin1'));
    for (;;) {
      const lines = this.#text.split('\r\n');
      const last = lines.slice(0, -1).findIndex((text) => until.test(text));
      if (last !== -1) {
        this.#text = lines.slice(last + 1).join('\r\n');
        return lines.slice(0, last + 1).join('\n');
      }
      if (this.#socket.closed) throw new Error(`connection closed while waiting for ${until}`);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`no ${until} within ${timeoutMs} ms, only ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    this.#socket.destroy();
    await once(this.#socket, 'close');
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).then((result) => {
    socket.destroy();
    return result as boolean;
  });
}

const PUSH_LUA = `function dovecot_lua_notify_begin_txn(user) return user end
function dovecot_lua_notify_end_txn(user, success) end
function dovecot_lua_notify_event_message_new(user, event)
  local mailbox = user:mailbox(event.mailbox)
  mailbox:sync()
  mailbox:metadata_set("/private/messagenew", "")
  mailbox:free()
end
`;

function dictDatabases(dir: string): string {
  return `passdb {
  driver = dict
  args = ${dir}/auth.conf
}
userdb {
  driver = dict
  args = ${dir}/auth.conf
}`;
}

function dovecotConf(dir: string, imapPort: number, sockets: DictSockets, databases: AccountDatabases): string {
  const environment = Object.entries(databases.environment ?? {}).map(([name, value]) => ` ${name}=${value}`);
  return `protocols = imap lmtp
listen = 127.0.0.1
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/dovecot.log
auth_mechanisms = plain
auth_username_chars = abcdefghijklmnopqrstuvwxyz01234567890.-_@[]
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = no
mail_location = maildir:${dir}/mail/%u
mail_uid = ${MAIL_ID}
mail_gid = ${MAIL_ID}
first_valid_uid = ${MAIL_ID}
first_valid_gid = ${MAIL_ID}
import_environment = $import_environment${environment.join('')}
${databases.sections}
namespace inbox {
  inbox = yes
}
mail_attribute_dict = proxy:${sockets.metadata}:metadata
protocol imap {
  mail_plugins = last_login
  # All clients of a test come from one address.
  mail_max_userip_connections = 100
  imap_metadata = yes
}
protocol lmtp {
  mail_plugins = mail_lua notify push_notification push_notification_lua
}
plugin {
  last_login_dict = proxy:${sockets.lastLogin}:lastlogin
  last_login_precision = s
  push_notification_driver = lua:file=${dir}/push.lua
}
service imap-login {
  service_count = 0
  inet_listener imap {
    port = ${imapPort}
  }
  inet_listener imaps {
    port = 0
  }
}
service auth-worker {
  user = mail
}
service lmtp {
  user = mail
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`;
}
