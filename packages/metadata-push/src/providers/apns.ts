/**
 * [io] Pushes to Apple devices: HTTP/2 to production and sandbox, authenticated by a provider token or a client certificate.
 * Source: Apple, "Sending notification requests to APNs". The notification itself is in apns-request.ts.
 */

import { randomUUID } from 'node:crypto';
import { APNS_PAYLOAD, apnsHeaders, apnsOutcome, apnsReason } from './apns-request.ts';
import type { ApnsProviderToken } from './apns-token.ts';
import { Http2Pool, type Http2PoolOptions, type Http2Result } from './http2-pool.ts';
import type { PushOutcome, PushService } from './provider.ts';
import { pushName } from './push-name.ts';
import { parseRetryAfter } from './retry-after.ts';

export const APNS_PRODUCTION = 'https://api.push.apple.com';
export const APNS_SANDBOX = 'https://api.sandbox.push.apple.com';

const TIMEOUT_MS = 30_000;
/** Each carries up to 1,000 pushes at once; further ones are for a peer that allows fewer, and while one is being replaced. */
const MAX_CONNECTIONS = 4;

export interface ApnsDeviceToken {
  readonly isSandbox: boolean;
  readonly token: string;
}

export interface ApnsOptions {
  readonly production: string;
  readonly sandbox: string;
  /** The bundle ID of the app. */
  readonly topic: string;
  /** Undefined: the certificate in `tls` is who we are. */
  readonly providerToken: ApnsProviderToken | undefined;
  readonly tls?: Http2PoolOptions['tls'] | undefined;
  readonly now: () => number;
  readonly onConnectError: (error: unknown) => void;
  readonly timeoutMs?: number;
}

/** Makes the service. Nothing is connected before the first push to an environment. */
export function createApns(options: ApnsOptions): PushService<ApnsDeviceToken> {
  const { topic, providerToken, now } = options;
  const pool = (origin: string) =>
    new Http2Pool({
      origin,
      maxConnections: MAX_CONNECTIONS,
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      tls: options.tls,
      onConnectError: options.onConnectError,
    });
  const production = pool(options.production);
  const sandbox = pool(options.sandbox);

  return {
    async send({ isSandbox, token }, pushId) {
      // The same for every repetition: it is then the same notification.
      const id = pushId === undefined ? randomUUID() : pushName(token, pushId);
      const environment = isSandbox ? sandbox : production;
      for (let isRepeated = false; ; isRepeated = true) {
        const authorization = providerToken?.current(now());
        const headers = apnsHeaders(token, id, topic, authorization);
        const result = await environment.send({ headers, body: APNS_PAYLOAD });
        const reason = result.kind === 'answer' ? apnsReason(result.body) : undefined;
        if (reason !== 'ExpiredProviderToken' || !providerToken || authorization === undefined) {
          return outcomeOf(result, reason, now());
        }
        const waitMs = providerToken.expired(authorization, now());
        if (waitMs > 0 || isRepeated) return { kind: 'retry', reason: 'refused', afterMs: waitMs };
      }
    },
    close() {
      production.close();
      sandbox.close();
    },
  };
}

function outcomeOf(result: Http2Result, reason: string | undefined, now: number): PushOutcome {
  if (result.kind !== 'answer') return { kind: 'retry', reason: result.kind === 'timeout' ? 'timeout' : 'connection' };
  const afterMs = result.retryAfter === undefined ? undefined : parseRetryAfter(result.retryAfter, now);
  return apnsOutcome(result.status, reason, afterMs);
}
