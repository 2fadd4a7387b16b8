/**
 * What a certificate and its key are good for, from their texts alone (RFC 5280): so that a bad pair is refused with a reason before
 * three servers refuse it each in its own words.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto';

/** A certificate that can be used now. */
export interface CertificateInfo {
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
  /** It is for this name. */
  readonly matchesName: boolean;
  /** Nobody but its own key vouches for it. */
  readonly isSelfSigned: boolean;
}

/**
 * Looks at a chain and its key.
 *
 * @param key not looked at when undefined
 * @param name a DNS name or an IPv4 address
 * @returns the facts, or a sentence about what is wrong
 */
export function inspectCertificate(
  chain: string,
  key: string | undefined,
  name: string,
): CertificateInfo | { readonly problem: string } {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(chain);
  } catch {
    return { problem: 'is no certificate in PEM' };
  }
  try {
    if (key !== undefined && !certificate.checkPrivateKey(createPrivateKey(key)))
      return { problem: 'does not belong to the key' };
  } catch {
    return { problem: 'has a key that is no private key in PEM without a passphrase' };
  }
  const isAddress = /^[\d.]+$/.test(name);
  return {
    expiresMs: Date.parse(certificate.validTo),
    // Names that begin with _ are no host names to X.509, but ours for test relays.
    matchesName: isAddress
      ? certificate.checkIP(name) !== undefined
      : (certificate.subjectAltName ?? '').split(', ').includes(`DNS:${name}`) ||
        certificate.checkHost(name) !== undefined,
    isSelfSigned: certificate.verify(certificate.publicKey),
  };
}
