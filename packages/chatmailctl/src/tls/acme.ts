/**
 * [io] Certificates from an authority by ACME (RFC 8555), through dehydrated(1) as Debian packages it: a shell script that keeps its
 * account and keys in a directory of ours and leaves its answers (section 8.3, http-01) where nginx serves them. It does what it is
 * told by /etc/chatmail/acme.conf, a rendered file.
 */

import { Resolver } from 'node:dns/promises';
import { type Config, EXIT_CONFIG, EXIT_TEMPORARY, ExitError } from '#core';
import { exists, type Host, makeDirectories, makeOwnDirectory, readText, writePath } from '../apply/host.ts';
import { ACME_CHALLENGES, type CertificatePaths } from '../production-layout.ts';
import { ACME_CONFIG, ACME_STATE } from '../render/tls.ts';
import { inspectCertificate } from './certificate.ts';

/** The addresses of a name; fails as `node:dns` does. */
type Lookup = (name: string) => Promise<readonly string[]>;

/** A server that refuses so many nonces is in trouble. */
const TRIES = 5;
/** dehydrated names what it makes by the second, and takes what a failed run left in the same second for half done. */
const RETRY_AFTER_MS = 1_100;

/** Names besides the relay's own that its web server answers to. */
const BESIDES = ['www', 'mta-sts'] as const;

/**
 * Has the certificate issued, or renewed when it is near its end or the names have changed.
 *
 * @returns true when there is a new one
 * @throws ExitError 78 when dehydrated is missing, 75 with the authority's reason when it does not sign
 */
export async function issueCertificate(
  host: Host,
  config: Config,
  paths: CertificatePaths,
  lookUp: Lookup = askDns,
): Promise<boolean> {
  await requireAcmeClient(host, config);
  await makeDirectories(host, ACME_CHALLENGES);
  await makeOwnDirectory(host, ACME_STATE, 0o700, { uid: 0, gid: 0 });
  const before = await readText(host, paths.chain);
  const names = await certificateNames(config, before, lookUp);
  await dehydrated(host, config, ['--register', '--accept-terms']);
  const issue = ['--cron', ...names.flatMap((name) => ['--domain', name])];
  await dehydrated(host, config, issue);
  let made = await readMade(host, config);
  if ('problem' in made) {
    // A power cut while it wrote, say. It looks at the end and the names only, and would never try again.
    await dehydrated(host, config, [...issue, '--force']);
    made = await readMade(host, config);
  }
  if ('problem' in made) throw new ExitError(EXIT_TEMPORARY, made.problem);
  if (made.chain === before && made.key === (await readText(host, paths.key))) return false;
  await writePath(host, paths.key, made.key, { mode: 0o600 });
  await writePath(host, paths.chain, made.chain, { mode: 0o644 });
  return true;
}

/** What dehydrated has made: a pair that belongs together, or what is wrong with it. */
async function readMade(
  host: Host,
  { mail_domain }: Config,
): Promise<{ chain: string; key: string } | { problem: string }> {
  const directory = `${ACME_STATE}/certs/${mail_domain}`;
  const chain = await readText(host, `${directory}/fullchain.pem`);
  const key = await readText(host, `${directory}/privkey.pem`);
  if (chain === undefined || key === undefined) {
    return { problem: `dehydrated says it has a certificate, but there is none in ${directory}` };
  }
  const info = inspectCertificate(chain, key, mail_domain);
  return 'problem' in info ? { problem: `${directory}/fullchain.pem ${info.problem}` } : { chain, key };
}

/** Refuses to go on without the client.
 *
 * @throws ExitError 78 */
export async function requireAcmeClient(host: Host, config: Config): Promise<void> {
  if (!(await exists(host, '/usr/bin/dehydrated'))) {
    throw new ExitError(
      EXIT_CONFIG,
      `dehydrated, which gets the certificate for ${config.mail_domain}, is not installed: apt-get install dehydrated, or name a certificate with tls_external_cert_and_key in chatmail.ini`,
    );
  }
}

