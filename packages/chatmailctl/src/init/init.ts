/**
 * [io] `chatmailctl init`: what a relay needs once and never again: chatmail.ini, the mail user, keys, directories. Whatever is there
 * already is kept, and said to be.
 */

import { generateKeyPairSync } from 'node:crypto';
import { dirname } from 'node:path';
import { type Config, EXIT_CONFIG, ExitError, formatSampleConfig, parseConfig } from '#core';
import { INHERITED_CONFIG } from '../adopt/inherited.ts';
import {
  type Account,
  exists,
  findUser,
  type Host,
  makeOwnDirectory,
  mustRun,
  readText,
  writePath,
} from '../apply/host.ts';
import { certificatePaths } from '../production-layout.ts';
import { makeSelfSigned } from '../tls/self-signed.ts';

/** What deserves the name today; filtermail signs with nothing under 1024. */
const DKIM_BITS = 2048;
const MAIL_USER = 'vmail';
const MAIL_HOME = '/home/vmail';
const ROOT: Account = { uid: 0, gid: 0 };

/**
 * Sets up a new relay. Not where there is one already: its settings would give way to our defaults, and expiry would delete mail by them.
 *
 * @throws ExitError 78 when cmdeploy has set up a relay, and as {@link makeMissing}
 */
export async function init(
  host: Host,
  domain: string,
  configPath: string,
  print: (line: string) => void,
): Promise<void> {
  if (await exists(host, INHERITED_CONFIG)) {
    throw new ExitError(
      EXIT_CONFIG,
      `this machine is a relay that cmdeploy has set up: run chatmailctl adopt, which keeps its settings and makes what is missing; to start anew, move ${INHERITED_CONFIG} away first`,
    );
  }
  await makeMissing(host, domain, configPath, print);
}

/**
 * Makes what is missing.
 *
 * @throws ExitError 78 when the name is no name, or the configuration there is another relay's
 */
export async function makeMissing(
  host: Host,
  domain: string,
  configPath: string,
  print: (line: string) => void,
): Promise<void> {
  const made = (what: string) => print(`made  ${what}`);
  const kept = (what: string) => print(`kept  ${what}`);
  const text = await readText(host, configPath);
  const config = text === undefined ? newConfig(domain) : parseConfig(text, configPath);
  if (text !== undefined && config.mail_domain !== newConfig(domain).mail_domain) {
    throw new ExitError(
      EXIT_CONFIG,
      `${configPath} is for ${config.mail_domain}, not ${domain}; move it away to begin anew, or run init ${config.mail_domain}`,
    );
  }
  if (text === undefined) {
    await writePath(host, configPath, formatSampleConfig(config.mail_domain), { mode: 0o644 });
    made(configPath);
  } else kept(configPath);

  const owner = await ensureMailUser(host, made, kept);
  const directories = [
    [MAIL_HOME, 0o700],
    [config.mailboxes_dir, 0o700],
    ['/var/lib/chatmail', 0o755],
    [config.state_dir, 0o700],
  ] as const;
  for (const [path, mode] of directories) {
    const isOwn = path !== '/var/lib/chatmail';
    if (await makeOwnDirectory(host, path, mode, isOwn ? owner : ROOT)) made(`${path}/`);
  }
  await ensureDkimKey(host, config, made, kept);
  await ensureCertificate(host, config, made, kept);
  await ensureMailname(host, config, made, kept);
}

function newConfig(domain: string): Config {
  // A line break would be another line of the file.
  if (/[\r\n]/.test(domain)) throw new ExitError(EXIT_CONFIG, 'the name of the relay is one word');
  return parseConfig(formatSampleConfig(domain), 'the name given');
}

type Say = (what: string) => void;

async function ensureMailUser(host: Host, made: Say, kept: Say): Promise<Account> {
  const found = await findUser(host, MAIL_USER);
  if (found) {
    kept(`user ${MAIL_USER}`);
    return found;
  }
  const options = [
    '--system',
    '--user-group',
    '--home-dir',
    MAIL_HOME,
    '--no-create-home',
    '--shell',
    '/usr/sbin/nologin',
  ];
  await mustRun(host, 'useradd', [...options, MAIL_USER]);
  const user = await findUser(host, MAIL_USER);
  if (!user) throw new ExitError(EXIT_CONFIG, `useradd made no user ${MAIL_USER} in /etc/passwd`);
  made(`user ${MAIL_USER}`);
  return user;
}

async function ensureDkimKey(host: Host, config: Config, made: Say, kept: Say): Promise<void> {
  if (config.isIpRelay || config.dkim_key === '') return;
  if (await exists(host, config.dkim_key)) return kept(`DKIM key ${config.dkim_key}`);
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: DKIM_BITS,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  // systemd hands it to filtermail as a credential; nobody else needs it.
  await makeOwnDirectory(host, dirname(config.dkim_key), 0o700, ROOT);
  await writePath(host, config.dkim_key, privateKey, { mode: 0o600, owner: ROOT });
  made(`DKIM key ${config.dkim_key}, ${DKIM_BITS} bits; chatmailctl dns prints its record`);
}

async function ensureCertificate(host: Host, config: Config, made: Say, kept: Say): Promise<void> {
  const paths = certificatePaths(config);
  if (paths.kind !== 'self') return;
  if ((await exists(host, paths.chain)) && (await exists(host, paths.key))) return kept(`certificate ${paths.chain}`);
  await makeSelfSigned(host, paths, config.mail_domain);
  made(`certificate ${paths.chain}, signed by itself`);
}

async function ensureMailname(host: Host, config: Config, made: Say, kept: Say): Promise<void> {
  if (await exists(host, '/etc/mailname')) return kept('/etc/mailname');
  await writePath(host, '/etc/mailname', `${config.addressDomain}\n`, { mode: 0o644 });
  made('/etc/mailname');
}
