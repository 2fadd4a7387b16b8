/**
 * [io] For tests: filtermail behind a Postfix of its own, without Dovecot and TLS. A login comes by XCLIENT; accepted mail is
 * put on hold, so that a test can read from the queue file what really would leave.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SmtpClient } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { accepts, connectsTo, until } from '../../packages/chatmailctl/src/demo/wait.ts';

const run = promisify(execFile);
const FILTERMAIL = join(import.meta.dirname, '../../bin/filtermail');

export interface QueuedMessage {
  readonly sender: string;
  readonly header: string;
  /** Header and body, as they would leave, with CRLF. */
  readonly content: string;
}

export interface RelayOptions {
  /** Lines for chatmail.ini. */
  readonly config?: string;
  /** `mail_domain`. */
  readonly mailDomain?: string;
}

export class FilteredPostfix {
  readonly directory: string;
  readonly mailboxes: string;
  /** What outgoing mail is signed with; selector `opendkim`. */
  readonly dkimKey: KeyObject;
  #ports = { outgoing: 0, incoming: 0 };
  #master: ChildProcess | undefined;
  #filtermail: ChildProcess | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    this.mailboxes = join(directory, 'mailboxes');
    this.dkimKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  }

  static async start({ config = '', mailDomain = 'relay.test' }: RelayOptions = {}): Promise<FilteredPostfix> {
    const relay = new FilteredPostfix(await mkdtemp(join(tmpdir(), 'filtermail-postfix-')));
    try {
      // Postfix' own processes run as another user.
      await chmod(relay.directory, 0o755);
      await mkdir(relay.mailboxes);
      const dkimPath = join(relay.directory, 'dkim.pem');
      await writeFile(dkimPath, relay.dkimKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
      await writeFile(
        join(relay.directory, 'chatmail.ini'),
        `[params]\nmail_domain = ${mailDomain}\nmailboxes_dir = ${relay.mailboxes}\ndkim_key = ${dkimPath}\n${config}`,
      );
      await relay.startFiltermail();
      await relay.#startPostfix();
      return relay;
    } catch (error) {
      await relay.stop();
      throw error;
    }
  }

  /** Starts filtermail, again after {@link killFiltermail}. */
  async startFiltermail(): Promise<void> {
    const sockets = ['outgoing', 'incoming', 'sign'];
    const listen = sockets.flatMap((name) => ['--listen', `${name}=unix:${this.#socket(name)}`]);
    this.#filtermail = spawn(FILTERMAIL, ['--config', join(this.directory, 'chatmail.ini'), ...listen], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    for (const name of sockets) {
      await connectsTo({ path: this.#socket(name) });
      await chmod(this.#socket(name), 0o666);
    }
  }

  /** Ends filtermail as a crash would. */
  async killFiltermail(): Promise<void> {
    const ended = once(this.#filtermail!, 'exit');
    this.#filtermail!.kill('SIGKILL');
    await ended;
  }

  /** An SMTP session; with `login` as that account's. */
  async connect(service: 'outgoing' | 'incoming', login?: string): Promise<SmtpClient> {
    const client = await SmtpClient.open({ port: this.#ports[service], tls: 'none' });
    if (login === undefined) return client;
    await client.command(`XCLIENT LOGIN=${login}`);
    await client.command('EHLO client.example');
    return client;
  }

  /** A message on hold, by the queue id of the reply to its DATA. */
  async queued(replyText: string): Promise<QueuedMessage> {
    return await this.#read(/queued as (\w+)/.exec(replyText)![1]!);
  }

  /**
   * Gives a message to bob on hold to the queue manager, whose delivery is refused, and returns the bounce that alice gets:
   * bob's mail goes to our own incoming port, whose filter finds no DKIM key.
   */
  async bounceOf(replyText: string): Promise<QueuedMessage> {
    const id = /queued as (\w+)/.exec(replyText)![1]!;
    const config = join(this.directory, 'config');
    await run('postsuper', ['-c', config, '-H', id]);
    await run('postqueue', ['-c', config, '-f']);
    const deferred = join(this.directory, 'queue', 'deferred');
    let bounce: string | undefined;
    await until(async () => {
      const files = await readdir(deferred, { recursive: true });
      bounce = files.map((path) => path.split('/').at(-1)!).find((name) => name.length > 1 && name !== id);
      return bounce !== undefined;
    }, 20_000);
    return await this.#read(bounce!);
  }

  async #read(id: string): Promise<QueuedMessage> {
    const postcat = async (what: string) =>
      (await run('postcat', ['-c', join(this.directory, 'config'), what, id], { encoding: 'latin1' })).stdout;
    const sender = /^sender: (.*)$/m.exec(await postcat('-eq'))![1]!;
    return { sender, header: await postcat('-hq'), content: (await postcat('-bhq')).replaceAll('\n', '\r\n') };
  }

  async log(): Promise<string> {
    return await readFile(join(this.directory, 'postfix.log'), 'utf8');
  }

  async stop(): Promise<void> {
    for (const child of [this.#master, this.#filtermail]) {
      if (!child || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  #socket(name: string): string {
    return join(this.directory, `${name}.sock`);
  }

  async #startPostfix(): Promise<void> {
    const [config, queue, data] = ['config', 'queue', 'data'].map((name) => join(this.directory, name));
    for (const path of [config!, queue!, data!]) await mkdir(path);
    const uid = Number((await run('id', ['-u', 'postfix'])).stdout);
    await chown(data!, uid, -1);
    this.#ports = { outgoing: await freePort(), incoming: await freePort() };
    const log = join(this.directory, 'postfix.log');
    await writeFile(
      join(config!, 'main.cf'),
      `compatibility_level = 3.6
queue_directory = ${queue}
data_directory = ${data}
maillog_file = ${log}
maillog_file_prefixes = ${this.directory}
myhostname = relay.test
mydestination = relay.test
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks =
smtpd_peername_lookup = no
smtpd_sasl_auth_enable = yes
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access static:HOLD
recipient_delimiter = +
local_recipient_maps =
alias_maps =
alias_database =
milter_default_action = tempfail
non_smtpd_milters = unix:${this.#socket('sign')}
internal_mail_filter_classes = bounce
transport_maps = inline:{ {bob@relay.test=smtp:[127.0.0.1]:${this.#ports.incoming}}, {alice@relay.test=retry:4.0.0 later} }
disable_mime_input_processing = yes
disable_mime_output_conversion = yes
`,
    );
    const smtpd = (name: 'outgoing' | 'incoming') =>
      `127.0.0.1:${this.#ports[name]} inet n - n - - smtpd -o smtpd_milters=unix:${this.#socket(name)}\n`;
    const internal = [
      'rewrite unix - - n - - trivial-rewrite',
      'bounce unix - - n - 0 bounce',
      'defer unix - - n - 0 bounce',
      'trace unix - - n - 0 bounce',
      'smtp unix - - n - - smtp',
      'retry unix - - n - - error',
      'anvil unix - - n - 1 anvil',
    ];
    await writeFile(
      join(config!, 'master.cf'),
      `${smtpd('outgoing')}${smtpd('incoming')}pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
${internal.join('\n')}
postlog unix-dgram n - n - 1 postlogd
`,
    );
    await run('postfix', ['-c', config!, 'check']);
    const daemons = (await run('postconf', ['-c', config!, '-h', 'daemon_directory'])).stdout.trim();
    // master(8) makes itself a process group; it must be ended by its own id, as below.
    this.#master = spawn(`${daemons}/master`, ['-c', config!, '-s'], { stdio: 'ignore', detached: true });
    for (const port of Object.values(this.#ports)) await until(() => accepts({ host: '127.0.0.1', port }), 10_000);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
