/**
 * [io] The milters that bench/filtermail.ts compares, each with the mail it is to be sent: relays with an address for a name, which neither
 * sign nor verify, and one with a domain, which signs what leaves and verifies what comes, with its key in a DNS server of ours.
 */

import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { BodyHash } from '../../packages/filtermail/src/dkim/canonical.ts';
import { SIGNED_BODY_FORM, signMessage } from '../../packages/filtermail/src/dkim/sign.ts';
import { DnsStub } from '../../test/support/dns-stub.ts';
import { encryptedMessage } from '../messages.ts';
import { compile } from './build.ts';
import { InstalledPackage, isReady, openToAll } from './daemon.ts';
import { Program } from './process.ts';
import type { Workspace } from './workspace.ts';

/** The mail a variant gets. */
export interface Mail {
  readonly sender: string;
  readonly recipient: string;
  /** The message of that size, as it stands on the wire. */
  readonly message: (bytes: number) => Buffer;
}

export interface Variant {
  readonly name: string;
  readonly label: string;
  readonly mail: Mail;
  /** Absent: no filter. */
  readonly start?: (socket: string) => Promise<Program>;
  /** Sends as a logged-in user. */
  readonly login?: boolean;
  readonly inQuick?: boolean;
}

const SELECTOR = 'bench';
const RELAY_DOMAIN = 'relay.example';
const OTHER_DOMAIN = 'other.example';

export interface Variants {
  readonly variants: readonly Variant[];
  /** Ends the DNS server. */
  stop(): Promise<void>;
}

/** @throws BenchError when a program cannot be compiled */
export async function createVariants(workspace: Workspace): Promise<Variants> {
  const nullMilter = await compile(workspace, 'null-milter.c', ['milter']);
  const installed = await InstalledPackage.build(workspace);
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const dns = await DnsStub.start();
  const record = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  dns.zone.set(`${SELECTOR}._domainkey.${OTHER_DOMAIN}`, { txt: [`v=DKIM1; k=rsa; p=${record}`], ttl: 3600 });
  await writeFile(workspace.path('dkim.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }));

  const addressMail = mailOf('abcdefghi@[127.0.0.1]', 'bcdefghij@[127.0.0.1]');
  const domainMail = mailOf(`abcdefghi@${RELAY_DOMAIN}`, `bcdefghij@${OTHER_DOMAIN}`);
  const unsigned = mailOf(`abcdefghi@${OTHER_DOMAIN}`, `bcdefghij@${RELAY_DOMAIN}`);
  const signedMail: Mail = { ...unsigned, message: (bytes) => signed(unsigned.message(bytes), privateKey) };
  const addressConfig = await writeConfig(workspace, '127.0.0.1', addressMail.recipient, '');
  const domainConfig = await writeConfig(
    workspace,
    RELAY_DOMAIN,
    signedMail.recipient,
    `dkim_key = ${workspace.path('dkim.pem')}\ndkim_selector = ${SELECTOR}\ndns_servers = ${dns.address}\n`,
  );

  const startNull = (mode: string) => async (socket: string) => {
    const milter = await Program.start(workspace, 'null-milter', [nullMilter, socket, mode], isReady);
    await openToAll(socket);
    return milter;
  };
  const startFilter = (listener: string, config: string) => (socket: string) => {
    // All three get a socket of ours; the defaults belong to an installed relay.
    const sockets = Object.fromEntries(
      ['outgoing', 'incoming', 'sign'].map((name) => [name, name === listener ? socket : `${socket}.${name}`]),
    );
    return installed.startDaemon('filtermail', config, sockets);
  };
  const mail = addressMail;
  const variants: Variant[] = [
    { name: 'none', label: 'no filter', mail, inQuick: true },
    { name: 'c', label: 'C milter, no replies', mail, start: startNull('no-reply'), inQuick: true },
    { name: 'c-plain', label: 'C milter, replies', mail, start: startNull('plain') },
    {
      name: 'library',
      label: '#milter alone',
      mail,
      start: (socket) => installed.startBareServer('bare-milter', socket),
    },
    {
      name: 'outgoing',
      label: 'filtermail outgoing',
      mail,
      start: startFilter('outgoing', addressConfig),
      login: true,
      inQuick: true,
    },
    { name: 'incoming', label: 'filtermail incoming', mail, start: startFilter('incoming', addressConfig) },
    {
      name: 'sign',
      label: 'outgoing, signs',
      mail: domainMail,
      start: startFilter('outgoing', domainConfig),
      login: true,
    },
    { name: 'verify', label: 'incoming, verifies', mail: signedMail, start: startFilter('incoming', domainConfig) },
  ];
  return { variants, stop: () => dns.stop() };
}

function mailOf(sender: string, recipient: string): Mail {
  return { sender, recipient, message: (bytes) => encryptedMessage({ bytes, from: sender, to: recipient }) };
}

/** The recipient wants encrypted mail only, else the incoming listener would have nothing to check. The rate limit is out of reach. */
async function writeConfig(workspace: Workspace, domain: string, recipient: string, dkim: string): Promise<string> {
  const mailboxes = workspace.path(`mailboxes-${domain}`);
  await mkdir(`${mailboxes}/${recipient}`, { recursive: true });
  await writeFile(`${mailboxes}/${recipient}/enforceE2EEincoming`, '');
  const config = workspace.path(`${domain}.ini`);
  const rate = 'max_user_send_per_minute = 100000000\nmax_user_send_burst_size = 100000000\n';
  await writeFile(config, `[params]\nmail_domain = ${domain}\nmailboxes_dir = ${mailboxes}\n${rate}${dkim}`);
  return config;
}

/** The message with a signature of {@link OTHER_DOMAIN} on top. */
function signed(message: Buffer, key: Parameters<typeof signMessage>[1]['key']): Buffer {
  const end = message.indexOf('\r\n\r\n');
  const fields = message
    .toString('latin1', 0, end)
    .split(/\r\n(?![ \t])/)
    .map((field) => {
      const rawName = field.slice(0, field.indexOf(':'));
      return { name: rawName.toLowerCase(), rawName, rawValue: field.slice(rawName.length + 1) };
    });
  const hash = new BodyHash(SIGNED_BODY_FORM);
  hash.push(message.subarray(end + 4));
  const value = signMessage(
    { fields, bodyHash: hash.digest(), domain: OTHER_DOMAIN, nowSeconds: Math.floor(Date.now() / 1000) },
    { selector: SELECTOR, key },
  );
  return Buffer.concat([Buffer.from(`DKIM-Signature: ${value.replaceAll('\n', '\r\n')}\r\n`, 'latin1'), message]);
}
