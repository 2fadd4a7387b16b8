/**
 * [io] Restores a backup: first the whole archive is checked, then the relay it is to go to, then files are written. Accounts are
 * built beside the mailboxes and renamed into place, which replaces nothing; interrupted, it can be run again with --force.
 */

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { dirname, normalize } from 'node:path';
import {
  type Config,
  EXIT_CONFIG,
  EXIT_TEMPORARY,
  EXIT_USAGE,
  ExitError,
  invitationsPath,
  listInvitations,
  mailboxPath,
  parseAddress,
  parseConfig,
  restoreDeviceTokens,
  syncDirectory,
} from '#core';
import { asOwnerOf } from '../accounts/relay-access.ts';
import {
  type Account,
  exists,
  findUser,
  type Host,
  makeOwnDirectory,
  mustRun,
  readBytes,
  writePath,
} from '../apply/host.ts';
import { EXIT_CHECK_FAILED } from '../command.ts';
import { certificatePaths } from '../production-layout.ts';
import { type CheckedArchive, checkArchive } from './check-archive.ts';
import type { Manifest } from './contents.ts';
import { buildFiles, type FileTally } from './extract.ts';
import { ArchiveError } from './tar.ts';

export interface RestoreOptions {
  readonly host: Host;
  readonly configPath: string;
  readonly metadataSocket: string;
  readonly isForced: boolean;
  readonly signal: AbortSignal;
  note(line: string): void;
}

export interface RestoreSummary {
  readonly manifest: Manifest;
  readonly accounts: number;
  /** Accounts there were already; they stay as they are. */
  readonly kept: readonly string[];
  readonly invitations: number;
  readonly deviceTokens: number;
}

/** A single file, and where it goes. */
interface Placed {
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
}

const ROOT: Account = { uid: 0, gid: 0 };
const MAIL_USER = 'vmail';
/** Beside the mailboxes; begins with a dot, as no address of ours does that holds no @. */
const BUILDING = /^\.restore-[0-9a-z]+$/;
/** A file takes at least a block of the disk. */
const BLOCK_BYTES = 4096;
const KEY_PLACES = ['/etc/dkimkeys', '/etc/chatmail'];
/** What a file that was there is called after --force. */
const SET_ASIDE = '.before-restore';

/**
 * Restores an archive.
 *
 * @throws ExitError 64 when the file is none of ours or damaged; 1 when the relay is not empty; 78 and 75 for what is in the way
 */
export async function restore(path: string, options: RestoreOptions): Promise<RestoreSummary> {
  const fd = openArchive(path);
  try {
    const archive = await checkArchive(fd).catch((error) => {
      if (!(error instanceof ArchiveError)) throw error;
      throw new ExitError(EXIT_USAGE, `${path}: ${error.message}; nothing was written`, { cause: error });
    });
    return await write(fd, archive, options);
  } finally {
    closeSync(fd);
  }
}

function openArchive(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ExitError(EXIT_USAGE, `${path} cannot be read (${code})`, { cause: error });
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new ExitError(EXIT_USAGE, `${path} is not a file`);
}

