/**
 * [io] A whole relay on loopback: Postfix, Dovecot and our daemons, under one directory, on free ports, as the IP relay
 * `[127.0.0.1]`. What is not a difference of place (directories, ports, a certificate of its own, no way out to the
 * internet) is as in production, because it comes from the same `render/`.
 */

import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import type { RelayLayout } from '../layout.ts';
import { findMailUser, findPostfixUser, type SystemAccount } from './accounts.ts';
import { type DaemonSpec, PACKAGE_ROOT, startDaemon } from './daemons.ts';
import { startDovecot } from './dovecot-instance.ts';
import { Guard } from './guard.ts';
import type { ManagedProcess } from './managed-process.ts';
import { holdPorts } from './ports.ts';
import { startPostfix } from './postfix-instance.ts';
import { demoIni, makeCertificate } from './relay-files.ts';

const ADDRESS = '127.0.0.1';

/** Not the system's temporary directory, which may be closed to Postfix's account, or too long for a Unix socket. */
const DIRECTORY_PREFIX = '/tmp/chatmail-demo-';

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface RelayOptions {
  /** Where metadata-push posts device tokens. */
  readonly gatewayUrl: string;
  /** Overrides of what the layout says. */
  readonly limits?: Partial<RelayLayout['limits']>;
  readonly sockets?: Partial<RelayLayout['sockets']>;
  readonly behindWebServer?: RelayLayout['behindWebServer'];
  /** Instead of an IP relay on loopback that writes to nobody: another place, in a network made for it. */
  readonly place?: RelayPlace;
}

export interface RelayPlace {
  readonly address: string;
  /** What stands after the `@`. */
  readonly addressDomain: string;
  readonly hostname: string;
  readonly ports: RelayLayout['ports'];
  /** Made for the relay when it is left out. */
  readonly certificate?: RelayLayout['certificate'];
  /** Further lines of chatmail.ini. */
  readonly ini?: string;
}

export interface Relay {
  readonly layout: RelayLayout;
  readonly directory: string;
  readonly configPath: string;
  readonly mailUser: SystemAccount;
  /** Metrics sockets of the daemons, by name. */
  readonly metricsSockets: Readonly<Record<string, string>>;
  readonly guard: Guard;
  /** All programs, in the order they were started. */
  readonly programs: readonly ManagedProcess[];
  /** Clients started to use it; they are ended before it is. */
  readonly clients: ManagedProcess[];
  /** Ends everything, last started first, and removes the directory. Later calls wait for the first. */
  stop(): Promise<void>;
}

/** Name and password of an account that does not exist yet, as a client would invent them. */
export function inventCredentials(layout: RelayLayout): Credentials {
  return { user: `${randomText(9)}@${layout.addressDomain}`, password: randomText(22) };
}

function randomText(length: number): string {
  return Array.from(randomBytes(length), (byte) => ALPHABET[byte % ALPHABET.length]).join('');
}

/** The link a client logs in with: all servers named, and the self-made certificate accepted. */
export function loginLink(layout: RelayLayout, { user, password }: Credentials): string {
  const { imaps, submissions } = layout.ports;
  const host = layout.listenAddress ?? ADDRESS;
  const servers = `ih=${host}&ip=${imaps}&is=ssl&sh=${host}&sp=${submissions}&ss=ssl`;
  return `dclogin:${user}?p=${encodeURIComponent(password)}&v=1&${servers}&ic=3`;
}

