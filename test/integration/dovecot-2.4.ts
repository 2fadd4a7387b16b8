/**
 * [io] A Dovecot 2.4 of our own that asks the shipped Lua script, in a Debian 13 of the cache: one temporary directory, a free
 * loopback port, a socket for Postfix's SASL.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { debian13 } from './debian13.ts';
import { accepts, type Dovecot, freePort, MAIL_ID } from './dict-dovecot.ts';

const SCRIPT = join(import.meta.dirname, '../../lua/chatmail-auth.lua');

export interface Dovecot24 extends Dovecot {
  /** For Postfix. */
  readonly saslSocket: string;
}

/** A PAM service of this name exists where `$1` is its file; then the rest is run. The mount is the command's own. */
const PAM_SERVICE = 'chatmail';
const WITH_PAM = `mount -t tmpfs tmpfs /etc/pam.d && cp "$1" /etc/pam.d/${PAM_SERVICE} && shift && exec "$@"`;

/**
 * Starts it. `sockets` are doveauth's.
 *
 * @param pam is asked for passwords instead of the Lua script: the lines of a PAM service, and who runs it
 */
export async function startDovecot24(
  dir: string,
  sockets: { readonly http: string; readonly lastLogin: string },
  pam?: { readonly service: string; readonly user: string },
): Promise<Dovecot24> {
  const debian = await debian13();
  const imapPort = await freePort();
  const config = join(dir, 'dovecot.conf');
  await chmod(dir, 0o755);
  await mkdir(join(dir, 'mail'));
  await chown(join(dir, 'mail'), MAIL_ID, MAIL_ID);
  await copyFile(SCRIPT, join(dir, 'chatmail-auth.lua'));
  await writeFile(config, dovecotConf(dir, imapPort, sockets, pam?.user));
  if (pam !== undefined) await writeFile(join(dir, 'pam'), pam.service);
  const withPam = pam === undefined ? [] : ['sh', '-c', WITH_PAM, 'sh', join(dir, 'pam')];

  const [command, ...args] = debian.inside(dir, [...withPam, 'dovecot', '-F', '-c', config]);
  const process = spawn(command!, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  const exited = once(process, 'exit');
  // Ends it when the test file is killed or runs out of time.
  const guard = new Guard(join(dir, 'run'));
  guard.started(process.pid!);
  for (let tries = 0; !(await accepts(imapPort)); tries++) {
    if (tries === 200 || process.exitCode !== null) throw new Error(`dovecot did not start, see ${dir}/dovecot.log`);
    await sleep(50);
  }
  return {
    config,
    imapPort,
    saslSocket: join(dir, 'run', 'sasl'),
    lmtpSocket: join(dir, 'run', 'lmtp'),
    doveadm: (...words) => debian.inside(dir, ['doveadm', '-c', config, ...words]),
    async stop() {
      process.kill('SIGTERM');
      await exited;
      guard.ended(process.pid!);
      await guard.finish();
    },
  };
}

function dovecotConf(
  dir: string,
  imapPort: number,
  sockets: { readonly http: string; readonly lastLogin: string },
  pamUser: string | undefined,
): string {
  const lua = `lua_file = ${dir}/chatmail-auth.lua
  lua_settings {
    mailboxes = ${dir}/mail
    socket = ${sockets.http}
  }`;
  return `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap lmtp
listen = 127.0.0.1
base_dir = ${dir}/run
state_dir = ${dir}/state
log_path = ${dir}/dovecot.log
auth_mechanisms = plain
auth_username_chars = abcdefghijklmnopqrstuvwxyz01234567890.-_@[]
auth_failure_delay = 0
auth_allow_cleartext = yes
ssl = no
mail_driver = maildir
mail_path = %{home}
mail_uid = ${MAIL_ID}
mail_gid = ${MAIL_ID}
first_valid_uid = ${MAIL_ID}
first_valid_gid = ${MAIL_ID}
${
  pamUser
    ? `passdb pam {
  service_name = ${PAM_SERVICE}
}`
    : `passdb lua {
  ${lua}
}`
}
userdb lua {
  ${lua}
  fields {
    uid = ${MAIL_ID}
    gid = ${MAIL_ID}
  }
}
namespace inbox {
  inbox = yes
}
last_login {
  dict proxy {
    name = lastlogin
    socket_path = ${sockets.lastLogin}
  }
}
last_login_precision = s
protocol imap {
  # All clients of a test come from one address.
  mail_max_userip_connections = 100
  mail_plugins {
    last_login = yes
  }
}
service imap-login {
  restart_request_count = unlimited
  inet_listener imap {
    port = ${imapPort}
  }
  inet_listener imaps {
    port = 0
  }
}
service auth {
  unix_listener sasl {
    mode = 0666
  }
}
service auth-worker {
  user = ${pamUser ?? 'mail'}${pamUser ? '\n  vsz_limit = unlimited' : ''}
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
  unix_listener anvil {
    mode = 0666
  }
}
`;
}
