/**
 * [io] Web Push (RFC 8030) to whatever endpoint a device names: UnifiedPush distributors, browsers' services. The endpoint is
 * not to be trusted: HTTPS with a valid certificate, public addresses only, no redirects, little time, few connections per host.
 */

import { createECDH, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { isPublicAddress } from '#core';
import { HttpsClient } from './https-client.ts';
import type { PushService } from './provider.ts';
import { restrictedLookup } from './restricted-lookup.ts';
import { parseRetryAfter } from './retry-after.ts';
import {
  encryptMessage,
  type Subscription,
  type VapidIdentity,
  vapidAuthorization,
  webPushHeaders,
  webPushOutcome,
} from './webpush-request.ts';

/** Less than the other services get: anybody can name an endpoint that never answers. */
const TIMEOUT_MS = 10_000;
const MAX_SOCKETS = 512;
const MAX_SOCKETS_PER_HOST = 16;
const SALT_BYTES = 16;
/** What today's gateway sends; the client only needs to be woken. */
const MESSAGE = Buffer.from('ping');

export interface WebPushToken extends Subscription {
  readonly endpoint: URL;
}

export interface WebPushOptions {
  readonly vapid: VapidIdentity;
  readonly now: () => number;
  /** Which addresses may be connected to; public ones unless a test says otherwise. */
  readonly isAllowedAddress?: (address: string) => boolean;
  readonly ca?: string;
  readonly timeoutMs?: number;
}

/** Makes the service. Nothing is loaded before the first push. */
export function createWebPush(options: WebPushOptions): PushService<WebPushToken> {
  const { vapid, now } = options;
  const isAllowed = options.isAllowedAddress ?? isPublicAddress;
  const client = new HttpsClient({
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    maxSocketsPerHost: MAX_SOCKETS_PER_HOST,
    maxSockets: MAX_SOCKETS,
    lookup: restrictedLookup(isAllowed),
    ...(options.ca !== undefined && { ca: options.ca }),
  });
  return {
    async send({ endpoint, publicKey, auth }) {
      // An address in the URL is connected to without a look-up.
      const host = endpoint.hostname.replace(/^\[|\]$/g, '');
      if (isIP(host) !== 0 && !isAllowed(host)) return { kind: 'retry', reason: 'malformed' };
      const ephemeral = createECDH('prime256v1');
      ephemeral.generateKeys();
      let body: Buffer;
      try {
        body = encryptMessage(MESSAGE, { publicKey, auth }, ephemeral, randomBytes(SALT_BYTES));
      } catch {
        return { kind: 'retry', reason: 'malformed' };
      }
      const headers = webPushHeaders(vapidAuthorization(endpoint, vapid, now()), body.length);
      const result = await client.post(endpoint, headers, body);
      if (result.kind !== 'answer')
        return { kind: 'retry', reason: result.kind === 'timeout' ? 'timeout' : 'connection' };
      const afterMs = result.retryAfter === undefined ? undefined : parseRetryAfter(result.retryAfter, now());
      return webPushOutcome(result.status, afterMs);
    },
    close: () => client.close(),
  };
}
