/**
 * What is inside a device token: which service wakes the device, and how that service knows it.
 * Source: the forms today's gateway takes (chatmail/notifiers src/server.rs). Stricter than it in one way: a text that no service could
 * know is no token, where today's gateway sends whatever it does not understand to Apple.
 */

import { Buffer } from 'node:buffer';
import type { LaneName } from './providers/provider.ts';

export type PlainToken =
  | { readonly service: 'apns'; readonly isSandbox: boolean; readonly token: string }
  | { readonly service: 'fcm'; readonly packageName: string; readonly token: string }
  | { readonly service: 'ubports'; readonly token: string }
  | { readonly service: 'webpush'; readonly endpoint: URL; readonly publicKey: Buffer; readonly auth: Buffer };

/** Marks a token encrypted to the gateway's key; base64 of a binary OpenPGP message follows. */
const ENCRYPTED_PREFIX = 'openpgp:';
/** Longest token, characters: what Dovecot and metadata-push take. Clients send 924. */
export const MAX_TOKEN_LENGTH = 4096;

// Apple documents no length: whole bytes in hexadecimal, 32 of them today.
const APNS_TOKEN = /^(?:[0-9a-f]{2}){8,200}$/i;
const SIMPLE_TOKEN = /^[A-Za-z0-9_:-]{1,2048}$/;
const PACKAGE_NAME = /^[A-Za-z0-9_.]{1,255}$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const BASE64URL = /^[A-Za-z0-9_-]+={0,2}$/;
/** An uncompressed P-256 point, and the secret of RFC 8291 section 3.2. */
const PUBLIC_KEY_BYTES = 65;
const AUTH_BYTES = 16;

/** True when a token claims to be encrypted. */
export function isEncrypted(token: string): boolean {
  return token.startsWith(ENCRYPTED_PREFIX);
}

/** The OpenPGP message of an encrypted token; `undefined`: the token is plain; `malformed`: it claims to be encrypted and is not. */
export function encryptedMessage(token: string): Buffer | 'malformed' | undefined {
  if (!isEncrypted(token)) return undefined;
  const base64 = token.slice(ENCRYPTED_PREFIX.length);
  return base64.length <= MAX_TOKEN_LENGTH && BASE64.test(base64) ? Buffer.from(base64, 'base64') : 'malformed';
}

/** Parses a plain token; undefined when no service could know it. */
export function parsePlainToken(text: string): PlainToken | undefined {
  if (text.length > MAX_TOKEN_LENGTH) return undefined;
  const [prefix = '', rest = ''] = splitAtFirst(text, /[-:]/);
  switch (prefix) {
    case 'fcm-':
      return parseFcm(rest);
    case 'ubports-':
      return SIMPLE_TOKEN.test(rest) ? { service: 'ubports', token: rest } : undefined;
    case 'webpush:':
      return parseWebPush(rest);
    case 'sandbox:':
      return APNS_TOKEN.test(rest) ? { service: 'apns', isSandbox: true, token: rest } : undefined;
    default:
      return APNS_TOKEN.test(text) ? { service: 'apns', isSandbox: false, token: text } : undefined;
  }
}

/** What fails together with the service of a token. */
export function laneOf(token: PlainToken): LaneName {
  return token.service === 'apns' && token.isSandbox ? 'apns-sandbox' : token.service;
}

/** `abc-def` as `abc-` and `def`. */
function splitAtFirst(text: string, separator: RegExp): [string, string] {
  const at = text.search(separator) + 1;
  return [text.slice(0, at), text.slice(at)];
}

function parseFcm(text: string): PlainToken | undefined {
  const colon = text.indexOf(':');
  const packageName = text.slice(0, Math.max(colon, 0));
  const token = text.slice(colon + 1);
  return PACKAGE_NAME.test(packageName) && SIMPLE_TOKEN.test(token)
    ? { service: 'fcm', packageName, token }
    : undefined;
}

function parseWebPush(text: string): PlainToken | undefined {
  const [endpointText = '', publicKeyText = '', authText = '', ...more] = text.split('|');
  if (more.length > 0 || !URL.canParse(endpointText)) return undefined;
  const endpoint = new URL(endpointText);
  const publicKey = decodeBase64Url(publicKeyText, PUBLIC_KEY_BYTES);
  const auth = decodeBase64Url(authText, AUTH_BYTES);
  // The endpoint comes from whoever owns the account: nothing but HTTPS, and no credentials or fragment in it.
  const isPlain = endpoint.username === '' && endpoint.password === '' && endpoint.hash === '';
  if (endpoint.protocol !== 'https:' || !isPlain || !publicKey || publicKey[0] !== 4 || !auth) return undefined;
  return { service: 'webpush', endpoint, publicKey, auth };
}

function decodeBase64Url(text: string, bytes: number): Buffer | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const decoded = Buffer.from(text, 'base64url');
  return decoded.length === bytes ? decoded : undefined;
}
