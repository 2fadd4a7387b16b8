/**
 * [io] The relay's certificate, in its three kinds: signed by itself, kept by somebody else, or from a certificate authority
 * (acme.ts). What apply and the timer need of each.
 */

import { type Config, EXIT_CONFIG, ExitError } from '#core';
import { exists, findUser, type Host, mustRun, readText } from '../apply/host.ts';
import { type CertificatePaths, certificatePaths } from '../production-layout.ts';
import { ACME_CONFIG, AUTHORITIES, RENEW_DAYS } from '../render/tls.ts';
import { issueCertificate, requireAcmeClient } from './acme.ts';
import { inspectCertificate } from './certificate.ts';
import { makeSelfSigned } from './self-signed.ts';

const DAY_MS = 86_400_000;

export interface TlsInput {
  readonly host: Host;
  readonly config: Config;
  readonly now: Date;
  note(line: string): void;
}

/** What ensureCertificate found or made. */
export interface CertificateState {
  readonly paths: CertificatePaths;
  /** The servers have not seen it yet. */
  readonly isNew: boolean;
  /** It only lets the web server start, until an authority has signed a real one. */
  readonly isPlaceholder: boolean;
}

/**
 * Checks what `init` makes and what must be there before anything is written.
 *
 * @throws ExitError 78 naming what is missing
 */
export async function checkKeys({ host, config, now }: TlsInput, hasNginx: boolean): Promise<void> {
  if (!(await findUser(host, 'vmail'))) {
    throw new ExitError(
      EXIT_CONFIG,
      `there is no user vmail, who owns the mail; run chatmailctl init ${config.mail_domain}`,
    );
  }
  if (!config.isIpRelay && !(await exists(host, config.dkim_key))) {
    throw new ExitError(
      EXIT_CONFIG,
      `there is no DKIM key ${config.dkim_key}; run chatmailctl init ${config.mail_domain}`,
    );
  }
  // Without it Postfix trusts no other relay, and all mail to them waits.
  if (!(await exists(host, AUTHORITIES))) {
    throw new ExitError(
      EXIT_CONFIG,
      `there is no ${AUTHORITIES}, by which the certificates of other relays are checked: apt-get install ca-certificates`,
    );
  }
  const paths = certificatePaths(config);
  if (paths.kind === 'acme' && !hasNginx) {
    throw new ExitError(
      EXIT_CONFIG,
      `a certificate for ${config.mail_domain} takes a web server that answers the authority: apt-get install nginx libnginx-mod-stream dehydrated, or name a certificate with tls_external_cert_and_key in chatmail.ini`,
    );
  }
  if (paths.kind === 'acme') await requireAcmeClient(host, config);
  if (paths.kind !== 'external') return;
  const problem = await externalProblem(host, paths, config.mail_domain, now);
  if (problem) throw new ExitError(EXIT_CONFIG, `tls_external_cert_and_key: ${problem}`);
}

/** What is wrong with a certificate that somebody else keeps; undefined when it can be used. */
export async function externalProblem(
  host: Host,
  { chain, key }: CertificatePaths,
  name: string,
  now: Date,
): Promise<string | undefined> {
  const [chainText, keyText] = [await readText(host, chain), await readText(host, key)];
  if (chainText === undefined) return `there is no file ${chain}`;
  if (keyText === undefined) return `there is no file ${key}`;
  const info = inspectCertificate(chainText, keyText, name);
  if ('problem' in info) return `${chain} ${info.problem}`;
  if (info.expiresMs < now.getTime())
    return `${chain} expired on ${new Date(info.expiresMs).toISOString().slice(0, 10)}`;
  return info.matchesName ? undefined : `${chain} is not for ${name}`;
}

/**
 * Makes or renews a self-signed certificate, renews one of an authority that is near its end, and lays down a placeholder where an
 * authority is still to be asked.
 */
export async function ensureCertificate({ host, config, now, note }: TlsInput): Promise<CertificateState> {
  const paths = certificatePaths(config);
  if (paths.kind === 'external') return { paths, isNew: false, isPlaceholder: false };
  const [chain, key] = [await readText(host, paths.chain), await readText(host, paths.key)];
  const info =
    chain !== undefined && key !== undefined ? inspectCertificate(chain, key, config.mail_domain) : undefined;
  const isUsable = info !== undefined && !('problem' in info) && info.matchesName;
  if (paths.kind === 'self') {
    if (isUsable && info.expiresMs > now.getTime() + RENEW_DAYS * DAY_MS)
      return { paths, isNew: false, isPlaceholder: false };
    await makeSelfSigned(host, paths, config.mail_domain);
    note(`made a certificate for ${config.mail_domain}, signed by itself: ${paths.chain}`);
    return { paths, isNew: true, isPlaceholder: false };
  }
  if (isUsable) {
    const isDue = !info.isSelfSigned && info.expiresMs < now.getTime() + RENEW_DAYS * DAY_MS;
    const isNew = isDue && (await renewDue({ host, config, now, note }, paths, info.expiresMs));
    return { paths, isNew, isPlaceholder: info.isSelfSigned };
  }
  await makeSelfSigned(host, paths, config.mail_domain, 7);
  return { paths, isNew: true, isPlaceholder: true };
}

/** As `chatmailctl tls` would, but an authority in trouble does not keep the operator from applying something else. */
async function renewDue(
  { host, config, now, note }: TlsInput,
  paths: CertificatePaths,
  endMs: number,
): Promise<boolean> {
  const when = `${endMs < now.getTime() ? 'ended' : 'ends'} on ${new Date(endMs).toISOString().slice(0, 10)}`;
  // Nobody answers the authority before the first apply (a restored relay).
  if (!(await exists(host, ACME_CONFIG))) {
    note(`warning: the certificate ${when}: run chatmailctl tls when this has ended`);
    return false;
  }
  note(`the certificate ${when}: asking ${config.acme_directory_url} for another one`);
  try {
    return await issueCertificate(host, config, paths);
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    note(`warning: ${error.message}; then chatmailctl tls, or wait until chatmail-tls.timer tries again`);
    return false;
  }
}

/**
 * Has an authority sign the certificate where that is how it is to be had, before any server but the web server, which answers the
 * authority's question, is told of it.
 *
 * @throws ExitError 75 or 78 with the reason and what can be done about it
 */
export async function obtainCertificate({ host, config, note }: TlsInput, state: CertificateState): Promise<void> {
  if (!state.isPlaceholder) return;
  note(`asking ${config.acme_directory_url} for a certificate for ${config.mail_domain}`);
  await mustRun(host, 'systemctl', ['enable', 'nginx.service']);
  await mustRun(host, 'systemctl', ['reload-or-restart', 'nginx.service']);
  await issueCertificate(host, config, state.paths);
}
