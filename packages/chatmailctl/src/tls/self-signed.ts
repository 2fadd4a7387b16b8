/**
 * [io] Certificates that sign themselves: for relays without a name any authority knows, and to let a web server start that is to
 * answer an authority's first question. The certificate is made by openssl(1).
 */

import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { EXIT_CONFIG, ExitError } from '#core';
import { type Host, readText, writePath } from '../apply/host.ts';
import { run } from '../run.ts';

/** Ten years: nobody checks it against a date but by accident. */
export const SELF_SIGNED_DAYS = 3650;
/** X.520: a common name has no room for more. */
const COMMON_NAME_LENGTH = 64;

/**
 * Makes a certificate for a name or an IPv4 address; the key is kept when there is one.
 *
 * @throws ExitError 78 with what openssl said
 */
export async function makeSelfSigned(
  host: Host,
  paths: { readonly chain: string; readonly key: string },
  name: string,
  days = SELF_SIGNED_DAYS,
): Promise<void> {
  const key = (await readText(host, paths.key)) ?? newKey();
  const chain = await certify(key, name, days);
  await writePath(host, paths.key, key, { mode: 0o600 });
  await writePath(host, paths.chain, chain, { mode: 0o644 });
}

function newKey(): string {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

async function certify(key: string, name: string, days: number): Promise<string> {
  const directory = await mkdtemp(`${tmpdir()}/chatmailctl-`);
  try {
    await writeFile(`${directory}/key`, key, { mode: 0o600 });
    const isAddress = /^[\d.]+$/.test(name);
    const { code, output } = await run('openssl', [
      ...['req', '-x509', '-new', '-key', `${directory}/key`, '-sha256', '-days', String(days)],
      ...['-subj', name.length > COMMON_NAME_LENGTH ? '/O=chatmail relay' : `/CN=${name}`],
      ...['-addext', `subjectAltName=${isAddress ? 'IP' : 'DNS'}:${name}`],
      ...['-addext', 'extendedKeyUsage=serverAuth'],
    ]);
    const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\n/.exec(output)?.[0];
    if (code === 0 && certificate) return certificate;
    const reason = code === 127 ? 'openssl is not installed (apt-get install openssl)' : output.trim();
    throw new ExitError(EXIT_CONFIG, `no certificate could be made for ${name}: ${reason}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
