/**
 * TXT records -> public keys (RFC 6376 §3.6.1, RFC 8301 §3.2, RFC 8463 §4), or why they cannot be used. Tolerates what real
 * zones contain and what changes nothing: quotes and backslashes left over from a zone file, blanks in the key, RSA keys
 * without their wrapping. The testing flag (`t=y`) changes nothing either: what is proven is proven.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { DkimFault } from '../verdict.ts';
import { decodeBase64, parseTagList } from './tag-list.ts';

export interface PublicKey {
  readonly type: 'rsa' | 'ed25519';
  readonly key: KeyObject;
  /** `t=s`: the signature's `i=` must have exactly its `d=`. */
  readonly isStrict: boolean;
}

export type KeyRecordResult =
  | { readonly kind: 'key'; readonly key: PublicKey }
  | { readonly kind: 'unusable'; readonly fault: DkimFault }
  /** Another sort of record, as names with a wildcard have them. */
  | { readonly kind: 'other' };

/** RFC 8301 §3.2: shorter ones MUST NOT count. */
const MIN_RSA_BITS = 1024;
/** Above what RFC 8301 §3.2 demands; bounds the time of a verification. */
const MAX_RSA_BITS = 8192;
/** Real ones are 65537 or 3; a large one makes verifying as slow as signing. */
const MAX_RSA_EXPONENT = 0xffff_ffffn;
/** A SubjectPublicKeyInfo of Ed25519 up to the 32 bytes of the key (RFC 8410 §4). */
const ED25519_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/** Reads a TXT record, its strings already joined. */
export function parseKeyRecord(text: string): KeyRecordResult {
  const tags = parseTagList(text.replace(/["\\]/g, ''));
  if (!tags) return { kind: 'other' };
  const isDkim = tags.get('v')?.value === 'DKIM1';
  // §3.6.1: `v=` is optional, but must come first and be DKIM1 when it is there.
  if (tags.has('v') && (!isDkim || [...tags.keys()][0] !== 'v')) return { kind: 'other' };
  const material = tags.get('p')?.value;
  if (material === undefined) return isDkim ? unusable('dkim_key_malformed') : { kind: 'other' };
  if (material === '') return unusable('dkim_key_revoked');
  const list = (name: string) =>
    tags
      .get(name)
      ?.value.split(':')
      .map((word) => word.trim().toLowerCase());
  const services = list('s');
  const isForMail = !services || services.includes('*') || services.includes('email');
  if (!isForMail || list('h')?.includes('sha256') === false) return unusable('dkim_key_not_for_this');
  const type = tags.get('k')?.value.toLowerCase() ?? 'rsa';
  if (type !== 'rsa' && type !== 'ed25519') return unusable('dkim_key_not_for_this');
  const bytes = decodeBase64(material);
  const key = bytes && (type === 'rsa' ? readRsa(bytes) : readEd25519(bytes));
  if (!key) return unusable('dkim_key_malformed');
  if (type === 'rsa') {
    const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < MIN_RSA_BITS) return unusable('dkim_key_weak');
    if (modulusLength > MAX_RSA_BITS || publicExponent > MAX_RSA_EXPONENT) return unusable('dkim_key_malformed');
  }
  return { kind: 'key', key: { type, key, isStrict: list('t')?.includes('s') === true } };
}

function unusable(fault: DkimFault): KeyRecordResult {
  return { kind: 'unusable', fault };
}

/** SubjectPublicKeyInfo, as everybody publishes it, or the bare RSAPublicKey of §3.6.1. */
function readRsa(bytes: Buffer): KeyObject | undefined {
  const key = readDer(bytes, 'spki') ?? readDer(bytes, 'pkcs1');
  return key?.asymmetricKeyType === 'rsa' ? key : undefined;
}

function readEd25519(bytes: Buffer): KeyObject | undefined {
  return bytes.length === 32 ? readDer(Buffer.concat([ED25519_PREFIX, bytes]), 'spki') : undefined;
}

function readDer(key: Buffer, type: 'spki' | 'pkcs1'): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: 'der', type });
  } catch {
    return undefined;
  }
}
