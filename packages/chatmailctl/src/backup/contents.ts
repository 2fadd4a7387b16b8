/**
 * What a backup holds, by the paths in its archive, and what may stand there: everything that is not named here is refused when
 * the archive is read, whoever made it. Pure.
 *
 *   chatmail.ini                      the configuration
 *   dkim.private                      the DKIM keys
 *   tls/self-signed.pem, .key         the certificate of a relay that no authority certifies
 *   invitations/ID.json, ID.used, handed-out/DIGEST
 *   accounts/ADDRESS/...              as in mailboxes_dir; password files, and with --mail the mail
 *   device-tokens.jsonl               {"account":ADDRESS,"tokens":[...]} a line
 *   manifest.json                     the last entry: format, counts, and the SHA-256 of all bytes before it
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type Address, parseAddress } from '#core';
import { ArchiveError, type TarEntry } from './tar.ts';

/** Raise when an older version could not restore what a newer one has backed up. */
export const FORMAT = 1;
export const MANIFEST = 'manifest.json';

export interface Manifest {
  readonly format: number;
  /** Name and version of what made it. */
  readonly program: string;
  /** ISO 8601. */
  readonly created: string;
  readonly mailDomain: string;
  readonly withMail: boolean;
  readonly accounts: number;
  /** Files in mailboxes besides those that make the account. */
  readonly mailFiles: number;
  readonly invitations: number;
  readonly deviceTokens: number;
  /** Of the archive up to the header of this file. */
  readonly sha256: string;
}

/** What an entry is. Files that are single and small carry the most bytes they may have. */
export type Item =
  | { readonly kind: 'config' | 'dkim' | 'tls-chain' | 'tls-key' | 'manifest'; readonly maxBytes: number }
  | { readonly kind: 'device-tokens' }
  | { readonly kind: 'invitation'; readonly name: string; readonly maxBytes: number }
  | { readonly kind: 'account'; readonly address: Address }
  /** `path` is relative to the mailbox. */
  | { readonly kind: 'account-file'; readonly address: Address; readonly path: string; readonly maxBytes?: number }
  | { readonly kind: 'account-directory'; readonly address: Address; readonly path: string };

const SINGLE: Readonly<Record<string, Item>> = {
  'chatmail.ini': { kind: 'config', maxBytes: 1_000_000 },
  'dkim.private': { kind: 'dkim', maxBytes: 100_000 },
  'tls/self-signed.pem': { kind: 'tls-chain', maxBytes: 100_000 },
  'tls/self-signed.key': { kind: 'tls-key', maxBytes: 100_000 },
  'device-tokens.jsonl': { kind: 'device-tokens' },
  [MANIFEST]: { kind: 'manifest', maxBytes: 10_000 },
};
/** PEM (RFC 7468), as many blocks as there are, and nothing around them. */
const PEM_FILES: Readonly<Record<string, { what: string; block: RegExp; parse: (block: string) => unknown }>> = {
  dkim: privateKeys('the DKIM key'),
  'tls-key': privateKeys('the key of the certificate'),
  'tls-chain': {
    what: 'the certificate',
    block: /-----BEGIN (CERTIFICATE)-----[A-Za-z0-9+/=\s]*-----END \1-----/g,
    parse: (block) => new X509Certificate(block),
  },
};
const INVITATION = /^invitations\/([0-9a-f]{16}\.(?:json|used)|handed-out\/[0-9a-f]{64})$/;
/** A use is a byte. */
const MAX_INVITATION_BYTES = 1_000_000;
/** Files every account may have, and their most bytes. */
export const ACCOUNT_FILES: Readonly<Record<string, number>> = {
  password: 4096,
  'password.blocked': 4096,
  enforceE2EEincoming: 4096,
};
/** MAILBOX/.Folder/cur/MESSAGE. */
const MAX_DEPTH = 3;
/** NAME_MAX. */
const MAX_SEGMENT_BYTES = 255;

/**
 * What an entry of an archive is.
 *
 * @throws ArchiveError when no backup of ours holds such a thing
 */
