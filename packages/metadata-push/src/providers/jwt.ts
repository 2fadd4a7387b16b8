/**
 * Signed JSON Web Tokens (RFC 7515, 7519) of the two kinds the services want: ES256 and RS256 (RFC 7518).
 */

import { Buffer } from 'node:buffer';
import { type KeyObject, sign } from 'node:crypto';

/**
 * Makes a compact JWS. The algorithm follows from the key: RS256 for RSA, ES256 for P-256.
 *
 * @throws TypeError when the key is neither
 */
export function signJwt(
  header: Readonly<Record<string, string>>,
  claims: Readonly<Record<string, unknown>>,
  key: KeyObject,
): string {
  const alg = algorithmOf(key);
  if (alg === undefined) throw new TypeError('the key is neither RSA nor P-256');
  const input = `${encode({ alg, ...header })}.${encode(claims)}`;
  // JOSE wants r and s of an ECDSA signature as they are, not in DER (RFC 7518 section 3.4).
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** The JWS algorithm of a private key; undefined when it is of no kind used here. */
export function algorithmOf(key: KeyObject): 'ES256' | 'RS256' | undefined {
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? 'ES256' : undefined;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}
