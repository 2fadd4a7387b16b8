/**
 * [io] Reads an archive from the beginning to the end and believes nothing of it: names, kinds, sizes, what the small files hold,
 * whether the parts fit each other, and the checksum. Nothing is written before this has passed.
 */

import { type Config, ConfigError, parseConfig } from '#core';
import { ArchiveReader } from './archive.ts';
import {
  type AccountTokens,
  checkSingle,
  type Item,
  itemOf,
  type Manifest,
  parseManifest,
  parseTokenLine,
} from './contents.ts';
import { ArchiveError } from './tar.ts';

/** What was found in an archive that is sound. */
export interface CheckedArchive {
  readonly manifest: Manifest;
  readonly config: Config;
  readonly files: ReadonlyMap<'config' | 'dkim' | 'tls-chain' | 'tls-key', Buffer>;
  readonly tokens: readonly AccountTokens[];
  /** Of all files in mailboxes. */
  readonly mailboxBytes: number;
  readonly invitations: number;
}

/** A password file: empty, or one line with a hash. */
const PASSWORD = /^(?:[!-~]{1,1024}\n?)?$/;
/** Bytes of all device tokens: a hundred thousand accounts with three devices. */
const MAX_TOKEN_BYTES = 400_000_000;

/**
 * Checks an open archive.
 *
 * @throws ArchiveError saying what is wrong with it
 */
export async function checkArchive(fd: number): Promise<CheckedArchive> {
  const check = new Check(new ArchiveReader(fd));
  return await check.run();
}

class Check {
  readonly #reader: ArchiveReader;
  readonly #files = new Map<'config' | 'dkim' | 'tls-chain' | 'tls-key', Buffer>();
  readonly #accounts = new Set<string>();
  readonly #invitations = new Set<string>();
  #tokens: AccountTokens[] | undefined;
  #manifest: Manifest | undefined;
  /** The account whose files are being read, what of it was seen, and whether it has a password. */
  #current: { readonly address: string; readonly paths: Set<string>; hasPassword: boolean } | undefined;
  #mailboxBytes = 0;

  constructor(reader: ArchiveReader) {
    this.#reader = reader;
  }

  async run(): Promise<CheckedArchive> {
    let seen = 0;
    for (let entry = this.#reader.next(); entry !== undefined; entry = this.#reader.next()) {
      if (this.#manifest) throw new ArchiveError('the archive goes on after its manifest');
      this.#check(itemOf(entry), entry.size);
      if (++seen % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    this.#endAccount();
    return this.#result();
  }

  #check(item: Item, size: number): void {
    const isOfAccount = item.kind === 'account-file' || item.kind === 'account-directory';
    if (!isOfAccount) this.#endAccount();
    switch (item.kind) {
      case 'manifest':
        this.#manifest = parseManifest(this.#reader.body().toString());
        return;
      case 'device-tokens':
        if (this.#tokens) throw twice();
        if (size > MAX_TOKEN_BYTES) throw new ArchiveError('device-tokens in the archive is too large');
        this.#tokens = this.#reader.body().toString().split('\n').slice(0, -1).map(parseTokenLine);
        return;
      case 'invitation':
        if (this.#invitations.has(item.name)) throw twice();
        this.#invitations.add(item.name);
        return;
      case 'account':
        if (this.#accounts.has(item.address.text)) throw twice();
        this.#accounts.add(item.address.text);
        this.#current = { address: item.address.text, paths: new Set(), hasPassword: false };
        return;
      case 'account-file':
      case 'account-directory':
        this.#checkInAccount(item, size);
        return;
      default:
        if (this.#files.has(item.kind)) throw twice();
        this.#addFile(item.kind, this.#reader.body());
    }
  }

  #addFile(kind: 'config' | 'dkim' | 'tls-chain' | 'tls-key', data: Buffer): void {
    checkSingle(kind, data);
    this.#files.set(kind, data);
  }

  #checkInAccount(item: Item & { kind: 'account-file' | 'account-directory' }, size: number): void {
    const { address, path } = item;
    const current = this.#current;
    if (current?.address !== address.text) throw new ArchiveError('a file of the archive is outside of its account');
    const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (current.paths.has(path)) throw twice();
    if (parent !== '' && !current.paths.has(`${parent}/`))
      throw new ArchiveError('a file of the archive has no directory');
    current.paths.add(path);
    if (item.kind === 'account-directory') current.paths.add(`${path}/`);
    else this.#mailboxBytes += size;
    if (path !== 'password' && path !== 'password.blocked') return;
    if (item.kind !== 'account-file' || !PASSWORD.test(this.#reader.body().toString('latin1'))) {
      throw new ArchiveError('a password file in the archive is damaged');
    }
    if (path === 'password') current.hasPassword = true;
  }

  #endAccount(): void {
    if (this.#current && !this.#current.hasPassword)
      throw new ArchiveError('an account in the archive has no password');
    this.#current = undefined;
  }

  #result(): CheckedArchive {
    const manifest = this.#manifest;
    if (!manifest) throw new ArchiveError('the archive has no manifest: it is cut short, or no backup of ours');
    if (manifest.sha256 !== this.#reader.digest) {
      throw new ArchiveError('the checksum is wrong: the archive was damaged or changed after it was made');
    }
    if (manifest.accounts !== this.#accounts.size)
      throw new ArchiveError('the archive has fewer accounts than it says');
    const config = this.#config();
    if (config.mail_domain !== manifest.mailDomain) throw new ArchiveError('the archive is of two relays');
    for (const address of this.#accounts) {
      if (!address.endsWith(`@${config.addressDomain}`)) throw new ArchiveError('the archive is of two relays');
    }
    const tokens = this.#tokens ?? [];
    if (!tokens.every(({ account }) => this.#accounts.has(account))) {
      throw new ArchiveError('the archive has device tokens of an account it does not have');
    }
    return {
      manifest,
      config,
      files: this.#files,
      tokens,
      mailboxBytes: this.#mailboxBytes,
      invitations: this.#invitations.size,
    };
  }

  #config(): Config {
    const text = this.#files.get('config');
    if (!text) throw new ArchiveError('the archive has no chatmail.ini');
    try {
      return parseConfig(text.toString(), 'chatmail.ini of the archive');
    } catch (error) {
      if (error instanceof ConfigError) throw new ArchiveError(error.message);
      throw error;
    }
  }
}

function twice(): ArchiveError {
  return new ArchiveError('the archive has something twice');
}
