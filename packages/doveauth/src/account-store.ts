/**
 * [io] Accounts on disk: an account exists when `MAILBOXES_DIR/ADDRESS/password` does. Creation builds the whole directory
 * under `MAILBOXES_DIR/.doveauth/`, syncs it, and renames it into place: rename(2) replaces nothing that has contents, so
 * it is at once the publication and the decision who was first. Whatever is killed before it leaves rubbish outside every
 * mailbox, removed at the next start.
 * A directory without a password file (Dovecot made it late, or a deletion was cut short) is no account. It is adopted as
 * it is: link(2) of the password file, which fails if there is one, is the decision then. Its mail stays, on purpose:
 * deleting is for `expire`, never for a login.
 */

import { chown, link, mkdir, opendir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Address,
  ConfigError,
  ENFORCE_E2EE_FILE,
  mailboxPath,
  PASSWORD_FILE,
  parseAddress,
  passwordPath,
  syncDirectory,
  writeNewFile,
} from '#core';
import type { AccountStore } from './accounts.ts';
import { Limiter } from './limiter.ts';
import type { Owner } from './userdb.ts';

/** Where creations are prepared. It is no address, and whoever reads the mailboxes skips what is none. */
const WORKSHOP = '.doveauth';
const DIRECTORY_MODE = 0o700;
/** Creations that write at once. Each syncs four times; more of them could occupy all four threads Node has for files, and
 * look-ups of existing accounts would wait for the disk. */
const WRITERS = 2;
/** Accounts looked at together while listing. */
const LIST_BATCH = 64;

/** The steps that change the disk, one by one, so that a test can end the process before each. */
export const DISK_STEPS = { mkdir, chown, writeNewFile, utimes, syncDirectory, rename, link, rm };
export type DiskSteps = typeof DISK_STEPS;

/**
 * Opens the accounts of a mailboxes directory, which is created when it is missing.
 *
 * @throws ConfigError when there is no such directory and it cannot be created
 */
export async function openAccountStore(mailboxesDir: string, disk: DiskSteps = DISK_STEPS): Promise<DiskAccountStore> {
  try {
    await mkdir(mailboxesDir, { recursive: true, mode: DIRECTORY_MODE });
    return new DiskAccountStore(mailboxesDir, await stat(mailboxesDir), disk);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `'${mailboxesDir}' cannot be used (${code}); create it, owned by the user Dovecot stores mail as`,
      { key: 'mailboxes_dir' },
      { cause: error },
    );
  }
}

interface DirectoryIdentity {
  readonly dev: number;
  readonly ino: number;
}

export class DiskAccountStore implements AccountStore {
  readonly owner: Owner;
  readonly #mailboxesDir: string;
  /** Which directory that was when the store was opened. */
  readonly #identity: DirectoryIdentity;
  readonly #workshop: string;
  readonly #disk: DiskSteps;
  readonly #writers = new Limiter(WRITERS);
  /** Only root can give files away, and only root has to: anybody else runs as the owner. */
  readonly #fileOptions;

  constructor(mailboxesDir: string, { uid, gid, dev, ino }: Owner & DirectoryIdentity, disk: DiskSteps) {
    const owner = { uid, gid };
    this.#mailboxesDir = mailboxesDir;
    this.#identity = { dev, ino };
    this.#workshop = join(mailboxesDir, WORKSHOP);
    this.#disk = disk;
    this.owner = owner;
    this.#fileOptions = { mode: 0o600, ...(process.geteuid?.() === 0 ? { owner } : {}) };
  }

