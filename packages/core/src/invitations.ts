/**
 * [io] Invitation tokens, for relays with `registration = token`. `chatmailctl token` makes, lists and revokes them, doveauth
 * takes them; they meet in `STATE_DIR/invitations/` and need no lock, because every file has one writer:
 *
 *   ID.json  `{"uses":N,"created":SECONDS,"expires":SECONDS}`, written once by whoever invites; gone: revoked. With
 *            `"operator":true` it is no invitation, but proves to doveauth that the operator asks (`chatmailctl new`)
 *   ID.used  one byte for every use, appended by doveauth
 *
 * ID is the beginning of the token's SHA-256: who can read the directory cannot invite with it.
 */

import { chown, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from './atomic-file.ts';

/** Random bytes in a token: 128 bits cannot be guessed, and 22 characters still fit a QR code. */
const TOKEN_BYTES = 16;
/** Characters of an id: 64 bits of the hash. */
const ID_LENGTH = 16;
const TOKEN = /^[A-Za-z0-9_-]{22}$/;
const TERMS_FILE = new RegExp(`^([0-9a-f]{${ID_LENGTH}})\\.json$`);
const ANY_FILE = new RegExp(`^([0-9a-f]{${ID_LENGTH}})\\.(?:json|used)$`);
/** How long an invitation that has expired can still be seen in the list, s. */
export const EXPIRED_KEPT_SECONDS = 7 * 86_400;

/** The last second a Date can tell. */
const LAST_SECOND = 8.64e12;

export interface InvitationTerms {
  /** Accounts the token is good for. */
  readonly uses: number;
  /** Seconds since the epoch. */
  readonly created: number;
  /** Seconds since the epoch; from then on the token is worth nothing. */
  readonly expires: number;
  /** Not for clients: lets the operator create an account whatever `registration` says. */
  readonly operator?: boolean;
}

export interface Invitation extends InvitationTerms {
  readonly id: string;
  /** Accounts handed out. */
  readonly used: number;
}

/** The directory of all tokens. */
export function invitationsPath(stateDir: string): string {
  return join(stateDir, 'invitations');
}

/** The file whose size is the number of uses. */
export function invitationUsesPath(stateDir: string, id: string): string {
  return join(invitationsPath(stateDir), `${id}.used`);
}

/** The id of a token, or undefined when the text is none. */
export async function invitationId(token: string): Promise<string | undefined> {
  if (!TOKEN.test(token)) return undefined;
  const { hash } = await import('node:crypto');
  return hash('sha256', token, 'hex').slice(0, ID_LENGTH);
}

/**
 * Makes a token and returns it: it is kept nowhere and cannot be shown again. The files belong to the owner of the state
 * directory, also when root invites.
 *
 * @throws NodeJS.ErrnoException when the state directory does not exist or cannot be written
 */
export async function createInvitation(stateDir: string, terms: InvitationTerms): Promise<string> {
  const { randomBytes } = await import('node:crypto');
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const id = await invitationId(token);
  const { uid, gid } = await stat(stateDir);
  const directory = await ownedDirectory(invitationsPath(stateDir), { uid, gid });
  const { uses, created, expires, operator } = terms;
  const text = JSON.stringify({ uses, created, expires, ...(operator && { operator }) });
  await writeFileAtomic(join(directory, `${id}.json`), `${text}\n`, {
    mode: 0o600,
    ...(isRoot() ? { owner: { uid, gid } } : {}),
  });
  return token;
}

/**
 * The invitation with this id, or undefined when there is none or it was revoked.
 *
 * @throws NodeJS.ErrnoException; SyntaxError when somebody has damaged the file
 */
export async function readInvitation(stateDir: string, id: string): Promise<Invitation | undefined> {
  const text = await orMissing(readFile(join(invitationsPath(stateDir), `${id}.json`), 'utf8'));
  if (text === undefined) return undefined;
  const { uses, created, expires, operator } = (JSON.parse(text) ?? {}) as InvitationTerms;
  const isSound = Number.isFinite(uses) && [created, expires].every((time) => Math.abs(time) <= LAST_SECOND);
  if (!isSound) throw new SyntaxError(`invitation ${id} lacks a number`);
  const size = await orMissing(stat(invitationUsesPath(stateDir, id)));
  return { id, uses, created, expires, used: size?.size ?? 0, ...(operator === true && { operator }) };
}

/**
 * All invitations, also those that have expired (for {@link EXPIRED_KEPT_SECONDS}) or are used up; oldest first.
 *
 * @param onDamaged is told the id of each whose file cannot be made out; it is left out
 * @throws NodeJS.ErrnoException
 */
export async function listInvitations(
  stateDir: string,
  onDamaged: (id: string) => void = () => {},
): Promise<Invitation[]> {
  const names = (await orMissing(readdir(invitationsPath(stateDir)))) ?? [];
  const ids = names.map((name) => TERMS_FILE.exec(name)?.[1]).filter((id) => id !== undefined);
  const all = await Promise.all(ids.map((id) => readUndamaged(stateDir, id)));
  for (const [index, id] of ids.entries()) if (all[index] === null) onDamaged(id);
  return all
    .filter((invitation) => invitation !== undefined && invitation !== null)
    .sort((a, b) => a.created - b.created);
}

/** Ends an invitation at once. Accounts it has led to stay. Returns false when there is none with this id. */
export async function revokeInvitation(stateDir: string, id: string): Promise<boolean> {
  if (!TERMS_FILE.test(`${id}.json`)) return false;
  const terms = join(invitationsPath(stateDir), `${id}.json`);
  if ((await orMissing(rm(terms).then(() => true))) === undefined) return false;
  await rm(invitationUsesPath(stateDir, id), { force: true });
  return true;
}

/**
 * Removes invitations that expired more than {@link EXPIRED_KEPT_SECONDS} ago, and uses of revoked ones. doveauth does it now and
 * then where invitations are used, `chatmailctl token` where they are made and listed.
 *
 * @param now seconds since the epoch
 * @returns how many invitations went
 * @throws NodeJS.ErrnoException
 */
export async function purgeInvitations(stateDir: string, now: number): Promise<number> {
  const names = (await orMissing(readdir(invitationsPath(stateDir)))) ?? [];
  const ids = new Set(names.map((name) => ANY_FILE.exec(name)?.[1]).filter((id) => id !== undefined));
  let purged = 0;
  for (const id of ids) {
    // One that somebody has damaged is left for them to see.
    const invitation = await readUndamaged(stateDir, id);
    if (invitation === undefined) await rm(invitationUsesPath(stateDir, id), { force: true });
    else if (invitation && invitation.expires <= now - EXPIRED_KEPT_SECONDS) {
      if (await revokeInvitation(stateDir, id)) purged++;
    }
  }
  return purged;
}

/** Null: the file is damaged. That is no reason to lose sight of all others. */
async function readUndamaged(stateDir: string, id: string): Promise<Invitation | undefined | null> {
  return readInvitation(stateDir, id).catch((error) => {
    if (!(error instanceof SyntaxError)) throw error;
    return null;
  });
}

async function ownedDirectory(path: string, owner: { readonly uid: number; readonly gid: number }): Promise<string> {
  const isNew = (await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined;
  if (isNew && isRoot()) {
    await chown(path, owner.uid, owner.gid);
  }
  return path;
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