async function write(fd: number, archive: CheckedArchive, options: RestoreOptions): Promise<RestoreSummary> {
  const { host, isForced, note } = options;
  const config = await targetConfig(archive, options);
  const singles = placedFiles(archive, config, options.configPath);
  const inTheWay = await findInTheWay(host, config, singles);
  if (inTheWay.length > 0 && !isForced) {
    const remedy = '--force keeps accounts that exist, and sets other files aside';
    throw new ExitError(EXIT_CHECK_FAILED, `this relay is not empty: ${inTheWay.join(', ')}; ${remedy}`);
  }
  const mailboxesDir = host.root + config.mailboxes_dir;
  const stateDir = host.root + config.state_dir;
  await ensureDirectories(host, config);
  checkSpace(mailboxesDir, archive);
  // With a database there is somebody to give the tokens to; else they lie in the mailboxes for its first start.
  const hasDatabase = await exists(host, `${config.state_dir}/push.mdb`);

  for (const file of singles) await place(host, file, note);
  const tokens = new Map(archive.tokens.map(({ account, tokens }) => [account, tokens]));
  const building = `.restore-${Math.random().toString(36).slice(2)}`;
  const tally: FileTally = { invitations: 0 };
  const kept: string[] = [];
  let accounts: string[] = [];
  if (archive.invitations > 0) {
    const made = `${invitationsPath(stateDir)}/handed-out`;
    await asOwnerOf(stateDir, () => mkdirSync(made, { recursive: true, mode: 0o700 }));
  }
  await asOwnerOf(mailboxesDir, async () => {
    for (const name of readdirSync(mailboxesDir).filter((name) => BUILDING.test(name))) {
      rmSync(`${mailboxesDir}/${name}`, { recursive: true });
    }
    mkdirSync(`${mailboxesDir}/${building}`, { mode: 0o700 });
    try {
      const target = { accounts: `${mailboxesDir}/${building}`, invitations: invitationsPath(stateDir) };
      await buildFiles(fd, target, hasDatabase ? new Map() : tokens, tally, options.signal);
      await syncFileSystem(host, mailboxesDir);
      accounts = publish(mailboxesDir, building, kept);
      await syncDirectory(mailboxesDir);
    } finally {
      rmSync(`${mailboxesDir}/${building}`, { recursive: true, force: true });
    }
  });
  const restored = new Set(accounts);
  const given = archive.tokens.filter(({ account }) => restored.has(account));
  const deviceTokens = given.reduce((sum, { tokens }) => sum + tokens.length, 0);
  if (hasDatabase) await giveTokens(given, options.metadataSocket);
  return { manifest: archive.manifest, accounts: accounts.length, kept, invitations: tally.invitations, deviceTokens };
}

/** The configuration that will be there: that of the archive, which must be of the same relay as one that is there already. */
async function targetConfig({ config, files }: CheckedArchive, options: RestoreOptions): Promise<Config> {
  const present = await readBytes(options.host, options.configPath);
  if (present?.equals(files.get('config')!)) return config;
  const presentConfig = present && parseConfig(present.toString(), options.configPath);
  const { mail_domain, dkim_key } = presentConfig ?? config;
  if (mail_domain === config.mail_domain) {
    if (!files.has('dkim') || isPlaceForKeys(config.dkim_key) || (presentConfig && dkim_key === config.dkim_key)) {
      return config;
    }
    const remedy = `nothing was written; if that place is right, first write 'dkim_key = ${config.dkim_key}' into ${options.configPath} of this machine`;
    throw new ExitError(
      EXIT_CONFIG,
      `the backup wants its DKIM key in ${config.dkim_key}, which is outside of ${KEY_PLACES.join(' and ')}; ${remedy}`,
    );
  }
  throw new ExitError(
    EXIT_CONFIG,
    `the backup is of ${config.mail_domain}, and ${options.configPath} of ${mail_domain}; move that file away to make this machine ${config.mail_domain}`,
  );
}

/** An archive names the file that root writes: only in these directories is that harmless without the operator's word. */
function isPlaceForKeys(path: string): boolean {
  return path === '' || (normalize(path) === path && KEY_PLACES.some((place) => path.startsWith(`${place}/`)));
}

function placedFiles({ files }: CheckedArchive, config: Config, configPath: string): Placed[] {
  const { chain, key, kind } = certificatePaths(config);
  const targets = [
    ['config', configPath, 0o644],
    ['dkim', config.dkim_key, 0o600],
    ['tls-chain', kind === 'self' ? chain : '', 0o644],
    ['tls-key', kind === 'self' ? key : '', 0o600],
  ] as const;
  return targets.flatMap(([name, path, mode]) => {
    const data = files.get(name);
    return data === undefined || path === '' ? [] : [{ path, data, mode }];
  });
}