export function itemOf({ path, type, size }: TarEntry): Item {
  const item = find(path, type);
  if (!item) throw new ArchiveError('the archive holds something that is no part of a backup');
  if ('maxBytes' in item && size > item.maxBytes!) throw new ArchiveError(`${item.kind} in the archive is too large`);
  return item;
}

function find(path: string, type: TarEntry['type']): Item | undefined {
  if (type === 'file' && Object.hasOwn(SINGLE, path)) return SINGLE[path];
  const [, invitation] = INVITATION.exec(path) ?? [];
  if (type === 'file' && invitation) return { kind: 'invitation', name: invitation, maxBytes: MAX_INVITATION_BYTES };
  const [top, name = '', ...rest] = path.split('/');
  const address = parseAddress(name);
  if (top !== 'accounts' || address?.text !== name) return undefined;
  if (rest.length === 0) return type === 'directory' ? { kind: 'account', address } : undefined;
  if (rest.length > MAX_DEPTH || !rest.every(isSafeSegment)) return undefined;
  const inner = rest.join('/');
  if (type === 'directory') return { kind: 'account-directory', address, path: inner };
  if (isLeftOut(rest.at(-1)!)) return undefined;
  if (!Object.hasOwn(ACCOUNT_FILES, inner)) return { kind: 'account-file', address, path: inner };
  return { kind: 'account-file', address, path: inner, maxBytes: ACCOUNT_FILES[inner]! };
}

function privateKeys(what: string) {
  const block = /-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----[A-Za-z0-9+/=\s]*-----END \1-----/g;
  return { what, block, parse: (pem: string) => createPrivateKey(pem) };
}

/**
 * Checks what a single file holds, which root writes and reads: keys and certificates and nothing else.
 *
 * @throws ArchiveError
 */
export function checkSingle(kind: Item['kind'], data: Buffer): void {
  const pem = PEM_FILES[kind];
  if (!pem) return;
  const text = data.toString('latin1');
  const blocks = text.match(pem.block) ?? [];
  try {
    for (const block of blocks) pem.parse(block);
  } catch {
    throw new ArchiveError(`${pem.what} cannot be parsed`);
  }
  if (blocks.length === 0 || text.replace(pem.block, '').trim() !== '') {
    throw new ArchiveError(`${pem.what} is not just PEM blocks; nothing else may stand in that file`);
  }
}

/** Index files, locks, temporary files and the quota sum of Dovecot, which it makes anew; the tokens of today's relays. */
const LEFT_OUT = /^(?:dovecot\..*|maildirsize|.*\.lock|dovecot-uidlist\..*|metadata\.json|\..*\.tmp|\.\.wake)$/;

/** True for the name of a file in a mailbox that no backup holds. */
export function isLeftOut(name: string): boolean {
  return LEFT_OUT.test(name);
}

/** A name that stays in its directory. */
export function isSafeSegment(segment: string): boolean {
  const bytes = Buffer.byteLength(segment);
  return segment !== '.' && segment !== '..' && bytes > 0 && bytes <= MAX_SEGMENT_BYTES && !/[\0/\ufffd]/.test(segment);
}

/**
 * Reads the manifest.
 *
 * @throws ArchiveError
 */
export function parseManifest(text: string): Manifest {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(text) as Manifest;
  } catch {
    throw new ArchiveError('the manifest of the archive is damaged');
  }
  if (manifest?.format !== FORMAT) {
    throw new ArchiveError(`the backup has format ${manifest?.format}, this version restores format ${FORMAT}`);
  }
  return manifest;
}

/** The tokens of an account, in a line of `device-tokens.jsonl`. */
export interface AccountTokens {
  readonly account: string;
  readonly tokens: readonly string[];
}

/**
 * Reads such a line.
 *
 * @throws ArchiveError
 */
export function parseTokenLine(line: string): AccountTokens {
  try {
    const { account, tokens } = JSON.parse(line) as AccountTokens;
    const isAddress = parseAddress(account)?.text === account;
    if (isAddress && Array.isArray(tokens) && tokens.every((token) => TOKEN.test(token))) return { account, tokens };
  } catch {
    // As below.
  }
  throw new ArchiveError('a device token in the archive is damaged');
}

/** As metadata-push has it: printable, no blank, 4096 bytes at most. */
const TOKEN = /^[!-~]{1,4096}$/;
