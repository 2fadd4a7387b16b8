/**
 * A Web Push request: the encrypted message (RFC 8291, content coding aes128gcm of RFC 8188) and who sends it (VAPID, RFC 8292).
 */

import { Buffer } from 'node:buffer';
import { createCipheriv, type ECDH, hkdfSync, type KeyObject } from 'node:crypto';
import { signJwt } from './jwt.ts';
import type { PushOutcome } from './provider.ts';

/** One record holds the whole message (RFC 8291 section 4). */
const RECORD_BYTES = 4096;
/** Ends the last record (RFC 8188 section 2). */
const LAST_RECORD = Buffer.of(2);
/** How long an endpoint keeps the push for an absent device. 1 week, as UBports is asked for. */
const TTL_S = 7 * 24 * 60 * 60;
/** How long one VAPID token is good; RFC 8292 section 2 allows 24 hours. */
const VAPID_LIFETIME_S = 12 * 60 * 60;

export interface Subscription {
  /** The device's P-256 public key, uncompressed, 65 bytes. */
  readonly publicKey: Buffer;
  /** The device's authentication secret, 16 bytes. */
  readonly auth: Buffer;
}

/**
 * Encrypts a message for a device (RFC 8291 section 3.4).
 *
 * @param ephemeral a P-256 key pair made for this message
 * @param salt 16 random bytes made for this message
 * @throws Error when the device's public key is not on the curve
 */
export function encryptMessage(
  message: Buffer,
  { publicKey, auth }: Subscription,
  ephemeral: ECDH,
  salt: Buffer,
): Buffer {
  const ownKey = ephemeral.getPublicKey();
  const secret = ephemeral.computeSecret(publicKey);
  const keyInfo = Buffer.concat([Buffer.from('WebPush: info\0'), publicKey, ownKey]);
  const inputKey = hkdf(secret, auth, keyInfo, 32);
  const contentKey = hkdf(inputKey, salt, Buffer.from('Content-Encoding: aes128gcm\0'), 16);
  const nonce = hkdf(inputKey, salt, Buffer.from('Content-Encoding: nonce\0'), 12);
  const cipher = createCipheriv('aes-128-gcm', contentKey, nonce);
  const record = [cipher.update(message), cipher.update(LAST_RECORD), cipher.final(), cipher.getAuthTag()];
  const recordSize = Buffer.alloc(4);
  recordSize.writeUInt32BE(RECORD_BYTES);
  return Buffer.concat([salt, recordSize, Buffer.of(ownKey.length), ownKey, ...record]);
}

function hkdf(input: Buffer, salt: Buffer, info: Buffer, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', input, salt, info, bytes));
}

/** Who sends: the key pair of VAPID, and where an endpoint's operator can reach ours. */
export interface VapidIdentity {
  readonly key: KeyObject;
  /** The public key as devices know it: uncompressed point, base64url. */
  readonly publicKey: string;
  /** A `mailto:` or `https:` URL. */
  readonly contact: string;
}

/** The Authorization field for an endpoint (RFC 8292 sections 2 and 3). */
export function vapidAuthorization(endpoint: URL, { key, publicKey, contact }: VapidIdentity, now: number): string {
  const claims = { aud: endpoint.origin, exp: Math.floor(now / 1000) + VAPID_LIFETIME_S, sub: contact };
  return `vapid t=${signJwt({ typ: 'JWT' }, claims, key)}, k=${publicKey}`;
}

/** The header fields of a push (RFC 8030 section 5). The topic makes a new push take the place of one not yet fetched. */
export function webPushHeaders(authorization: string, bodyBytes: number): Record<string, string | number> {
  return {
    authorization,
    'content-encoding': 'aes128gcm',
    'content-type': 'application/octet-stream',
    'content-length': bodyBytes,
    ttl: TTL_S,
    urgency: 'high',
    topic: 'new_messages',
  };
}

/** What an answer means: 404 and 410 say that the subscription is gone (RFC 8030 section 7.3), 401 and 403 are about VAPID. */
export function webPushOutcome(status: number, afterMs: number | undefined): PushOutcome {
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  if (status === 404 || status === 410) return { kind: 'dead' };
  const after = afterMs === undefined ? {} : { afterMs };
  if (status === 429) return { kind: 'retry', reason: 'rate-limited', ...after };
  if (status === 401 || status === 403) return { kind: 'retry', reason: 'refused', ...after };
  return {
    kind: 'retry',
    reason: status >= 500 ? 'status-5xx' : status >= 400 ? 'status-4xx' : 'status-3xx',
    ...after,
  };
}
