/** Certificates for stub services on loopback, made by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

/** A directory that ends with the test file. */
export const directory = mkdtempSync(join(tmpdir(), 'push-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A self-signed certificate, at the same time the authority to trust. */
export function makeCertificate(name: string, subject = '/CN=localhost'): Certificate {
  const certFile = join(directory, `${name}.crt`);
  const keyFile = join(directory, `${name}.key`);
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1';
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'].concat([
      '-subj',
      subject,
      '-addext',
      names,
      '-out',
      certFile,
      '-keyout',
      keyFile,
    ]),
    { stdio: 'pipe' },
  );
  return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
}

/** The same as PKCS #12. */
export function makePkcs12(name: string, password: string): Buffer {
  const args = ['pkcs12', '-export', '-in', join(directory, `${name}.crt`), '-inkey', join(directory, `${name}.key`)];
  return execFileSync('openssl', [...args, '-passout', `pass:${password}`], { stdio: 'pipe' });
}
