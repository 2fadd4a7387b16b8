/**
 * [io] The relay a command works on: its configuration, the sockets of its daemons, and the account its files belong to. What is
 * done to those files is done as that account, also when root calls: nothing gets a wrong owner, and no link that somebody
 * has put into a mailbox leads root astray.
 */

import { statSync } from 'node:fs';
import {
  type Address,
  type Config,
  EXIT_CONFIG,
  EXIT_TEMPORARY,
  ExitError,
  findConfigFile,
  loadConfig,
  METADATA_SOCKET,
  parseAddress,
  UsageError,
} from '#core';

export { METADATA_SOCKET };

/** Options of every command that works on a relay. */
export const CONFIG_OPTION = { config: { type: 'string' } } as const;
export const CONFIG_HELP = `  --config FILE            the relay's chatmail.ini (default /etc/chatmail/chatmail.ini)`;

export const DOVEAUTH_OPTION = { 'doveauth-socket': { type: 'string' } } as const;
export const DOVEAUTH_HELP = `  --doveauth-socket PATH   where doveauth serves HTTP (default /run/doveauth/http.socket)`;
export const DOVEAUTH_SOCKET = '/run/doveauth/http.socket';

export const METADATA_OPTION = { 'metadata-socket': { type: 'string' } } as const;
export const METADATA_HELP = `  --metadata-socket PATH   where metadata-push listens (default ${METADATA_SOCKET})`;

export const DOVECOT_OPTION = { 'dovecot-config': { type: 'string' } } as const;
export const DOVECOT_HELP = `  --dovecot-config FILE    the configuration doveadm is called with (default: doveadm's own)`;

export interface RelayValues {
  readonly config?: string | undefined;
  readonly 'doveauth-socket'?: string | undefined;
  readonly 'metadata-socket'?: string | undefined;
  readonly 'dovecot-config'?: string | undefined;
}

export interface RelayAccess {
  readonly config: Config;
  /** Where the configuration was read. */
  readonly configPath: string;
  readonly doveauthSocket: string;
  readonly metadataSocket: string;
  readonly dovecotConfig: string | undefined;
}

/**
 * Reads the configuration and takes the options into account.
 *
 * @throws ConfigError
 */
export function openRelay(values: RelayValues): RelayAccess {
  return {
    config: loadConfig(values.config),
    configPath: findConfigFile(values.config),
    doveauthSocket: values['doveauth-socket'] ?? DOVEAUTH_SOCKET,
    metadataSocket: values['metadata-socket'] ?? METADATA_SOCKET,
    dovecotConfig: values['dovecot-config'],
  };
}

/**
 * Runs `work` as the owner of a directory, where we are root. Not for work that loads modules: the owner may not be able to.
 *
 * @throws ExitError 78 when there is no such directory; 75 when `work` may not do what it has to
 */
export async function asOwnerOf<T>(directory: string, work: () => T | Promise<T>): Promise<T> {
  const owner = ownerOf(directory);
  const isRoot = process.geteuid?.() === 0;
  try {
    if (!isRoot || owner.uid === 0) return await work();
    return await asAccount(owner, work);
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    const remedy = isRoot ? 'it must belong to the mail user' : 'run this as root';
    throw new ExitError(EXIT_TEMPORARY, `${path ?? directory}: no permission; ${remedy}`, { cause: error });
  }
}

async function asAccount<T>(owner: { uid: number; gid: number }, work: () => T | Promise<T>): Promise<T> {
  const groups = process.getgroups!();
  const gid = process.getegid!();
  process.setgroups!([owner.gid]);
  process.setegid!(owner.gid);
  process.seteuid!(owner.uid);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
    process.setegid!(gid);
    process.setgroups!(groups);
  }
}

function ownerOf(directory: string): { uid: number; gid: number } {
  try {
    return statSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'does not exist; has the relay been set up (chatmailctl apply)?' : `: ${code}`;
    throw new ExitError(EXIT_CONFIG, `the directory ${directory} ${reason}`, { cause: error });
  }
}

/**
 * The address an operator has typed. That of an IP relay may stand without its brackets.
 *
 * @throws UsageError when it is none, or of another relay
 */
export function relayAddress(config: Config, word: string): Address {
  const { addressDomain, mail_domain } = config;
  const bare = `@${mail_domain}`;
  const text = config.isIpRelay && word.endsWith(bare) ? `${word.slice(0, -bare.length)}@${addressDomain}` : word;
  const address = parseAddress(text);
  if (!address) throw new UsageError(`'${word}' is no mail address; write NAME@${addressDomain}`);
  if (address.domain !== addressDomain) {
    throw new UsageError(`'${word}' is not of this relay; its addresses end in @${addressDomain}`);
  }
  return address;
}