/**
 * Starts a relay and resolves when all of it answers. When that fails, nothing of it is left.
 *
 * @throws DemoError `host` or `start`
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const [mailUser, postfixUser] = await Promise.all([findMailUser(), findPostfixUser()]);
  const directory = await mkdtemp(DIRECTORY_PREFIX);
  const guard = new Guard(directory);
  const programs: ManagedProcess[] = [];
  const clients: ManagedProcess[] = [];
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      await Promise.all(clients.map((client) => client.stop()));
      for (const program of programs.toReversed()) await program.stop();
      await guard.finish();
    })();
    return stopped;
  };
  try {
    const behind = Object.values(options.behindWebServer ?? {});
    const held = options.place ? undefined : await holdPorts(4, ADDRESS, behind);
    const place = options.place ?? demoPlace(directory, held!.ports);
    const layout = demoLayout(directory, place, mailUser, options);
    const configPath = `${directory}/chatmail.ini`;
    await prepareDirectories(layout, directory, mailUser, postfixUser);
    await writeFile(configPath, demoIni(layout, `${directory}/state`, options.gatewayUrl) + (place.ini ?? ''));
    if (!place.certificate) await makeCertificate(layout.certificate, place.address);

    const specs = daemonSpecs(layout, directory, mailUser, postfixUser);
    const started = async (starting: readonly Promise<ManagedProcess>[]) => {
      const results = await Promise.allSettled(starting);
      for (const result of results) if (result.status === 'fulfilled') programs.push(result.value);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    };
    await started(specs.map((spec) => startDaemon(spec, configPath, `${directory}/log/${spec.name}.log`, guard)));
    await held?.release();
    await started([
      startDovecot(layout, `${directory}/log/dovecot-start.log`, guard),
      startPostfix(layout, postfixUser, `${directory}/log/postfix-start.log`, guard),
    ]);
    const metricsSockets = Object.fromEntries(specs.map((spec) => [spec.name, spec.sockets.metrics!]));
    return { layout, directory, configPath, mailUser, metricsSockets, guard, programs, clients, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function demoPlace(directory: string, ports: readonly number[]): RelayPlace {
  const [smtp, submissions, submission, imaps] = ports as [number, number, number, number];
  return {
    address: ADDRESS,
    addressDomain: `[${ADDRESS}]`,
    hostname: `${directory.split('-').at(-1)!.toLowerCase()}.demo.invalid`,
    ports: { smtp, submissions, submission, imaps },
  };
}

function demoLayout(directory: string, place: RelayPlace, mailUser: SystemAccount, options: RelayOptions): RelayLayout {
  const queue = `${directory}/postfix/queue`;
  return {
    addressDomain: place.addressDomain,
    hostname: place.hostname,
    mailUser: { user: mailUser.user, group: mailUser.group },
    listenAddress: place.address,
    ipv4Only: true,
    ports: place.ports,
    behindWebServer: options.behindWebServer,
    directories: {
      mailboxes: `${directory}/mail`,
      postfixConfig: `${directory}/postfix/config`,
      postfixQueue: queue,
      postfixData: `${directory}/postfix/data`,
      dovecotConfig: `${directory}/dovecot/config`,
      dovecotRun: `${directory}/dovecot/run`,
      dovecotState: `${directory}/dovecot/state`,
    },
    sockets: {
      auth: `${directory}/run/doveauth.sock`,
      http: `${directory}/run/doveauth-http.sock`,
      new: `${directory}/run/doveauth-new.sock`,
      lastlogin: `${directory}/run/lastlogin.sock`,
      metadata: `${directory}/run/metadata.sock`,
      outgoing: `${queue}/filtermail/outgoing.sock`,
      incoming: `${queue}/filtermail/incoming.sock`,
      sign: `${queue}/filtermail/sign.sock`,
      sasl: `${queue}/private/auth`,
      lmtp: `${queue}/private/dovecot-lmtp`,
      ...options.sockets,
    },
    programs: {
      quotaExpire: `${PACKAGE_ROOT}/bin/chatmail-quota-expire`,
      luaAuth: `${PACKAGE_ROOT}/lua/chatmail-auth.lua`,
    },
    certificate: place.certificate ?? { chain: `${directory}/tls/certificate.pem`, key: `${directory}/tls/key.pem` },
    logs: { postfix: `${directory}/log/postfix.log`, dovecot: `${directory}/log/dovecot.log` },
    chroot: false,
    outbound: options.place ? 'internet' : 'none',
    contact: '',
    imap: { compress: false, rawlog: false },
    limits: {
      messageBytes: 31_457_280,
      mailboxBytes: 500 * 1024 * 1024,
      recipientsPerMessage: 1000,
      smtpConnections: 500,
      imapConnections: 100,
      ...options.limits,
    },
  };
}

/** Everything below the directory may be entered by the accounts that serve; what each may read is up to its owner. */
async function prepareDirectories(
  layout: RelayLayout,
  directory: string,
  mailUser: SystemAccount,
  postfixUser: SystemAccount,
): Promise<void> {
  await chmod(directory, 0o755);
  const queue = layout.directories.postfixQueue;
  for (const name of ['run', 'log', 'state', 'mail', 'clients', 'dovecot/run']) {
    await mkdir(`${directory}/${name}`, { recursive: true });
  }
  for (const path of [`${queue}/filtermail`, `${queue}/private`]) await mkdir(path, { recursive: true });
  for (const name of ['run', 'state', 'mail']) await chown(`${directory}/${name}`, mailUser.uid, mailUser.gid);
  await chmod(`${directory}/mail`, 0o700);
  await chmod(`${directory}/state`, 0o700);
  await chmod(`${directory}/clients`, 0o700);
  await chown(`${queue}/filtermail`, mailUser.uid, postfixUser.gid);
  await chmod(`${queue}/filtermail`, 0o750);
  await chown(`${queue}/private`, postfixUser.uid, 0);
  await chmod(`${queue}/private`, 0o700);
}

/** Every listener a daemon has is named: one that is not would open its default, outside of our directory. */
function daemonSpecs(
  layout: RelayLayout,
  directory: string,
  mailUser: SystemAccount,
  postfixUser: SystemAccount,
): DaemonSpec[] {
  const { outgoing, incoming, sign, auth, http, new: forNew, lastlogin, metadata } = layout.sockets;
  const metrics = (name: string) => `${directory}/run/${name}-metrics.sock`;
  const milters = { ...(outgoing && { outgoing }), ...(incoming && { incoming }), ...(sign && { sign }) };
  return [
    {
      name: 'filtermail',
      sockets: { ...milters, metrics: metrics('filtermail') },
      account: { uid: mailUser.uid, gid: postfixUser.gid },
    },
    {
      name: 'doveauth',
      sockets: { auth, lastlogin, http, new: forNew, metrics: metrics('doveauth') },
      account: mailUser,
    },
    { name: 'metadata-push', sockets: { metadata, metrics: metrics('metadata-push') }, account: mailUser },
  ];
}
