/**
 * [io] A Dovecot 2.3 or 2.4 of our own for the expiry tests: everybody may log in, mail is stored compressed in maildirs, the quota
 * warning runs a program of ours, idle sessions hibernate. One temporary directory, a free loopback port. Needs root.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { canReadCheckout } from '../support/readable.ts';
import { debian13 } from './debian13.ts';
import { LineClient } from './dict-dovecot.ts';

/** `mail` exists on every Debian; a user of our own would have to be made and removed. */
export const MAIL_ID = 8;

export interface QuotaDovecot {
  readonly directory: string;
  readonly mailboxesDir: string;
  readonly imapPort: number;
  /** Logs in and selects INBOX. */
  openInbox(user: string): Promise<LineClient>;
  /** Delivers a message of so many bytes over LMTP, once for each recipient. */
  deliver(user: string, bytes: number): Promise<string>;
  readLog(): string;
  stop(): Promise<void>;
}

interface QuotaWarning {
  readonly script: string;
  /** Who runs it: mail, unless the checkout is closed to it. */
  readonly runner: 'mail' | 'root';
}

/**
 * @param quotaWarning the command that is run at 75 %: the mailbox's path is added to it
 * @param version 2.4 runs in a Debian 13, does not compress and does not hibernate
 */
export async function startQuotaDovecot(
  quotaBytes: number,
  quotaWarning: string,
  version: '2.3' | '2.4' = '2.3',
): Promise<QuotaDovecot> {
  const directory = mkdtempSync(join(tmpdir(), 'expire-dovecot-'));
  const mailboxesDir = join(directory, 'mail');
  const imapPort = await freePort();
  chmodSync(directory, 0o755);
  mkdirSync(mailboxesDir);
  chownSync(mailboxesDir, MAIL_ID, MAIL_ID);
  const script = join(directory, 'quota-warning.sh');
  writeFileSync(script, `#!/bin/sh\nexec ${quotaWarning} "$@" 2>>${directory}/quota-warning.log\n`, { mode: 0o755 });
  writeFileSync(join(directory, 'quota-warning.log'), '');
  chownSync(join(directory, 'quota-warning.log'), MAIL_ID, MAIL_ID);
  const write = version === '2.3' ? configuration : configuration24;
  const runner = (await canReadCheckout({ uid: MAIL_ID, gid: MAIL_ID })) ? 'mail' : 'root';
  writeFileSync(join(directory, 'dovecot.conf'), write(directory, imapPort, quotaBytes, { script, runner }));

  const command = ['dovecot', '-F', '-c', join(directory, 'dovecot.conf')];
  const [file, ...args] = version === '2.3' ? command : (await debian13()).inside(directory, command);
  const dovecot = spawn(file!, args, { stdio: 'ignore' });
  const exited = once(dovecot, 'exit');
  const openInbox = async (user: string) => {
    const client = new LineClient({ port: imapPort });
    await client.say('', /^\* OK/);
    await client.say(`a1 LOGIN "${user}" pass`, /^a1 OK/);
    await client.say('a2 SELECT INBOX', /^a2 OK/);
    return client;
  };
  for (let tries = 0; !(await accepts(imapPort)); tries++) {
    if (tries === 100 || dovecot.exitCode !== null)
      throw new Error(`dovecot did not start, see ${directory}/dovecot.log`);
    await sleep(100);
  }
  return {
    directory,
    mailboxesDir,
    imapPort,
    openInbox,
    async deliver(user, bytes) {
      const lmtp = new LineClient({ path: join(directory, 'run/lmtp') });
      await lmtp.say('', /^220/);
      await lmtp.say('LHLO test', /^250 /);
      await lmtp.say('MAIL FROM:<>', /^250/);
      await lmtp.say(`RCPT TO:<${user}>`, /^250/);
      await lmtp.say('DATA', /^354/);
      const line = `${'x'.repeat(70)}\r\n`;
      const answer = await lmtp.say(
        `Subject: test\r\n\r\n${line.repeat(Math.ceil(bytes / line.length))}.`,
        /^[245]\d\d /,
      );
      await lmtp.close();
      return answer;
    },
    readLog: () => readFileSync(join(directory, 'dovecot.log'), 'utf8'),
    async stop() {
      dovecot.kill('SIGTERM');
      await exited;
      rmSync(directory, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(socket.end() !== undefined));
    socket.once('error', () => resolve(false));
  });
}

function configuration(directory: string, imapPort: number, quotaBytes: number, warning: QuotaWarning): string {
  return `protocols = imap lmtp
listen = 127.0.0.1
base_dir = ${directory}/run
state_dir = ${directory}/state
log_path = ${directory}/dovecot.log
auth_failure_delay = 0
disable_plaintext_auth = no
ssl = no
mail_location = maildir:${directory}/mail/%u
mail_plugins = quota zlib
mail_uid = ${MAIL_ID}
mail_gid = ${MAIL_ID}
first_valid_uid = ${MAIL_ID}
first_valid_gid = ${MAIL_ID}
imap_hibernate_timeout = 1s
passdb {
  driver = static
  args = password=pass
}
userdb {
  driver = static
  args = uid=${MAIL_ID} gid=${MAIL_ID} home=${directory}/mail/%u allow_all_users=yes
}
namespace inbox {
  inbox = yes
  mailbox DeltaChat {
    auto = create
  }
}
protocol imap {
  mail_plugins = quota zlib imap_quota imap_zlib
}
plugin {
  zlib_save = gz
  quota = maildir:User quota
  quota_rule = *:bytes=${quotaBytes}
  quota_grace = 0
  quota_warning = storage=75%% quota-warning ${directory}/mail/%u
}
service quota-warning {
  executable = script ${warning.script}
  # Node reserves more address space than the 256 MB that Dovecot grants by default.
  vsz_limit = 0
  user = ${warning.runner}
  unix_listener quota-warning {
    user = mail
    mode = 0600
  }
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
service imap {
  unix_listener imap-master {
    user = dovecot
  }
}
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0660
    group = mail
  }
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

function configuration24(directory: string, imapPort: number, quotaBytes: number, warning: QuotaWarning): string {
  return `dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap lmtp
listen = 127.0.0.1
base_dir = ${directory}/run
state_dir = ${directory}/state
log_path = ${directory}/dovecot.log
auth_failure_delay = 0
auth_allow_cleartext = yes
ssl = no
mail_driver = maildir
mail_path = %{home}
mail_uid = ${MAIL_ID}
mail_gid = ${MAIL_ID}
first_valid_uid = ${MAIL_ID}
first_valid_gid = ${MAIL_ID}
mail_plugins {
  quota = yes
}
passdb static {
  password = pass
}
userdb static {
  fields {
    uid = ${MAIL_ID}
    gid = ${MAIL_ID}
    home = ${directory}/mail/%{user}
  }
  allow_all_users = yes
}
namespace inbox {
  inbox = yes
}
protocol imap {
  mail_plugins {
    imap_quota = yes
  }
}
quota "User quota" {
  driver = maildir
  storage_size = ${quotaBytes}B
  quota_storage_grace = 0
  warning full {
    quota_storage_percentage = 75
    execute quota-warning {
      args = ${directory}/mail/%{user}
    }
  }
}
service quota-warning {
  executable = script ${warning.script}
  vsz_limit = unlimited
  user = ${warning.runner}
  unix_listener quota-warning {
    user = mail
    mode = 0600
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
