/**
 * [io] `chatmailctl tls`, which a timer and, for certificates of somebody else's, a path unit run: renews what is ours to renew, and
 * has the servers read the certificate when it is another one than they have.
 */

import { hash } from 'node:crypto';
import { EXIT_CONFIG, ExitError } from '#core';
import { type Host, mustRun, readText, writePath } from '../apply/host.ts';
import { readUnitStates } from '../apply/services.ts';
import { type CertificatePaths, certificatePaths } from '../production-layout.ts';
import { issueCertificate } from './acme.ts';
import { ensureCertificate, externalProblem, type TlsInput } from './tls.ts';

/** A hash of the certificate the servers have read. */
const IN_USE = '/var/lib/chatmail/certificate-in-use';
const SERVERS = ['postfix.service', 'dovecot.service', 'nginx.service'];

/**
 * Renews and reloads as needed.
 *
 * @throws ExitError 75 or 78 when there is no good certificate; the servers keep the one they have
 */
export async function renew(input: TlsInput & { print(line: string): void }): Promise<void> {
  const { host, config, print, now } = input;
  const paths = certificatePaths(config);
  if (paths.kind === 'external') {
    const problem = await externalProblem(host, paths, config.mail_domain, now);
    if (problem)
      throw new ExitError(EXIT_CONFIG, `tls_external_cert_and_key: ${problem}; the servers keep what they have`);
  } else if (paths.kind === 'self') await ensureCertificate(input);
  else await issueCertificate(host, config, paths);
  const current = await fingerprint(host, paths);
  if (current === (await readText(host, IN_USE))?.trim()) {
    print('The certificate is the one in use.');
    return;
  }
  const states = await readUnitStates(host, SERVERS);
  const running = states.filter(({ isActive }) => isActive).map(({ name }) => name);
  if (running.length > 0) await mustRun(host, 'systemctl', ['reload', ...running]);
  await rememberCertificate(host, paths);
  print(`A new certificate: reloaded ${running.join(', ') || 'nothing, no server runs'}.`);
}

/** Notes that the servers have read the certificate there is. */
export async function rememberCertificate(host: Host, paths: CertificatePaths): Promise<void> {
  await writePath(host, IN_USE, `${await fingerprint(host, paths)}\n`, { mode: 0o600 });
}

async function fingerprint(host: Host, { chain, key }: CertificatePaths): Promise<string> {
  return hash('sha256', `${(await readText(host, chain)) ?? ''}\n${(await readText(host, key)) ?? ''}`);
}
