/**
 * [io] The one part of a Postfix that asks Dovecot who may log in: a submission port of our own, and the client for it. Nothing
 * is ever queued.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts, freePort, LineClient, run } from './dict-dovecot.ts';

export interface Submission {
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts it below a directory. */
export async function startSubmission(directory: string, saslSocket: string): Promise<Submission> {
  const [config, queue, data] = ['config', 'queue', 'data'].map((name) => join(directory, 'postfix', name));
  for (const path of [config, queue, data]) await mkdir(path!, { recursive: true });
  const [, , uid, gid] = (await readFile('/etc/passwd', 'utf8')).match(/^postfix:.*$/m)![0].split(':');
  await chown(data!, Number(uid), Number(gid));
  const port = await freePort();
  await writeFile(
    join(config!, 'main.cf'),
    `compatibility_level = 3.6\nqueue_directory = ${queue}\ndata_directory = ${data}\n` +
      `maillog_file = ${directory}/postfix.log\nmaillog_file_prefixes = ${directory}\nmyhostname = test.invalid\n` +
      'mydestination =\nlocal_recipient_maps =\ninet_interfaces = loopback-only\ninet_protocols = ipv4\nalias_maps =\nalias_database =\n' +
      `smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = ${saslSocket}\n` +
      'smtpd_relay_restrictions = reject\nsmtpd_peername_lookup = no\n',
  );
  await writeFile(
    join(config!, 'master.cf'),
    `127.0.0.1:${port} inet n - n - 0 smtpd\npostlog unix-dgram n - n - 1 postlogd\n`,
  );
  await run('postfix', ['-c', config!, 'check']);
  const { stdout } = await run('postconf', ['-c', config!, '-h', 'daemon_directory']);
  const master = spawn(`${stdout.trim()}/master`, ['-c', config!, '-s'], { stdio: 'ignore', detached: true });
  const exited = once(master, 'exit');
  for (let tries = 0; !(await accepts(port)); tries++) {
    if (tries === 200 || master.exitCode !== null)
      throw new Error(`Postfix did not start, see ${directory}/postfix.log`);
    await sleep(50);
  }
  return {
    port,
    async stop() {
      master.kill('SIGTERM');
      await exited;
    },
  };
}

/** Logs in with AUTH PLAIN and returns the answer. */
export async function saslLogin(port: number, user: string, password: string): Promise<string> {
  const client = new LineClient({ port });
  try {
    await client.say('', /^220 /);
    await client.say('EHLO test', /^250 /);
    return await client.say(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`, /^\d\d\d /);
  } finally {
    await client.close();
  }
}
