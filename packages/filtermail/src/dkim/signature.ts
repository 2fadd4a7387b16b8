/**
 * DKIM-Signature fields -> what they claim (RFC 6376 §3.5, RFC 8301, RFC 8463), or why they cannot count. Signatures by SHA-1
 * or with `l=` (which lets anybody add text) and those that leave From unsigned never count.
 */

import { parseDomain } from '#core';
import type { DkimFault } from '../verdict.ts';
import type { Canonicalization } from './canonical.ts';
import { decodeBase64, parseTagList, type Tag, withoutBlanks } from './tag-list.ts';

export type SignatureAlgorithm = 'rsa-sha256' | 'ed25519-sha256';

export interface Signature {
  readonly algorithm: SignatureAlgorithm;
  /** `d=`: who signed, in lower case and in ASCII (RFC 8616). */
  readonly domain: string;
  readonly selector: string;
  readonly headerForm: Canonicalization;
  readonly bodyForm: Canonicalization;
  /** `h=` in lower case, in its order, repetitions included. */
  readonly fieldNames: readonly string[];
  readonly bodyHash: Buffer;
  readonly bytes: Buffer;
  /** The domain of `i=`; the signer's own unless it says otherwise. */
  readonly identityDomain: string;
  /** Seconds since 1970. */
  readonly signedAt: number | undefined;
  readonly expiresAt: number | undefined;
  /** The field's own value with that of `b=` taken out, as it is signed. */
  readonly unsignedValue: string;
}

export type SignatureResult =
  | { readonly ok: true; readonly signature: Signature }
  /** `domain` is undefined where it cannot be read. */
  | { readonly ok: false; readonly domain: string | undefined; readonly fault: DkimFault };

const FIELD_NAME = /^[!-9<-~]+$/;
const SELECTOR = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*$/;
/** RFC 6376 §3.5: at most 12 digits. */
const TIME = /^\d{1,12}$/;
/** A SHA-256, bytes. */
const BODY_HASH_BYTES = 32;
/** Most names in `h=`; over-signing names some twice. */
const MAX_FIELD_NAMES = 200;

/** Reads the value of a DKIM-Signature field, a byte string with folds and all. */
export function parseSignature(value: string): SignatureResult {
  const tags = parseTagList(value);
  const domain = tags && readDomain(tags.get('d')?.value);
  const invalid = (fault: DkimFault): SignatureResult => ({ ok: false, domain, fault });
  if (!tags || domain === undefined || tags.get('v')?.value !== '1') return invalid('dkim_malformed');
  const algorithm = tags.get('a')?.value.toLowerCase();
  if (algorithm === undefined || !/^\w+-\w+$/.test(algorithm)) return invalid('dkim_malformed');
  if (algorithm !== 'rsa-sha256' && algorithm !== 'ed25519-sha256') return invalid('dkim_algorithm');
  // §3.5: `relaxed` alone means relaxed/simple.
  const [headerForm, bodyForm = 'simple', ...more] = (tags.get('c')?.value ?? 'simple').toLowerCase().split('/');
  const signatureTag = tags.get('b');
  const bytes = decodeBase64(signatureTag?.value ?? '');
  const bodyHash = decodeBase64(tags.get('bh')?.value ?? '');
  const selector = tags.get('s')?.value ?? '';
  const fieldNames = readFieldNames(tags.get('h')?.value);
  const identityDomain = readIdentityDomain(tags.get('i'), domain);
  const [signedAt, expiresAt] = [readTime(tags.get('t')), readTime(tags.get('x'))];
  if (
    !isForm(headerForm) ||
    !isForm(bodyForm) ||
    more.length > 0 ||
    !bytes ||
    bodyHash?.length !== BODY_HASH_BYTES ||
    !SELECTOR.test(selector) ||
    !fieldNames ||
    identityDomain === undefined ||
    signedAt === null ||
    expiresAt === null ||
    (signedAt !== undefined && expiresAt !== undefined && expiresAt <= signedAt) ||
    !asksDns(tags.get('q'))
  ) {
    return invalid('dkim_malformed');
  }
  if (tags.has('l')) return invalid('dkim_body_length');
  if (!fieldNames.includes('from')) return invalid('dkim_from_unsigned');
  const unsignedValue = value.slice(0, signatureTag!.start) + value.slice(signatureTag!.end);
  const times = { signedAt, expiresAt };
  const forms = { headerForm, bodyForm };
  return {
    ok: true,
    signature: {
      algorithm,
      domain,
      selector,
      ...forms,
      fieldNames,
      bodyHash,
      bytes,
      identityDomain,
      ...times,
      unsignedValue,
    },
  };
}

/** A domain in the form in which two of them can be compared: lower case, ASCII (RFC 8616 §4). Undefined for what is none. */
export function asciiDomain(domain: string): string | undefined {
  const parsed = parseDomain(domain);
  if (parsed === undefined || /^[ -~]*$/.test(parsed)) return parsed;
  const url = `http://${parsed}/`;
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

function readDomain(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  return asciiDomain(Buffer.from(value, 'latin1').toString('utf8'));
}

function isForm(form: string | undefined): form is Canonicalization {
  return form === 'simple' || form === 'relaxed';
}

function readFieldNames(value: string | undefined): string[] | undefined {
  const names = withoutBlanks(value ?? '')
    .toLowerCase()
    .split(':');
  return names.length <= MAX_FIELD_NAMES && names.every((name) => FIELD_NAME.test(name)) ? names : undefined;
}

/** §3.5 `i=`: the domain must be that of `d=` or below it; the local part is of no interest. */
function readIdentityDomain(tag: Tag | undefined, signer: string): string | undefined {
  if (!tag) return signer;
  const domain = readDomain(tag.value.slice(tag.value.lastIndexOf('@') + 1));
  if (!tag.value.includes('@') || domain === undefined) return undefined;
  return domain === signer || domain.endsWith(`.${signer}`) ? domain : undefined;
}

/** Undefined when there is none, null when there is one that is no time. */
function readTime(tag: Tag | undefined): number | undefined | null {
  if (!tag) return undefined;
  return TIME.test(tag.value) ? Number(tag.value) : null;
}

/** §3.5 `q=`: a colon-separated list of ways to the key, of which we know one. */
function asksDns(tag: Tag | undefined): boolean {
  return !tag || withoutBlanks(tag.value).toLowerCase().split(':').includes('dns/txt');
}
