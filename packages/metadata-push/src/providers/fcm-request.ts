/**
 * What is said to Firebase Cloud Messaging, and what its answers mean. The data is what today's gateway sends; high priority wakes a
 * sleeping phone, and the collapse key keeps an absent device from gathering 100 messages, at which FCM drops them all.
 * Source: FCM HTTP v1, "Method: projects.messages.send" and "ErrorCode"; RFC 7523 section 2.1 for the assertion.
 */

import type { KeyObject } from 'node:crypto';
import { signJwt } from './jwt.ts';
import type { PushOutcome } from './provider.ts';

/** What a service account file (JSON, from the Google Cloud console) says about itself. */
export interface FcmServiceAccount {
  readonly projectId: string;
  readonly clientEmail: string;
  readonly keyId: string;
  readonly key: KeyObject;
  /** Where assertions become access tokens. */
  readonly tokenUri: string;
}

/** Google takes no assertion that is valid for longer. 1 hour. */
const ASSERTION_LIFETIME_S = 3600;
const SCOPE = 'https://www.googleapis.com/auth/firebase.messaging';
const FCM_ERROR = 'type.googleapis.com/google.firebase.fcm.v1.FcmError';

/** Error codes about the token of another sender, or of a kind of device that needs other credentials than ours. */
const TOKEN_SCOPE: ReadonlySet<unknown> = new Set(['SENDER_ID_MISMATCH', 'THIRD_PARTY_AUTH_ERROR']);

export function fcmMessage(token: string): string {
  return JSON.stringify({
    message: {
      token,
      data: { level: 'awesome' },
      android: { priority: 'HIGH', collapse_key: 'new_messages' },
    },
  });
}

/** The form that asks for an access token. */
export function fcmTokenRequest(account: FcmServiceAccount, now: number): string {
  const iat = Math.floor(now / 1000);
  const claims = {
    iss: account.clientEmail,
    scope: SCOPE,
    aud: account.tokenUri,
    iat,
    exp: iat + ASSERTION_LIFETIME_S,
  };
  const assertion = signJwt({ typ: 'JWT', kid: account.keyId }, claims, account.key);
  return `grant_type=${encodeURIComponent('urn:ietf:params:oauth:grant-type:jwt-bearer')}&assertion=${assertion}`;
}

/** Reads the answer to that: the token and how long it lives; undefined when it is none. */
export function parseFcmToken(body: string): { readonly token: string; readonly lifetimeMs: number } | undefined {
  const { access_token: token, expires_in: seconds } = parseObject(body);
  const isToken = typeof token === 'string' && /^[!-~]{1,4096}$/.test(token);
  return isToken && typeof seconds === 'number' && seconds > 0 ? { token, lifetimeMs: seconds * 1000 } : undefined;
}

/** What an answer means. Only an error code of FCM's own can make a token dead, never a status. */
export function fcmOutcome(status: number, body: string, afterMs: number | undefined): PushOutcome {
  if (status === 200) return { kind: 'delivered' };
  const error = parseObject(parseObject(body).error);
  const details = Array.isArray(error.details) ? error.details.slice(0, 16).map(parseObject) : [];
  const code = details.find((detail) => detail['@type'] === FCM_ERROR)?.errorCode;
  if (code === 'UNREGISTERED') return { kind: 'dead' };
  if (code === 'INVALID_ARGUMENT' && isAboutToken(error.message, details)) return { kind: 'dead' };
  const after = {
    ...(afterMs !== undefined && { afterMs }),
    ...(TOKEN_SCOPE.has(code) && { scope: 'token' as const }),
  };
  if (status === 429) return { kind: 'retry', reason: 'rate-limited', ...after };
  if (status >= 500) return { kind: 'retry', reason: 'status-5xx', ...after };
  const isRefused = status >= 400 && status <= 404;
  return { kind: 'retry', reason: isRefused ? 'refused' : status < 400 ? 'status-3xx' : 'status-4xx', ...after };
}

/** FCM says INVALID_ARGUMENT of a bad token and of a bad message alike; a bad message of ours must not purge tokens. */
function isAboutToken(message: unknown, details: readonly Record<string, unknown>[]): boolean {
  const violations = details.flatMap(({ fieldViolations }) => (Array.isArray(fieldViolations) ? fieldViolations : []));
  if (violations.length > 0) return violations.every((violation) => parseObject(violation).field === 'message.token');
  return typeof message === 'string' && /registration token/i.test(message);
}

/** An object, or the one a JSON text says; an empty one when it is none. */
function parseObject(value: unknown): Record<string, unknown> {
  let parsed = value;
  if (typeof value === 'string') {
    try {
      parsed = JSON.parse(value);
    } catch {
      return {};
    }
  }
  return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
}
