/**
 * [io] Pushes to Android devices through Firebase Cloud Messaging, HTTP v1 over HTTP/2, with the access token of a service account.
 * Source: FCM HTTP v1, "Method: projects.messages.send"; Google, "Using OAuth 2.0 for server to server applications".
 */

import { type FcmServiceAccount, fcmMessage, fcmOutcome, fcmTokenRequest, parseFcmToken } from './fcm-request.ts';
import { Http2Pool, type Http2PoolOptions } from './http2-pool.ts';
import type { PushOutcome, PushService } from './provider.ts';
import { parseRetryAfter } from './retry-after.ts';

export const FCM_ORIGIN = 'https://fcm.googleapis.com';

const TIMEOUT_MS = 30_000;
const MAX_CONNECTIONS = 4;
/** An access token is replaced this long before it ends, so that none ends on its way. */
const REFRESH_BEFORE_MS = 5 * 60 * 1000;
/** After an access token was refused to us, or by FCM, the next is asked for no earlier. */
const TOKEN_PAUSE_MS = 10_000;

export interface FcmDeviceToken {
  readonly token: string;
}

export interface FcmOptions {
  readonly origin: string;
  readonly account: FcmServiceAccount;
  readonly tls?: Http2PoolOptions['tls'] | undefined;
  readonly now: () => number;
  readonly onConnectError: (error: unknown) => void;
  readonly timeoutMs?: number;
}

type Retry = Extract<PushOutcome, { kind: 'retry' }>;
interface AccessToken {
  readonly kind: 'token';
  readonly text: string;
  readonly madeAt: number;
  /** Not used from then on. */
  readonly endsAt: number;
}

/** Makes the service. Nothing is connected before the first push. */
export function createFcm(options: FcmOptions): PushService<FcmDeviceToken> {
  const { account, now, tls, onConnectError } = options;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const pool = (origin: string, maxConnections: number) =>
    new Http2Pool({ origin, maxConnections, timeoutMs, tls, onConnectError });
  const messages = pool(options.origin, MAX_CONNECTIONS);
  const { origin: tokenOrigin, pathname, search } = new URL(account.tokenUri);
  const tokens = pool(tokenOrigin, 1);

  const requestToken = async (): Promise<AccessToken | Retry> => {
    const result = await tokens.send({
      headers: {
        ':method': 'POST',
        ':path': pathname + search,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: fcmTokenRequest(account, now()),
      wantsBody: true,
    });
    if (result.kind !== 'answer')
      return { kind: 'retry', reason: result.kind === 'timeout' ? 'timeout' : 'connection' };
    const granted = result.status === 200 ? parseFcmToken(result.body) : undefined;
    if (!granted) return { kind: 'retry', reason: result.status >= 500 ? 'status-5xx' : 'refused' };
    const madeAt = now();
    const useMs = Math.max(granted.lifetimeMs - REFRESH_BEFORE_MS, granted.lifetimeMs / 2);
    return { kind: 'token', text: granted.token, madeAt, endsAt: madeAt + useMs };
  };

  let access: AccessToken | undefined;
  let requesting: Promise<AccessToken | Retry> | undefined;
  let failure: { readonly outcome: Retry; readonly until: number } | undefined;

  /** The one access token of all pushes; the first that needs a new one asks for it. */
  const accessToken = async (): Promise<AccessToken | Retry> => {
    const time = now();
    if (access && time < access.endsAt && time >= access.madeAt - TOKEN_PAUSE_MS) return access;
    if (failure && time < failure.until && time >= failure.until - TOKEN_PAUSE_MS) return failure.outcome;
    requesting ??= requestToken().then((result) => {
      requesting = undefined;
      if (result.kind === 'token') access = result;
      else failure = { outcome: result, until: now() + TOKEN_PAUSE_MS };
      return result;
    });
    return requesting;
  };

  /** FCM refuses `refused`: the next push asks for another token, unless this one is so new that another would be no better. */
  const forget = (refused: AccessToken): boolean => {
    if (access !== refused) return true;
    if (now() < refused.madeAt + TOKEN_PAUSE_MS) return false;
    access = undefined;
    return true;
  };

  return {
    async send({ token }) {
      for (let isRepeated = false; ; isRepeated = true) {
        const authorization = await accessToken();
        if (authorization.kind === 'retry') return authorization;
        const result = await messages.send({
          headers: {
            ':method': 'POST',
            ':path': `/v1/projects/${account.projectId}/messages:send`,
            authorization: `Bearer ${authorization.text}`,
            'content-type': 'application/json',
          },
          body: fcmMessage(token),
        });
        if (result.kind !== 'answer') {
          return { kind: 'retry', reason: result.kind === 'timeout' ? 'timeout' : 'connection' };
        }
        if (result.status === 401 && forget(authorization) && !isRepeated) continue;
        const afterMs = result.retryAfter === undefined ? undefined : parseRetryAfter(result.retryAfter, now());
        return fcmOutcome(result.status, result.body, afterMs);
      }
    },
    close() {
      messages.close();
      tokens.close();
    },
  };
}
