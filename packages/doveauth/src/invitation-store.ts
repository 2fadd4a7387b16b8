/**
 * [io] Invitations, doveauth's side: uses of a token (core/invitations.ts has the format) and what they were used for. The
 * latter are empty files `STATE_DIR/invitations/handed-out/DIGEST`, where DIGEST is the SHA-256 of name and password: a
 * login in token mode looks for one file, and who reads the directory learns neither. The password has 131 random bits, so
 * a fast hash is enough. A file goes when its account comes into being, or after {@link HANDED_OUT_DAYS}.
 */

import { mkdir, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Address,
  invitationId,
  invitationsPath,
  invitationUsesPath,
  purgeInvitations,
  readInvitation,
  syncDirectory,
  writeNewFile,
} from '#core';
import type { InvitationStore, TakeResult } from './invitation.ts';
import { Limiter } from './limiter.ts';

/** How long what was handed out may wait for its first login. */
export const HANDED_OUT_DAYS = 7;
/** What may wait at once: some megabytes of empty files. */
const MAX_HANDED_OUT = 20_000;
const DAY_SECONDS = 86_400;
const SWEEP_SECONDS = 3600;

export class DiskInvitationStore implements InvitationStore {
  readonly #stateDir: string;
  readonly #handedOut: string;
  readonly #maxHandedOut: number;
  /** One use after the other: the file of uses is read, then appended to. */
  readonly #turn = new Limiter(1);
  #count = 0;
  #sweepAt = 0;

  constructor(stateDir: string, maxHandedOut = MAX_HANDED_OUT) {
    this.#stateDir = stateDir;
    this.#handedOut = join(invitationsPath(stateDir), 'handed-out');
    this.#maxHandedOut = maxHandedOut;
  }

  async take(token: string, address: Address, password: Uint8Array, now: number): Promise<TakeResult> {
    const id = await invitationId(token);
    return id === undefined ? 'invitation-unknown' : this.#turn.run(() => this.#take(id, address, password, now));
  }

  takeOperator(token: string, now: number): Promise<boolean> {
    return this.#turn.run(async () => {
      const id = await invitationId(token);
      const terms = id === undefined ? undefined : await readInvitation(this.#stateDir, id);
      if (!terms?.operator || terms.expires <= now || terms.used >= terms.uses) return false;
      await this.#addUse(invitationUsesPath(this.#stateDir, terms.id), terms.used === 0);
      return true;
    });
  }

  async isHandedOut(address: Address, password: Uint8Array, now: number): Promise<boolean> {
    const record = await stat(await this.#recordPath(address, password)).catch(undefinedIfMissing);
    return record !== undefined && !isOver(record.mtimeMs, now);
  }

  async forget(address: Address, password: Uint8Array): Promise<void> {
    await rm(await this.#recordPath(address, password), { force: true });
  }

  async #take(id: string, address: Address, password: Uint8Array, now: number): Promise<TakeResult> {
    const invitation = await readInvitation(this.#stateDir, id);
    if (!invitation || invitation.operator) return 'invitation-unknown';
    if (invitation.expires <= now) return 'invitation-expired';
    if (invitation.used >= invitation.uses) return 'invitation-used-up';
    await mkdir(this.#handedOut, { recursive: true, mode: 0o700 });
    await this.#sweep(now);
    if (this.#count >= this.#maxHandedOut) return 'too-many';

    // First what was handed out: a crash in between leaves a password nobody knows, not a use nobody had.
    const record = await this.#recordPath(address, password);
    await writeNewFile(record, '');
    await utimes(record, now, now);
    await syncDirectory(this.#handedOut);
    this.#count++;
    await this.#addUse(invitationUsesPath(this.#stateDir, id), invitation.used === 0);
    return 'taken';
  }

  async #addUse(path: string, isFirst: boolean): Promise<void> {
    const file = await open(path, 'a', 0o600);
    try {
      await file.write('.');
      await file.sync();
    } finally {
      await file.close();
    }
    if (isFirst) await syncDirectory(invitationsPath(this.#stateDir));
  }

  /** Removes what nobody came for and invitations long over, now and then, and counts the rest. */
  async #sweep(now: number): Promise<void> {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_SECONDS;
    this.#count = 0;
    for (const name of await readdir(this.#handedOut)) {
      const path = join(this.#handedOut, name);
      const record = await stat(path).catch(undefinedIfMissing);
      if (record === undefined) continue;
      if (isOver(record.mtimeMs, now)) await rm(path, { force: true });
      else this.#count++;
    }
    await purgeInvitations(this.#stateDir, now);
  }

  async #recordPath(address: Address, password: Uint8Array): Promise<string> {
    const { hash } = await import('node:crypto');
    // No address has a NUL, so the two cannot be cut elsewhere.
    return join(this.#handedOut, hash('sha256', Buffer.concat([Buffer.from(`${address.text}\0`), password]), 'hex'));
  }
}

function isOver(mtimeMs: number, now: number): boolean {
  return mtimeMs / 1000 + HANDED_OUT_DAYS * DAY_SECONDS <= now;
}

/** Only "not there" is an answer; any other trouble is none. */
function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
