/**
 * [io] `chatmailctl adopt`: makes a relay of the Python and Rust stack one that `apply` can take over in place. It copies what is to be
 * kept to where ours looks (chatmail.ini, certificate, the account with the authority) and allows apply to replace the rest. Mailboxes,
 * passwords, the DKIM key and tokens are used where they are. No service is touched.
 */

import { createPrivateKey, hash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Config, differingKeys, EXIT_CONFIG, ExitError, parseConfig } from '#core';
import { exists, type Host, makeOwnDirectory, readText, writePath } from '../apply/host.ts';
import { isOurs } from '../apply/plan.ts';
import { makeMissing } from '../init/init.ts';
import { certificatePaths } from '../production-layout.ts';
import { ACME_STATE } from '../render/tls.ts';
import { inspectCertificate } from '../tls/certificate.ts';
import { isUnitOfOurs } from '../units/plan.ts';
import { isAdopted, readAdoption, writeAdoption } from './adoption-file.ts';
import {
  type Adoption,
  adoptedConfig,
  INHERITED_CONFIG,
  IROH_UNIT,
  KEPT_UNITS,
  listed,
  REPLACED_FILES,
  REPLACED_UNITS,
  STOPPED_UNITS,
} from './inherited.ts';

const CONFIG = '/etc/chatmail/chatmail.ini';
const WEB_PAGES = '/var/www/html';

export interface AdoptOptions {
  /** The chatmail.ini of ours that is there counts, whatever the relay had. */
  readonly keepConfig?: boolean;
}

/**
 * Imports what the relay has and says what it did.
 *
 * @throws ExitError 78 when there is no such relay, its configuration has a mistake, or a chatmail.ini of ours has other settings
 */
export async function adopt(
  host: Host,
  print: (line: string) => void,
  { keepConfig = false }: AdoptOptions = {},
): Promise<void> {
  const inherited = await readText(host, INHERITED_CONFIG);
  if (inherited === undefined) {
    throw new ExitError(EXIT_CONFIG, `there is no ${INHERITED_CONFIG}: no relay set up by cmdeploy is on this machine`);
  }
  const last = await readAdoption(host);
  const configHash = hash('sha256', inherited);
  const config = await adoptConfig(host, inherited, keepConfig || last?.configHash === configHash, print);
  await makeMissing(host, config.mail_domain, CONFIG, print);
  await adoptCertificate(host, config, print);
  const adoption = await survey(host, configHash, last);
  await writeAdoption(host, adoption);
  await report(host, config, adoption, print);
}

/** @param isSettled the operator has chosen between the two files, or has changed ours since it was imported */
async function adoptConfig(
  host: Host,
  inherited: string,
  isSettled: boolean,
  print: (line: string) => void,
): Promise<Config> {
  const before = parseConfig(inherited, INHERITED_CONFIG);
  const existing = await readText(host, CONFIG);
  // A copy of the other one has no settings of its own.
  const current = existing === undefined || existing === inherited ? undefined : parseConfig(existing, CONFIG);
  if (current && current.mail_domain !== before.mail_domain) {
    throw new ExitError(
      EXIT_CONFIG,
      `${CONFIG} is for ${current.mail_domain}, ${INHERITED_CONFIG} for ${before.mail_domain}; remove the wrong one`,
    );
  }
  if (current && isSettled) return current;
  const hasPages = await exists(host, `${WEB_PAGES}/index.html`);
  // An address without its brackets: the directory of relays that had no name yet.
  const plain = `/home/vmail/mail/${before.mail_domain}`;
  const isPlain =
    plain !== before.mailboxes_dir && (await isEmpty(host, before.mailboxes_dir)) && (await exists(host, plain));
  const text = adoptedConfig(inherited, {
    webPages: hasPages ? WEB_PAGES : undefined,
    mailboxes: isPlain ? plain : undefined,
    irohRelay: await irohRelayOf(host, before),
  });
  const config = parseConfig(text, CONFIG);
  if (current) {
    refuseOtherSettings(current, config);
    return current;
  }
  for (const warning of before.warnings) print(`note  ${warning}`);
  await writePath(host, CONFIG, text, { mode: 0o644 });
  print(`made  ${CONFIG}, from ${INHERITED_CONFIG}${hasPages ? `, with the pages of ${WEB_PAGES}` : ''}`);
  if (config.iroh_relay !== before.iroh_relay) {
    print(`keep  iroh_relay = ${config.iroh_relay}: was the default there, and ${IROH_UNIT} is on this machine`);
  }
  return config;
}

/** What clients were told where nothing was given. None can check a certificate that is our own, so there they never had one. */
async function irohRelayOf(host: Host, { mail_domain, isSelfSigned }: Config): Promise<string | undefined> {
  return !isSelfSigned && (await hasUnit(host, IROH_UNIT)) ? `https://${mail_domain}` : undefined;
}

async function hasUnit(host: Host, unit: string): Promise<boolean> {
  return (await exists(host, `/etc/systemd/system/${unit}`)) || (await exists(host, `/lib/systemd/system/${unit}`));
}

/** Nobody may find out by what expiry has deleted that another file counts now. */
function refuseOtherSettings(current: Config, inherited: Config): void {
  const keys = differingKeys(current, inherited);
  if (keys.length === 0) return;
  throw new ExitError(
    EXIT_CONFIG,
    `${CONFIG} has other settings than ${INHERITED_CONFIG}, which this relay has run with so far: ${keys.join(', ')}; for those it has run with, move ${CONFIG} away and run chatmailctl adopt again; for those of ${CONFIG}, run chatmailctl adopt --keep-config`,
  );
}

