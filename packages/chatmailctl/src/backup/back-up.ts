/**
 * [io] Makes a backup of a relay that is at work. The file appears under its name when it is complete and on disk.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  opendirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import {
  EXIT_TEMPORARY,
  EXIT_USAGE,
  ExitError,
  invitationsPath,
  mailboxPath,
  packageVersion,
  parseAddress,
  syncDirectory,
} from '#core';
import { deviceTokens } from '../accounts/metadata-client.ts';
import { asOwnerOf, type RelayAccess } from '../accounts/relay-access.ts';
import { certificatePaths } from '../production-layout.ts';
import { ArchiveWriter } from './archive.ts';
import { checkSingle, FORMAT, itemOf, type Manifest } from './contents.ts';
import { addAccountFiles, addFile, addMail, type MailboxTally } from './mailbox-source.ts';
import { ArchiveError } from './tar.ts';

export interface BackupOptions {
  readonly withMail: boolean;
  readonly withDeviceTokens: boolean;
  readonly signal: AbortSignal;
  note(line: string): void;
}

/** Accounts between two looks at signals. */
const BATCH = 64;

/**
 * Writes a backup and returns its manifest.
 *
 * @throws ExitError 64 when the file exists; 75 when something could not be read, or the command was ended
 */
export async function backUp(relay: RelayAccess, path: string, options: BackupOptions): Promise<Manifest> {
  if (existsSync(path)) throw new ExitError(EXIT_USAGE, `${path} exists already; name another file`);
  const temporary = `${path}.${process.pid}.part`;
  const fd = openNew(temporary);
  try {
    const manifest = await write(relay, fd, options);
    fsyncSync(fd);
    renameSync(temporary, path);
    await syncDirectory(dirname(path));
    return manifest;
  } catch (error) {
    rmSync(temporary, { force: true });
    if (error instanceof ArchiveError) throw new ExitError(EXIT_TEMPORARY, error.message, { cause: error });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ExitError(EXIT_TEMPORARY, `${path} cannot be written (${code})`, { cause: error });
  }
}

async function write(relay: RelayAccess, fd: number, options: BackupOptions): Promise<Manifest> {
  const { config } = relay;
  const writer = new ArchiveWriter(fd);
  const created = new Date();
  addSingleFiles(writer, relay);
  const invitations = existsSync(config.state_dir)
    ? await asOwnerOf(config.state_dir, () => addInvitations(writer, config.state_dir))
    : 0;
  const tally: MailboxTally = { files: 0, unnamed: 0 };
  const addresses = await asOwnerOf(config.mailboxes_dir, () => addAccounts(writer, relay, options, tally));
  if (tally.unnamed > 0) options.note(`${tally.unnamed} files were left out: their names are not UTF-8`);
  const tokens = await addTokens(writer, relay, addresses, options);
  let manifest: Manifest | undefined;
  writer.finish(created.getTime() / 1000, (sha256) => {
    manifest = {
      format: FORMAT,
      program: `chatmail-sidecars ${packageVersion()}`,
      created: created.toISOString(),
      mailDomain: config.mail_domain,
      withMail: options.withMail,
      accounts: addresses.length,
      mailFiles: tally.files,
      invitations,
      deviceTokens: tokens,
      sha256,
    };
    return `${JSON.stringify(manifest, undefined, 2)}\n`;
  });
  return manifest!;
}

/** Those that belong to root. */
function addSingleFiles(writer: ArchiveWriter, { config, configPath }: RelayAccess): void {
  addKnown(writer, configPath, 'chatmail.ini');
  if (config.dkim_key !== '' && !config.isIpRelay) addKnown(writer, config.dkim_key, 'dkim.private');
  const { chain, key, kind } = certificatePaths(config);
  if (kind !== 'self') return;
  addKnown(writer, chain, 'tls/self-signed.pem');
  addKnown(writer, key, 'tls/self-signed.key');
}

function addKnown(writer: ArchiveWriter, from: string, to: string): void {
  let data: Buffer;
  try {
    data = readFileSync(from);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    const remedy = code === 'EACCES' ? '; run this as root' : '';
    throw new ExitError(EXIT_TEMPORARY, `${from} cannot be read (${code})${remedy}`, { cause: error });
  }
  const entry = { path: to, type: 'file', mode: 0o600, mtime: 0 } as const;
  // What could not be restored is better refused now.
  try {
    checkSingle(itemOf({ ...entry, size: data.length }).kind, data);
  } catch (error) {
    throw new ExitError(EXIT_TEMPORARY, `${from}: ${(error as Error).message}`, { cause: error });
  }
  writer.add(entry, data);
}

function addInvitations(writer: ArchiveWriter, stateDir: string): number {
  const directory = invitationsPath(stateDir);
  let count = 0;
  for (const name of [
    ...namesIn(directory),
    ...namesIn(`${directory}/handed-out`).map((name) => `handed-out/${name}`),
  ]) {
    const path = `invitations/${name}`;
    try {
      itemOf({ path, type: 'file', size: 0, mode: 0, mtime: 0 });
    } catch {
      continue;
    }
    if (addFile(writer, `${directory}/${name}`, path, () => {}) && name.endsWith('.json')) count++;
  }
  return count;
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

async function addAccounts(
  writer: ArchiveWriter,
  { config }: RelayAccess,
  { withMail, signal }: BackupOptions,
  tally: MailboxTally,
): Promise<string[]> {
  const addresses: string[] = [];
  const directory = opendirSync(config.mailboxes_dir, { bufferSize: 256 });
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      const address = parseAddress(entry.name);
      if (address?.text !== entry.name || address.domain !== config.addressDomain || !entry.isDirectory()) continue;
      const mailbox = mailboxPath(config.mailboxes_dir, address);
      const path = `accounts/${address.text}`;
      if (!addAccountFiles(writer, mailbox, path)) continue;
      addresses.push(address.text);
      if (withMail) addMail(writer, mailbox, path, tally);
      if (addresses.length % BATCH !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) throw new ExitError(EXIT_TEMPORARY, 'ended before the backup was complete; no file was kept');
    }
  } finally {
    directory.closeSync();
  }
  return addresses;
}

/** metadata-push is asked: it is the one that knows what its database means, and goes on working meanwhile. */
async function addTokens(
  writer: ArchiveWriter,
  { config, metadataSocket }: RelayAccess,
  addresses: readonly string[],
  { withDeviceTokens }: BackupOptions,
): Promise<number> {
  // Where there is no database there are no tokens.
  if (!withDeviceTokens || !existsSync(`${config.state_dir}/push.mdb`)) return 0;
  const all = await deviceTokens(metadataSocket, addresses).catch((error: ExitError) => {
    throw new ExitError(error.exitCode, `${error.message}; or back up without: --no-device-tokens`, { cause: error });
  });
  const lines = all.flatMap((tokens, index) =>
    tokens.length === 0 ? [] : [`${JSON.stringify({ account: addresses[index], tokens })}\n`],
  );
  writer.add({ path: 'device-tokens.jsonl', type: 'file', mode: 0o600, mtime: 0 }, Buffer.from(lines.join('')));
  return all.reduce((sum, tokens) => sum + tokens.length, 0);
}
