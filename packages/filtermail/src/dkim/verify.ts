/**
 * Is a message from the domain its From says (RFC 6376 §6)? It is when at least one signature by exactly that domain verifies.
 * Signatures by others prove nothing about From and are not even looked at. Cheap checks come first: a body that was
 * changed needs no DNS.
 */

import { hash, verify as verifyBytes } from 'node:crypto';
import type { DkimFault } from '../verdict.ts';
import { type Canonicalization, type RawField, signedHeader } from './canonical.ts';
import { type PublicKey, parseKeyRecord } from './key-record.ts';
import { parseSignature, type Signature } from './signature.ts';

/** What DNS says at a key's name. */
export type KeyAnswer =
  /** TXT records, their strings joined. `isCached`: somebody asked for them earlier. */
  | { readonly status: 'found'; readonly texts: readonly string[]; readonly isCached: boolean }
  | { readonly status: 'missing' }
  /** It cannot be known now. */
  | { readonly status: 'temporary' };

export interface KeyStore {
  /** Never rejects. `isFresh`: do not answer with what an earlier look-up found. */
  lookUp(name: string, isFresh: boolean): Promise<KeyAnswer>;
}

export type DkimResult =
  | { readonly result: 'pass' }
  /** No signature at all. */
  | { readonly result: 'none' }
  /** None by the domain of From. */
  | { readonly result: 'unaligned' }
  | { readonly result: 'invalid'; readonly fault: DkimFault }
  | { readonly result: 'key_missing' }
  | { readonly result: 'temporary' };

/** Most signatures of a message that are read at all, and of its domain that are verified, each with its own key. */
const MAX_SIGNATURES_READ = 20;
const MAX_SIGNATURES_VERIFIED = 5;
/** Most TXT records of one name that are tried. */
const MAX_RECORDS = 3;
/** How wrong a clock may be, seconds. */
const CLOCK_SKEW_SECONDS = 300;

type Failure = Exclude<DkimResult, { result: 'pass' | 'none' | 'unaligned' }>;

const BODY_CHANGED: Failure = { result: 'invalid', fault: 'dkim_body_changed' };

interface Claim {
  readonly field: RawField;
  readonly signature: Signature;
}

/** What a header claims about its author's domain, before its body and DNS are asked. */
export class DkimClaims {
  /** In which forms the body has to be hashed. */
  readonly bodyForms: ReadonlySet<Canonicalization>;
  readonly #fields: readonly RawField[];
  readonly #claims: readonly Claim[];
  /** What the result is when there is nothing to verify. */
  readonly #withoutClaims: DkimResult;

  /**
   * @param fields the whole header, in its order
   * @param domain that of From, as {@link asciiDomain} gives it
   * @param nowSeconds since 1970
   */
  constructor(fields: readonly RawField[], domain: string, nowSeconds: number) {
    const signed = fields.filter(({ name }) => name === 'dkim-signature').slice(0, MAX_SIGNATURES_READ);
    const claims: Claim[] = [];
    let firstFault: DkimFault | undefined;
    let isAligned = false;
    for (const field of signed) {
      const parsed = parseSignature(field.rawValue);
      if ((parsed.ok ? parsed.signature.domain : parsed.domain) !== domain) continue;
      isAligned = true;
      const fault = parsed.ok ? checkTimes(parsed.signature, nowSeconds) : parsed.fault;
      firstFault ??= fault;
      if (parsed.ok && !fault && claims.length < MAX_SIGNATURES_VERIFIED) {
        claims.push({ field, signature: parsed.signature });
      }
    }
    this.#fields = fields;
    this.#claims = claims;
    this.bodyForms = new Set(claims.map(({ signature }) => signature.bodyForm));
    if (isAligned) this.#withoutClaims = { result: 'invalid', fault: firstFault ?? 'dkim_malformed' };
    else this.#withoutClaims = { result: signed.length > 0 ? 'unaligned' : 'none' };
  }

  /**
   * Verifies against the hashes of the body in all {@link bodyForms}. When `isTimeUp` says so before a signature was found good,
   * no further keys are looked up, and the result is temporary.
   */
  async verify(
    bodyHashes: ReadonlyMap<Canonicalization, Buffer>,
    keys: KeyStore,
    isTimeUp: () => boolean = () => false,
  ): Promise<DkimResult> {
    const failures: Failure[] = [];
    for (const { field, signature } of this.#claims) {
      if (isTimeUp()) return { result: 'temporary' };
      const failure = bodyHashes.get(signature.bodyForm)?.equals(signature.bodyHash)
        ? await verifyWithKeys(signature, this.#signedBytes(field, signature), keys)
        : BODY_CHANGED;
      if (!failure) return { result: 'pass' };
      failures.push(failure);
    }
    // Only a key that was out of reach gives another try a chance; else the failure that says most is reported.
    const find = (wanted: Failure['result']) => failures.find(({ result }) => result === wanted);
    return find('temporary') ?? find('invalid') ?? failures[0] ?? this.#withoutClaims;
  }

  #signedBytes({ rawName }: RawField, { headerForm, fieldNames, unsignedValue }: Signature): Buffer {
    return signedHeader(headerForm, fieldNames, this.#fields, { rawName, rawValue: unsignedValue });
  }
}

function checkTimes({ signedAt, expiresAt }: Signature, nowSeconds: number): DkimFault | undefined {
  if (expiresAt !== undefined && expiresAt < nowSeconds - CLOCK_SKEW_SECONDS) return 'dkim_expired';
  if (signedAt !== undefined && signedAt > nowSeconds + CLOCK_SKEW_SECONDS) return 'dkim_future';
  return undefined;
}

/** Nothing when the signature is good. A key that was kept from earlier may have been replaced: it fails twice or not at all. */
async function verifyWithKeys(signature: Signature, data: Buffer, keys: KeyStore): Promise<Failure | undefined> {
  const name = `${signature.selector}._domainkey.${signature.domain}`.toLowerCase();
  const first = await keys.lookUp(name, false);
  const failure = verifyWithAnswer(signature, data, first);
  if (!failure || first.status !== 'found' || !first.isCached) return failure;
  return verifyWithAnswer(signature, data, await keys.lookUp(name, true));
}

function verifyWithAnswer(signature: Signature, data: Buffer, answer: KeyAnswer): Failure | undefined {
  if (answer.status === 'temporary') return { result: 'temporary' };
  if (answer.status === 'missing') return { result: 'key_missing' };
  let failure: Failure = { result: 'key_missing' };
  for (const text of answer.texts.slice(0, MAX_RECORDS)) {
    const record = parseKeyRecord(text);
    if (record.kind === 'other') continue;
    const fault = record.kind === 'key' ? verifyWithKey(signature, data, record.key) : record.fault;
    if (!fault) return undefined;
    failure = { result: 'invalid', fault };
  }
  return failure;
}

function verifyWithKey(signature: Signature, data: Buffer, { type, key, isStrict }: PublicKey): DkimFault | undefined {
  if (!signature.algorithm.startsWith(`${type}-`)) return 'dkim_key_not_for_this';
  if (isStrict && signature.identityDomain !== signature.domain) return 'dkim_key_not_for_this';
  // RFC 8463 §3: Ed25519 signs the hash, and knows no other hash of its own choosing.
  const isGood =
    type === 'rsa'
      ? verifyBytes('sha256', data, key, signature.bytes)
      : verifyBytes(null, hash('sha256', data, 'buffer'), key, signature.bytes);
  return isGood ? undefined : 'dkim_signature_wrong';
}
