/**
 * [io] Reads the keys that outgoing mail is signed with: a PEM file with an RSA key, and after it, if wanted, an Ed25519 key, whose
 * selector is that of the RSA key with `-ed25519` behind it (RFC 8463 §6 wants one for each). Programs that know only one key
 * per file take the first.
 */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, ConfigError } from '#core';
import type { SigningKey } from './sign.ts';

/** RFC 8301 §3.2: signers SHOULD use at least this. Existing relays may still have keys of 1024 bits, which verify. */
const MIN_RSA_BITS = 1024;
const PEM_BLOCK = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[A-Za-z0-9+/=\s]*-----END \1-----/g;
const SELECTOR = /^[a-z0-9_](?:[a-z0-9_-]*)(?:\.[a-z0-9_][a-z0-9_-]*)*$/i;

/** Name systemd passes the key under, and the name of its file in the directory of credentials. */
const CREDENTIAL = 'dkim_key';

/**
 * Reads the keys of a relay: what systemd has read for us as root (systemd.exec(5), LoadCredential=; blank when there was no
 * file), else the file itself.
 *
 * @param credentials the directory of credentials, where systemd made one
 * @throws ConfigError when there is no such file, it cannot be read, or there is no usable key in it
 */
export function readSigningKeys(
  { dkim_key, dkim_selector: selector }: Pick<Config, 'dkim_key' | 'dkim_selector'>,
  credentials: string | undefined = process.env.CREDENTIALS_DIRECTORY,
): SigningKey[] {
  if (!SELECTOR.test(selector)) throw new ConfigError(`'${selector}' is not a DKIM selector`, { key: 'dkim_selector' });
  const fail = (what: string, cause?: unknown): never => {
    throw new ConfigError(`${dkim_key} ${what}`, { key: 'dkim_key' }, { cause });
  };
  let text = '';
  try {
    text = readCredential(credentials).trim() || readFileSync(dkim_key, 'latin1');
  } catch (error) {
    fail(`cannot be read (${(error as NodeJS.ErrnoException).code}); outgoing mail is signed with it`, error);
  }
  const keys: SigningKey[] = [];
  for (const [block] of text.matchAll(PEM_BLOCK)) {
    const key = readKey(block) ?? fail('holds a private key that cannot be parsed');
    const type = key.asymmetricKeyType;
    if (type !== 'rsa' && type !== 'ed25519') fail('holds a key that is neither RSA nor Ed25519');
    if (type === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) {
      fail(`holds an RSA key of less than ${MIN_RSA_BITS} bits`);
    }
    if (keys.some((other) => other.key.asymmetricKeyType === type)) fail(`holds two keys of type ${type}`);
    keys.push({ key, selector: type === 'rsa' ? selector : `${selector}-ed25519` });
  }
  if (!keys.some(({ key }) => key.asymmetricKeyType === 'rsa')) fail('holds no RSA private key in PEM');
  return keys;
}

function readCredential(credentials: string | undefined): string {
  if (credentials === undefined) return '';
  try {
    return readFileSync(join(credentials, CREDENTIAL), 'latin1').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

function readKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