/** What would be lost or mixed with what is there. */
async function findInTheWay(host: Host, config: Config, singles: readonly Placed[]): Promise<string[]> {
  const found: string[] = [];
  for (const { path, data } of singles) {
    const present = await readBytes(host, path);
    if (present !== undefined && !present.equals(data)) found.push(`${path} is another one`);
  }
  if (await exists(host, config.mailboxes_dir)) {
    const names = readdirSync(host.root + config.mailboxes_dir);
    if (names.some((name) => parseAddress(name) !== undefined)) found.push(`${config.mailboxes_dir} has accounts`);
  }
  const invitations = await listInvitations(host.root + config.state_dir);
  if (invitations.length > 0) found.push(`${config.state_dir} has invitations`);
  return found;
}

async function ensureDirectories(host: Host, config: Config): Promise<void> {
  const missing: string[] = [];
  for (const path of [config.mailboxes_dir, config.state_dir]) if (!(await exists(host, path))) missing.push(path);
  if (missing.length === 0) return;
  const owner = await findUser(host, MAIL_USER);
  if (!owner) {
    const remedy = `install the Debian package, or make it: useradd --system --user-group --home-dir /home/vmail --shell /usr/sbin/nologin ${MAIL_USER}`;
    throw new ExitError(EXIT_CONFIG, `there is no user ${MAIL_USER} for the mail to belong to; ${remedy}`);
  }
  for (const path of missing) {
    // The home of the mail user is closed to others.
    if (path.startsWith('/home/vmail/')) await makeOwnDirectory(host, '/home/vmail', 0o700, owner);
    await makeOwnDirectory(host, path, 0o700, owner);
  }
}

function checkSpace(mailboxesDir: string, { mailboxBytes, manifest }: CheckedArchive): void {
  const { bavail, bsize } = statfsSync(mailboxesDir);
  const needed = mailboxBytes + (manifest.accounts * 3 + manifest.mailFiles) * BLOCK_BYTES;
  if (bavail * bsize >= needed) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MB`;
  const message = `${mailboxesDir} has ${megabytes(bavail * bsize)} free, and the backup needs about ${megabytes(needed)}`;
  throw new ExitError(EXIT_TEMPORARY, message);
}

/** Writes a file; another one of that name is kept under a second name. */
async function place(host: Host, { path, data, mode }: Placed, note: (line: string) => void): Promise<void> {
  const present = await readBytes(host, path);
  if (present?.equals(data)) return;
  if (present !== undefined) {
    renameSync(host.root + path, host.root + path + SET_ASIDE);
    note(`${path} was another one; it is now ${path}${SET_ASIDE}`);
  }
  const isSecret = mode === 0o600;
  if (isSecret) await makeOwnDirectory(host, dirname(path), 0o700, ROOT).catch(onlyRootCan);
  await writePath(host, path, data, { mode, ...(process.geteuid?.() === 0 ? { owner: ROOT } : {}) });
}

function onlyRootCan(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPERM') throw error;
}

/** On disk before it can be seen: one call instead of one for each of many thousand files. */
async function syncFileSystem(host: Host, directory: string): Promise<void> {
  await mustRun(host, 'sync', ['-f', directory], EXIT_TEMPORARY);
}

/** Renames accounts into place. One that is there stays, because rename(2) replaces no directory that holds something. */
function publish(mailboxesDir: string, building: string, kept: string[]): string[] {
  const published: string[] = [];
  for (const name of readdirSync(`${mailboxesDir}/${building}`)) {
    try {
      renameSync(`${mailboxesDir}/${building}/${name}`, mailboxPath(mailboxesDir, parseAddress(name)!));
      published.push(name);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
      kept.push(name);
    }
  }
  return published;
}

async function giveTokens(accounts: CheckedArchive['tokens'], metadataSocket: string): Promise<void> {
  const tokens = accounts.flatMap(({ account, tokens }) => tokens.map((token) => ({ account, token })));
  try {
    await restoreDeviceTokens(tokens, metadataSocket);
  } catch (error) {
    const { message } = error as Error;
    const text = `everything is restored but the device tokens (${message}); clients set theirs when they connect next`;
    throw new ExitError(EXIT_TEMPORARY, text, { cause: error });
  }
}
