/** Whole messages through the DKIM code, for tests: keys in memory, signing, verifying in any chunking. */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { BodyHash, type RawField } from '../../src/dkim/canonical.ts';
import { SIGNED_BODY_FORM, type SigningKey, signMessage } from '../../src/dkim/sign.ts';
import { DkimClaims, type KeyAnswer, type KeyStore } from '../../src/dkim/verify.ts';

export const NOW = 1_800_000_000;

/** A key pair, made once per process, and the record that publishes it. */
export interface TestKey {
  readonly privateKey: KeyObject;
  readonly record: string;
}

function makeRsa(bits: number): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  return {
    privateKey,
    record: `v=DKIM1; k=rsa; p=${publicKey.export({ format: 'der', type: 'spki' }).toString('base64')}`,
  };
}

function makeEd25519(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  return { privateKey, record: `v=DKIM1; k=ed25519; p=${raw.toString('base64')}` };
}

export const RSA: TestKey = makeRsa(2048);
export const ED25519: TestKey = makeEd25519();
export const makeRsaKey = makeRsa;

/** TXT records by name; `temporary` for a server that is out of order. */
export class MemoryKeys implements KeyStore {
  readonly records: Map<string, readonly string[] | 'temporary'>;
  /** What was remembered from earlier, and is found first. */
  readonly cached = new Map<string, readonly string[]>();
  readonly asked: string[] = [];

  constructor(records: Readonly<Record<string, string | readonly string[]>>) {
    const values = Object.entries(records).map(([name, value]): [string, readonly string[] | 'temporary'] => [
      name,
      value === 'temporary' ? value : [value].flat(),
    ]);
    this.records = new Map(values);
  }

  async lookUp(name: string, isFresh: boolean): Promise<KeyAnswer> {
    this.asked.push(isFresh ? `fresh ${name}` : name);
    const cached = isFresh ? undefined : this.cached.get(name);
    if (cached) return { status: 'found', texts: cached, isCached: true };
    const texts = this.records.get(name);
    if (texts === undefined) return { status: 'missing' };
    return texts === 'temporary' ? { status: 'temporary' } : { status: 'found', texts, isCached: false };
  }
}

/** Header fields and body of a message with CRLF. */
export function splitMessage(message: string): { readonly fields: RawField[]; readonly body: Buffer } {
  const end = message.indexOf('\r\n\r\n');
  const header = end < 0 ? message : message.slice(0, end);
  const fields = header.split(/\r\n(?![ \t])/).map((line) => {
    const colon = line.indexOf(':');
    const rawName = line.slice(0, colon);
    // As the MTA hands it on.
    return { name: rawName.trimEnd().toLowerCase(), rawName, rawValue: line.slice(colon + 1).replaceAll('\r\n', '\n') };
  });
  return { fields, body: Buffer.from(end < 0 ? '' : message.slice(end + 4), 'latin1') };
}

/** The result of verifying: `pass`, or why not. */
export async function verifyMessage(
  message: string,
  keys: KeyStore,
  { domain = 'example.org', nowSeconds = NOW, chunk = 0 } = {},
): Promise<string> {
  const { fields, body } = splitMessage(message);
  const claims = new DkimClaims(fields, domain, nowSeconds);
  const hashes = [...claims.bodyForms].map((form) => [form, new BodyHash(form)] as const);
  const size = chunk || body.length || 1;
  for (let at = 0; at < body.length; at += size) {
    for (const [, hash] of hashes) hash.push(body.subarray(at, at + size));
  }
  const result = await claims.verify(new Map(hashes.map(([form, hash]) => [form, hash.digest()])), keys);
  return result.result === 'invalid' ? result.fault : result.result;
}

/** The message with our signature on top. */
export function signed(message: string, key: SigningKey, domain = 'example.org', nowSeconds = NOW): string {
  const { fields, body } = splitMessage(message);
  const hash = new BodyHash(SIGNED_BODY_FORM);
  hash.push(body);
  const value = signMessage({ fields, bodyHash: hash.digest(), domain, nowSeconds }, key);
  return `DKIM-Signature: ${value.replaceAll('\n', '\r\n')}\r\n${message}`;
}
