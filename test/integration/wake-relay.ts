/**
 * [io] What the wake feature is measured on: a Dovecot with the configuration we ship, metadata-push as the mail user, and
 * clients that idle as Delta Chat does. No Postfix, and doveauth only where Dovecot asks nobody else (2.4): neither has a part in
 * how soon a delivered message is announced.
 */

import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { committed, createDictServer, found } from '#dovecot-dict';
import { findMailUser, type SystemAccount } from '../../packages/chatmailctl/src/demo/accounts.ts';
import { PACKAGE_ROOT, startDaemon } from '../../packages/chatmailctl/src/demo/daemons.ts';
import type { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import { holdPorts } from '../../packages/chatmailctl/src/demo/ports.ts';
import { makeCertificate, writeFiles } from '../../packages/chatmailctl/src/demo/relay-files.ts';
import { connectsTo } from '../../packages/chatmailctl/src/demo/wait.ts';
import type { RelayLayout } from '../../packages/chatmailctl/src/layout.ts';
import { renderDovecot23 } from '../../packages/chatmailctl/src/render/dovecot-2.3.ts';
import { renderDovecot24 } from '../../packages/chatmailctl/src/render/dovecot-2.4.ts';
import { debian13 } from './debian13.ts';
import { LineClient } from './dict-dovecot.ts';

const DOMAIN = '[127.0.0.1]';

export type DovecotVersion = '2.3' | '2.4';

export interface WakeRelay {
  readonly layout: RelayLayout;
  readonly dovecot: ManagedProcess;
  readonly metadataPush: ManagedProcess;
  /** Tokens of the pushes taken by the gateway, in their order. */
  readonly pushes: readonly string[];
  stop(): Promise<void>;
}

/**
 * Starts the relay in `directory`.
 *
 * @param change edits dovecot.conf, for comparisons with what we do not ship
 * @param version 2.3 is that of the host, 2.4 that of a Debian 13 beside it
 */
export async function startWakeRelay(
  directory: string,
  guard: Guard,
  change: (dovecotConf: string) => string = (text) => text,
  version: DovecotVersion = '2.3',
): Promise<WakeRelay> {
  const account = await findMailUser();
  const held = await holdPorts(1);
  const layout = layoutIn(directory, held.ports[0]!, account);
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  for (const name of ['run', 'log', 'state', 'mail', 'dovecot/run'])
    await mkdir(`${directory}/${name}`, { recursive: true });
  for (const name of ['run', 'state', 'mail']) await chown(`${directory}/${name}`, account.uid, account.gid);
  await makeCertificate(layout.certificate, '127.0.0.1');

  const pushes: string[] = [];
  const gateway = createHttpServer((request, response) => {
    let token = '';
    request.on('data', (chunk: Buffer) => {
      token += chunk.toString('latin1');
    });
    request.on('end', () => {
      pushes.push(token);
      response.end();
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const servers: Server[] = [gateway];
  const config = `${directory}/chatmail.ini`;
  await writeFile(
    config,
    `[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${layout.directories.mailboxes}\nstate_dir = ${directory}/state\n` +
      `push_gateway_url = http://127.0.0.1:${(gateway.address() as AddressInfo).port}/notify\n` +
      'username_min_length = 1\npassword_min_length = 1\nmax_load_1m = 10000\nmin_available_memory = 0\nmin_free_disk_space = 0\n',
  );
  let doveauth: ManagedProcess | undefined;
  if (version === '2.4')
    doveauth = await startDoveauth(layout, account, config, `${directory}/log/doveauth.log`, guard);
  else {
    for (const path of [layout.sockets.auth, layout.sockets.lastlogin]) {
      servers.push(await serveAccounts(path, layout, account));
    }
  }
  const metadataPush = await startDaemon(
    { name: 'metadata-push', sockets: { metadata: layout.sockets.metadata }, account },
    config,
    `${directory}/log/metadata-push.log`,
    guard,
  );
  await held.release();
  const conf = `${layout.directories.dovecotConfig}/dovecot.conf`;
  const rendered = version === '2.3' ? renderDovecot23(layout) : renderDovecot24(layout);
  await writeFiles({ ...rendered, [conf]: change(forTheTest(rendered[conf]!, version)) });
  await mkdir(layout.directories.dovecotState, { recursive: true });
  const start = ['dovecot', '-F', '-c', conf];
  const [command, ...args] = version === '2.3' ? start : (await debian13()).inside(directory, start);
  const logFile = `${directory}/log/dovecot-start.log`;
  const dovecot = new ManagedProcess({ name: 'Dovecot', command: command!, args, logFile }, guard);
  await dovecot.during(connectsTo({ path: layout.sockets.lmtp }));
  await dovecot.during(connectsTo({ port: layout.ports.imaps }));
  return {
    layout,
    dovecot,
    metadataPush,
    pushes,
    async stop() {
      await dovecot.stop();
      await metadataPush.stop();
      await doveauth?.stop();
      for (const server of servers) server.close();
      gateway.closeAllConnections();
    },
  };
}

export function addressOf(name: string): string {
  return `${name}@${DOMAIN}`;
}

function startDoveauth(
  { sockets: { auth, http, lastlogin } }: RelayLayout,
  account: SystemAccount,
  config: string,
  logFile: string,
  guard: Guard,
): Promise<ManagedProcess> {
  return startDaemon({ name: 'doveauth', sockets: { auth, http, lastlogin }, account }, config, logFile, guard);
}

/** What this machine lacks and a relay has: a user postfix in the Debian 13, a checkout the mail user can read. */
function forTheTest(dovecotConf: string, version: DovecotVersion): string {
  if (version === '2.3') return dovecotConf;
  return dovecotConf
    .replaceAll(/(user|group) = postfix/g, '$1 = root')
    .replace(/(service auth-worker \{[^}]*?user = )\w+/, '$1root');
}

/** Everybody may log in. */
async function serveAccounts(path: string, layout: RelayLayout, { uid, gid }: SystemAccount): Promise<Server> {
  const userdb = { home: `${layout.directories.mailboxes}/%u`, uid: `${uid}`, gid: `${gid}` };
  const reply = JSON.stringify({ password: '{PLAIN}secret', ...userdb });
  const { server } = createDictServer({ lookup: () => found(reply), commit: () => committed });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await chown(path, uid, gid);
  return server;
}

function layoutIn(directory: string, imaps: number, { user, group }: SystemAccount): RelayLayout {
  const socket = (name: string) => `${directory}/run/${name}.sock`;
  return {
    addressDomain: DOMAIN,
    hostname: 'wake.invalid',
    mailUser: { user, group },
    listenAddress: '127.0.0.1',
    ipv4Only: true,
    ports: { smtp: 0, submissions: 0, submission: undefined, imaps },
    behindWebServer: undefined,
    directories: {
      mailboxes: `${directory}/mail`,
      postfixConfig: `${directory}/postfix`,
      postfixQueue: `${directory}/postfix`,
      postfixData: `${directory}/postfix`,
      dovecotConfig: `${directory}/dovecot/config`,
      dovecotRun: `${directory}/dovecot/run`,
      dovecotState: `${directory}/dovecot/state`,
    },
    sockets: {
      auth: socket('doveauth'),
      http: socket('doveauth-http'),
      new: socket('doveauth-new'),
      lastlogin: socket('lastlogin'),
      metadata: socket('metadata'),
      outgoing: undefined,
      incoming: undefined,
      sign: undefined,
      sasl: socket('sasl'),
      lmtp: socket('lmtp'),
    },
    programs: {
      quotaExpire: `${PACKAGE_ROOT}/bin/chatmail-quota-expire`,
      luaAuth: `${PACKAGE_ROOT}/lua/chatmail-auth.lua`,
    },
    certificate: { chain: `${directory}/tls/certificate.pem`, key: `${directory}/tls/key.pem` },
    logs: { postfix: undefined, dovecot: `${directory}/log/dovecot.log` },
    chroot: false,
    outbound: 'none',
    contact: '',
    imap: { compress: false, rawlog: false },
    limits: {
      messageBytes: 31_457_280,
      mailboxBytes: 500 * 1024 * 1024,
      recipientsPerMessage: 1000,
      smtpConnections: 100,
      imapConnections: 3000,
    },
  };
}

/** Delivers messages over one LMTP connection. */
export class Postman {
  readonly #lmtp: LineClient;

  private constructor(lmtp: LineClient) {
    this.#lmtp = lmtp;
  }

  static async connect(relay: Pick<WakeRelay, 'layout'>): Promise<Postman> {
    const lmtp = new LineClient({ path: relay.layout.sockets.lmtp });
    await lmtp.say('', /^220 /);
    await lmtp.say('LHLO test', /^250 /);
    return new Postman(lmtp);
  }

  /** Delivers a message and returns when Dovecot said that it is saved (performance.now(), ms). */
  async deliver(recipient: string, sender = 'bob@example.org'): Promise<number> {
    await this.#lmtp.say(`MAIL FROM:<${sender}>`, /^250 /);
    await this.#lmtp.say(`RCPT TO:<${recipient}>`, /^250 /);
    await this.#lmtp.say('DATA', /^354 /);
    await this.#lmtp.say(`From: <${sender}>\r\nTo: <${recipient}>\r\nSubject: ...\r\n\r\nhello\r\n.`, /^250 .*Saved/);
    return performance.now();
  }

  close(): Promise<void> {
    return this.#lmtp.close();
  }
}

/**
 * `stay`: never does anything but idle. `fetch`: like Delta Chat, ends IDLE when something was announced, reads it, and
 * idles again.
 */
export type Habit = 'stay' | 'fetch';

/** A client that idles in INBOX and notes when how many messages were announced. */
export class IdleClient {
  /** Of the n-th message, performance.now() at its announcement. */
  readonly announcedAt: number[] = [];
  readonly #socket: TLSSocket;
  readonly #habit: Habit;
  #text = '';
  #onLine = (_line: string) => {};
  #fetched = 0;

  private constructor(socket: TLSSocket, habit: Habit) {
    this.#socket = socket;
    this.#habit = habit;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      const lines = (this.#text + text).split('\r\n');
      this.#text = lines.pop()!;
      for (const line of lines) this.#take(line);
    });
    socket.on('error', () => {});
  }

  /** Logs in, selects INBOX and idles. */
  static async open(relay: WakeRelay, user: string, habit: Habit): Promise<IdleClient> {
    const socket = connectTls({ host: '127.0.0.1', port: relay.layout.ports.imaps, rejectUnauthorized: false });
    socket.setNoDelay(true);
    const client = new IdleClient(socket, habit);
    await client.#say('', /^\* OK/);
    await client.#say(`a LOGIN "${user}" secret`, /^a OK/);
    await client.#say('b SELECT INBOX', /^b OK/);
    await client.#say('i IDLE', /^\+ /);
    return client;
  }

  /** The command is sent; what comes until a line matches was noted as always. */
  async #say(command: string, until: RegExp): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      this.#onLine = (line) => until.test(line) && resolve();
    });
    if (command !== '') this.#socket.write(`${command}\r\n`);
    await seen;
  }

  #take(line: string): void {
    const count = Number(/^\* (\d+) EXISTS/.exec(line)?.[1] ?? 0);
    const now = performance.now();
    while (this.announcedAt.length < count) this.announcedAt.push(now);
    this.#onLine(line);
    if (this.#habit === 'stay') return;
    if (count > this.#fetched && line.endsWith('EXISTS') && this.#isIdling) this.#fetch();
    else if (line.startsWith('i OK')) this.#socket.write(`f UID FETCH ${this.#fetched + 1}:* (FLAGS BODY.PEEK[])\r\n`);
    else if (line.startsWith('f OK')) {
      this.#fetched = this.announcedAt.length;
      this.#socket.write('i IDLE\r\n');
    } else if (line.startsWith('+ ')) {
      this.#isIdling = true;
      if (this.announcedAt.length > this.#fetched) this.#fetch();
    }
  }

  #isIdling = false;

  #fetch(): void {
    this.#isIdling = false;
    this.#socket.write('DONE\r\n');
  }

  close(): void {
    this.#socket.destroy();
  }
}