/** Also of a directory that is not there. */
async function isEmpty(host: Host, path: string): Promise<boolean> {
  return (await readdir(host.root + path).catch(() => [])).length === 0;
}

/** Copies the certificate and, for one of an authority, the account: a CAA record may name it. */
async function adoptCertificate(host: Host, config: Config, print: (line: string) => void): Promise<void> {
  const paths = certificatePaths(config);
  if (paths.kind === 'external') return;
  const [chainPath, keyPath] =
    paths.kind === 'self'
      ? ['/etc/ssl/certs/mailserver.pem', '/etc/ssl/private/mailserver.key']
      : [`/var/lib/acme/live/${config.mail_domain}/fullchain`, `/var/lib/acme/live/${config.mail_domain}/privkey`];
  const [chain, key] = [await readText(host, chainPath), await readText(host, keyPath)];
  if (chain !== undefined && key !== undefined) {
    const info = inspectCertificate(chain, key, config.mail_domain);
    if ('problem' in info || !info.matchesName) {
      print(
        `note  ${chainPath} is not used: it ${'problem' in info ? info.problem : `is not for ${config.mail_domain}`}`,
      );
    } else if (paths.kind === 'self' || !(await exists(host, paths.chain))) {
      await writePath(host, paths.key, key, { mode: 0o600 });
      await writePath(host, paths.chain, chain, { mode: 0o644 });
      print(`made  ${paths.chain}, a copy of ${chainPath}`);
    }
  }
  if (paths.kind === 'acme') await adoptAccount(host, config, print);
}

/** The key of acmetool's account; the rest dehydrated asks the authority for. */
async function adoptAccount(host: Host, { acme_directory_url }: Config, print: (line: string) => void): Promise<void> {
  const accounts = `/var/lib/acme/accounts/${acme_directory_url.replace(/^https:\/\//, '').replaceAll('/', '%2f')}`;
  const [id] = (await readdir(host.root + accounts).catch(() => [])).sort();
  const key = id === undefined ? undefined : await readText(host, `${accounts}/${id}/privkey`);
  const files = accountFiles(acme_directory_url, key ?? '');
  if (key === undefined || (await exists(host, Object.keys(files)[0]!))) return;
  if (!isRsaKey(key)) {
    print(
      "note  acmetool's account has a key dehydrated cannot use; it makes an account of its own, so a CAA record must change",
    );
    return;
  }
  for (const [path, text] of Object.entries(files)) {
    for (const directory of [ACME_STATE, dirname(dirname(path)), dirname(path)]) {
      await makeOwnDirectory(host, directory, 0o700, { uid: 0, gid: 0 });
    }
    await writePath(host, path, text, { mode: 0o600 });
  }
  print("made  dehydrated's account with the authority, from the key of acmetool's: a CAA record may name it");
}

/** What dehydrated 0.7 takes for an account; the directory is the authority's URL in base64. */
export function accountFiles(directoryUrl: string, key: string): Record<string, string> {
  const directory = `${ACME_STATE}/accounts/${Buffer.from(`${directoryUrl}\n`).toString('base64url')}`;
  // Without the second it asks in a way that authorities need not answer.
  return { [`${directory}/account_key.pem`]: key, [`${directory}/registration_info.json`]: '{}\n' };
}

function isRsaKey(text: string): boolean {
  try {
    return createPrivateKey(text).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

async function survey(host: Host, configHash: string, last: Adoption | undefined): Promise<Adoption> {
  // What was allowed stays so: --undo brings those files back after an apply.
  const files: Record<string, string> = { ...last?.files };
  const paths = [...REPLACED_FILES, ...REPLACED_UNITS.map((unit) => `/etc/systemd/system/${unit}`)];
  for (const path of paths) {
    const text = await readText(host, path);
    if (text !== undefined && !isOurs(text) && !isUnitOfOurs(text)) files[path] = hash('sha256', text);
  }
  const nginx = await readText(host, '/etc/nginx/nginx.conf');
  const needsNginxConf =
    nginx !== undefined && (isOurs(nginx) || !/^\s*include\s+\/etc\/nginx\/conf\.d\//m.test(nginx));
  if (!needsNginxConf) delete files['/etc/nginx/nginx.conf'];
  return { version: 1, files, configHash, needsNginxConf };
}

async function report(host: Host, config: Config, adoption: Adoption, print: (line: string) => void): Promise<void> {
  const accounts = (await readdir(host.root + config.mailboxes_dir).catch(() => [])).filter((name) =>
    name.includes('@'),
  );
  const present = async (units: readonly string[]) => {
    const found = await Promise.all(units.map((unit) => hasUnit(host, unit)));
    return units.filter((_, index) => found[index]);
  };
  print(`keep  ${accounts.length} accounts in ${config.mailboxes_dir}: mail, passwords, days of last login`);
  print('keep  device tokens and waiting pushes: metadata-push imports them at its first start');
  print(`keep  running: ${listed(await present(KEPT_UNITS))}`);
  const replaced: string[] = [];
  for (const path of Object.keys(adoption.files).sort()) {
    if (isAdopted(adoption, path, (await readText(host, path)) ?? '')) replaced.push(path);
  }
  print(`next  apply replaces ${listed(replaced)}`);
  print(`next  apply stops ${listed(await present(STOPPED_UNITS))}`);
  print('Nothing of this has changed the running relay. See what apply would do: chatmailctl apply --dry-run');
}