  async readPassword(address: Address): Promise<string | undefined> {
    try {
      return (await readFile(passwordPath(this.#mailboxesDir, address), 'utf8')).trim();
    } catch (error) {
      return this.#undefinedIfNoAccount(error);
    }
  }

  create(address: Address, hash: string, lastLogin: number): Promise<boolean> {
    return this.#writers.run(() => this.#create(address, hash, lastLogin));
  }

  async *list(): AsyncGenerator<Address> {
    await this.#requireSameDirectory();
    let batch: Address[] = [];
    for await (const { name } of await opendir(this.#mailboxesDir, { bufferSize: 256 })) {
      const address = parseAddress(name);
      if (address?.text !== name) continue;
      batch.push(address);
      if (batch.length < LIST_BATCH) continue;
      yield* await this.#existing(batch);
      batch = [];
    }
    yield* await this.#existing(batch);
  }

  async readLastLogin(address: Address): Promise<number | undefined> {
    try {
      return (await stat(passwordPath(this.#mailboxesDir, address))).mtimeMs / 1000;
    } catch (error) {
      return this.#undefinedIfNoAccount(error);
    }
  }

  async writeLastLogin(address: Address, seconds: number): Promise<void> {
    try {
      await utimes(passwordPath(this.#mailboxesDir, address), seconds, seconds);
    } catch (error) {
      undefinedIfMissing(error);
    }
  }

  /**
   * Removes what creations that were killed have left. One doveauth serves a mailboxes directory, so at its start
   * everything there is stale; should another be at work after all, its creation fails and is tried again.
   */
  async removeStale(): Promise<void> {
    try {
      for (const name of await readdir(this.#workshop)) {
        // Renamed first: a creation still under way then misses all of its directory, never a part of it.
        const doomed = join(this.#workshop, uniqueName());
        await this.#disk.rename(join(this.#workshop, name), doomed);
        await this.#disk.rm(doomed, { recursive: true, force: true });
      }
    } catch (error) {
      undefinedIfMissing(error);
    }
  }

  /** Nobody is unknown because the disk is not there. Costs a look at it only when somebody is missing. */
  async #undefinedIfNoAccount(error: unknown): Promise<undefined> {
    undefinedIfMissing(error);
    await this.#requireSameDirectory();
  }

  /** @throws Error when the mailboxes directory is gone, or another one lies in its place: a mount came or went */
  async #requireSameDirectory(): Promise<void> {
    const { dev, ino } = await stat(this.#mailboxesDir);
    if (dev === this.#identity.dev && ino === this.#identity.ino) return;
    throw Object.assign(new Error('mailboxes_dir is another directory than at the start'), { code: 'MAILBOXES_MOVED' });
  }

  async #create(address: Address, hash: string, lastLogin: number): Promise<boolean> {
    const building = join(this.#workshop, uniqueName());
    let isPublished = false;
    try {
      await this.#build(building, hash, lastLogin);
      isPublished = await this.#publish(building, address);
      return isPublished || (await this.#adopt(building, address));
    } finally {
      // What is left behind costs space and nothing else, until the next start.
      if (!isPublished) await this.#disk.rm(building, { recursive: true, force: true }).catch(() => {});
    }
  }

  async #build(building: string, hash: string, lastLogin: number): Promise<void> {
    await this.#makeDirectory(building);
    const passwordFile = join(building, PASSWORD_FILE);
    await this.#disk.writeNewFile(passwordFile, hash, this.#fileOptions);
    await this.#disk.utimes(passwordFile, lastLogin, lastLogin);
    await this.#disk.writeNewFile(join(building, ENFORCE_E2EE_FILE), '', this.#fileOptions);
    await this.#disk.syncDirectory(building);
  }

  async #makeDirectory(building: string): Promise<void> {
    const { mkdir } = this.#disk;
    try {
      await mkdir(building, { mode: DIRECTORY_MODE });
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
      // Never `recursive`: where the disk has gone, no account comes into being.
      await mkdir(this.#workshop, { mode: DIRECTORY_MODE }).catch((error) => {
        if (!hasCode(error, 'EEXIST')) throw error;
      });
      await this.#giveToOwner(this.#workshop);
      await mkdir(building, { mode: DIRECTORY_MODE });
    }
    await this.#giveToOwner(building);
  }

  async #giveToOwner(directory: string): Promise<void> {
    const { owner } = this.#fileOptions;
    if (owner) await this.#disk.chown(directory, owner.uid, owner.gid);
  }

  /** Renames the directory into place. Returns false when something with contents is there. */
  async #publish(building: string, address: Address): Promise<boolean> {
    try {
      await this.#disk.rename(building, mailboxPath(this.#mailboxesDir, address));
    } catch (error) {
      if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) return false;
      throw error;
    }
    await this.#disk.syncDirectory(this.#mailboxesDir);
    return true;
  }

  /** Makes an account of a directory that has no password file. Returns false when it has one. */
  async #adopt(building: string, address: Address): Promise<boolean> {
    // An account is left exactly as it is: its owner may have removed the other file.
    if ((await this.readLastLogin(address)) !== undefined) return false;
    const mailbox = mailboxPath(this.#mailboxesDir, address);
    await this.#linkNew(join(building, ENFORCE_E2EE_FILE), join(mailbox, ENFORCE_E2EE_FILE));
    if (!(await this.#linkNew(join(building, PASSWORD_FILE), join(mailbox, PASSWORD_FILE)))) return false;
    await this.#disk.syncDirectory(mailbox);
    await this.#disk.syncDirectory(this.#mailboxesDir);
    return true;
  }

  async #linkNew(from: string, to: string): Promise<boolean> {
    try {
      await this.#disk.link(from, to);
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    }
  }

  async #existing(addresses: readonly Address[]): Promise<Address[]> {
    const passwords = await Promise.all(addresses.map((address) => this.readPassword(address)));
    return addresses.filter((_, index) => passwords[index]);
  }
}

/** A name nobody else uses. It need not be unpredictable: only the owner of the mailboxes can write there. */
function uniqueName(): string {
  return Math.random().toString(36).slice(2);
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

/** Only "not there" is an answer; any other trouble is none. */
function undefinedIfMissing(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
}
