/**
 * [io] Pushes to Ubuntu Touch devices through the push service of UBports: a JSON post, no authentication.
 * Source: UBports, "Push notifications" (appdev guide); errors: ubuntu-push server/api. The notification is the one today's gateway sends,
 * and `replace_tag` keeps an absent device from gathering one for every message until the service refuses more.
 */

import { HttpsClient } from './https-client.ts';
import type { PushOutcome, PushService } from './provider.ts';
import { parseRetryAfter } from './retry-after.ts';

export const UBPORTS_URL = 'https://push.ubports.com/notify';

const TIMEOUT_MS = 30_000;
const MAX_SOCKETS = 16;
/** The service keeps a push for an absent device this long. */
const EXPIRY_MS = 7 * 24 * 60 * 60 * 1000;

export interface UbportsOptions {
  readonly url: string;
  readonly now: () => number;
  readonly ca?: string;
  readonly timeoutMs?: number;
}

/** Makes the service. Nothing is loaded before the first push. */
export function createUbports(options: UbportsOptions): PushService<{ readonly token: string }> {
  const url = new URL(options.url);
  const client = new HttpsClient({
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    maxSocketsPerHost: MAX_SOCKETS,
    maxSockets: MAX_SOCKETS,
    ...(options.ca !== undefined && { ca: options.ca }),
  });
  return {
    async send({ token }) {
      const body = ubportsMessage(token, options.now());
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const result = await client.post(url, headers, body);
      if (result.kind !== 'answer')
        return { kind: 'retry', reason: result.kind === 'timeout' ? 'timeout' : 'connection' };
      const afterMs = result.retryAfter === undefined ? undefined : parseRetryAfter(result.retryAfter, options.now());
      return ubportsOutcome(result.status, result.body, afterMs);
    },
    close: () => client.close(),
  };
}

/** The body of a push. */
export function ubportsMessage(token: string, now: number): string {
  return JSON.stringify({
    expire_on: new Date(now + EXPIRY_MS).toISOString(),
    appid: 'deltatouch.lotharketterer_deltatouch',
    token,
    replace_tag: 'new_messages',
    data: {
      notification: {
        tag: 'sent_by_chatmail_server',
        card: { popup: true, persist: true, summary: 'New message', body: 'You have a new message' },
        sound: true,
        vibrate: { pattern: [200], duration: 200, repeat: 1 },
      },
      'sent-by': 'Chatmail Server',
    },
  });
}

/** What an answer means. Only `unknown-token` says that the token is dead; we have no credentials, so 401 is about the token as well. */
export function ubportsOutcome(status: number, body: string, afterMs: number | undefined): PushOutcome {
  if (status >= 200 && status < 300) return { kind: 'delivered' };
  const error = errorOf(body);
  if (status === 400 && error === 'unknown-token') return { kind: 'dead' };
  const after = {
    ...(afterMs !== undefined && { afterMs }),
    ...((status === 401 || error === 'too-many-pending') && { scope: 'token' as const }),
  };
  if (status === 429 || error === 'too-many-pending') return { kind: 'retry', reason: 'rate-limited', ...after };
  if (status >= 500) return { kind: 'retry', reason: 'status-5xx', ...after };
  return { kind: 'retry', reason: status >= 400 ? 'status-4xx' : 'status-3xx', ...after };
}

function errorOf(body: string): unknown {
  try {
    return (JSON.parse(body) as { error?: unknown } | null)?.error;
  } catch {
    return undefined;
  }
}
