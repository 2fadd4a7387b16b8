/** Reads and verifies a JWT the way its receiver would. */
import { type KeyObject, verify } from 'node:crypto';

export interface Jwt {
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
  readonly isValid: boolean;
}

export function readJwt(text: string, publicKey: KeyObject): Jwt {
  const [header = '', claims = '', signature = ''] = text.split('.');
  const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return {
    header: parse(header),
    claims: parse(claims),
    isValid: verify(
      'sha256',
      Buffer.from(`${header}.${claims}`),
      { key: publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    ),
  };
}