/** The relay's name, and those of its others that lead to it: an authority refuses all when one of them leads elsewhere. */
export async function certificateNames(config: Config, before: string | undefined, lookUp: Lookup): Promise<string[]> {
  const own = await addressesOf(config.mail_domain, lookUp);
  const names = [config.mail_domain];
  for (const name of BESIDES.map((label) => `${label}.${config.mail_domain}`)) {
    const theirs = await addressesOf(name, lookUp);
    // A resolver in trouble says nothing about the name: what is certified stays so.
    const isUnknown = theirs === undefined || (own === undefined && theirs.length > 0);
    if (isUnknown ? isNamedIn(before, name) : theirs.some((address) => own?.includes(address))) names.push(name);
  }
  return names;
}

/** None for a name that does not exist, undefined when nobody says. */
async function addressesOf(name: string, lookUp: Lookup): Promise<readonly string[] | undefined> {
  try {
    return await lookUp(name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOTFOUND' || code === 'ENODATA' ? [] : undefined;
  }
}

/** As an authority sees it: /etc/hosts, where Debian has the machine's own name with 127.0.1.1, is not asked. */
async function askDns(name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const reasons = answers.flatMap((answer) =>
    answer.status === 'rejected' ? [answer.reason as NodeJS.ErrnoException] : [],
  );
  if (addresses.length > 0 || reasons.length === 0) return addresses;
  throw reasons.find(({ code }) => code !== 'ENODATA' && code !== 'ENOTFOUND') ?? reasons[0]!;
}

function isNamedIn(chain: string | undefined, name: string): boolean {
  if (chain === undefined) return false;
  const info = inspectCertificate(chain, undefined, name);
  return !('problem' in info) && info.matchesName;
}

async function dehydrated(host: Host, config: Config, args: readonly string[]): Promise<void> {
  for (let count = 1; ; count++) {
    const { code, output } = await host.run('dehydrated', ['--config', `${host.root}${ACME_CONFIG}`, ...args]);
    if (code === 0) return;
    // RFC 8555 section 6.5: a client tries again with another nonce; this one leaves that to us.
    if (/badNonce|anti-replay nonce/.test(output) && count < TRIES) {
      await host.pause(RETRY_AFTER_MS);
      continue;
    }
    throw new ExitError(
      EXIT_TEMPORARY,
      `there is no certificate for ${config.mail_domain}: ${reasonIn(output)}; ${remedyFor(output, config)}`,
    );
  }
}

function remedyFor(output: string, { acme_directory_url, mail_domain }: Config): string {
  if (/Problem connecting to server|Could ?n.t (?:resolve|connect)/i.test(output)) {
    return `this machine must reach the authority, ${acme_directory_url} (acme_directory_url in chatmail.ini)`;
  }
  const lock = /Lock file '([^']+)' present/.exec(output)?.[1];
  if (lock !== undefined) {
    // It has a date and no process in it: whether somebody still holds it only the operator can tell.
    return `when no other dehydrated runs (pgrep -a dehydrated), a power cut or a kill has left it: rm ${lock}, then chatmailctl tls`;
  }
  return `the authority looks at http://${mail_domain}/.well-known/acme-challenge/, so the name must lead to this machine (chatmailctl dns) and port 80 must be open`;
}

/** What an authority said, out of what dehydrated prints around it: the `detail` of RFC 7807, else its last words. */
export function reasonIn(output: string): string {
  const details = [...output.matchAll(/"?detail"?\]?:?[\s=]*"((?:[^"\\]|\\.)+)"/g)].map((match) => match[1]!);
  if (details.length > 0) return details.at(-1)!.replaceAll('\\"', '"');
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const error = lines.find((line) => /\berror\b/i.test(line));
  return error ?? lines.at(-1) ?? 'dehydrated gave no reason';
}
