/**
 * What is said to Apple, and what its answers mean. The notification is the one today's gateway sends, because the app's notification
 * extension waits for it: it runs on `mutable-content`, and "new_messages" is what it shows when it cannot fetch.
 * Source: Apple, "Sending notification requests to APNs" and "Handling notification responses from APNs";
 * chatmail/notifiers src/server.rs for the content.
 */

import type { PushOutcome } from './provider.ts';

/** The same for every push, so it is made once. */
export const APNS_PAYLOAD = JSON.stringify({
  aps: {
    alert: {
      title: 'New messages',
      'title-loc-key': 'new_messages',
      body: 'You have new messages',
      'loc-key': 'new_messages_body',
    },
    sound: 'default',
    'mutable-content': 1,
  },
});

/** The request's header fields. `id` names the notification: a repetition of it is the same notification. */
export function apnsHeaders(
  token: string,
  id: string,
  topic: string,
  providerToken: string | undefined,
): Record<string, string> {
  return {
    ':method': 'POST',
    ':path': `/3/device/${token}`,
    ...(providerToken !== undefined && { authorization: `bearer ${providerToken}` }),
    'apns-id': id,
    'apns-topic': topic,
    'apns-push-type': 'alert',
    'apns-priority': '10',
    'apns-collapse-id': 'new_messages',
    'content-type': 'application/json',
  };
}

/** Reasons that are about the device token. A token of another app is not among them: a mistyped topic must not purge all tokens. */
const DEAD = new Set(['BadDeviceToken', 'Unregistered', 'ExpiredToken']);

/** Reasons that are about the device token too, but do not make it dead: it is one of another app, or too much was sent to it. */
const TOKEN_SCOPE = new Set(['DeviceTokenNotForTopic', 'TooManyRequests']);

/** Reasons that ask for patience. */
const RATE_LIMITED = new Set(['TooManyRequests', 'TooManyProviderTokenUpdates']);

/** Reasons of Apple's own, which pass. */
const TRANSIENT = new Set(['IdleTimeout', 'InternalServerError', 'ServiceUnavailable', 'Shutdown']);

/** Reasons that are our fault, or the operator's: credentials, topic, or the form of the request. */
export const REFUSED: ReadonlySet<string> = new Set([
  'BadCollapseId',
  'BadExpirationDate',
  'BadMessageId',
  'BadPriority',
  'BadTopic',
  'DeviceTokenNotForTopic',
  'DuplicateHeaders',
  'InvalidPushType',
  'MissingDeviceToken',
  'MissingTopic',
  'PayloadEmpty',
  'TopicDisallowed',
  'BadCertificate',
  'BadCertificateEnvironment',
  'ExpiredProviderToken',
  'Forbidden',
  'InvalidProviderToken',
  'MissingProviderToken',
  'UnrelatedKeyIdInToken',
  'BadEnvironmentKeyIdInToken',
  'BadPath',
  'MethodNotAllowed',
  'PayloadTooLarge',
]);

/** Reads the reason of an error answer; undefined when there is none. */
export function apnsReason(body: string): string | undefined {
  // A success, and so nearly every answer: an exception would be a tenth of what sending the push costs.
  if (body === '') return undefined;
  try {
    const { reason } = JSON.parse(body) as { reason?: unknown };
    return typeof reason === 'string' ? reason : undefined;
  } catch {
    return undefined;
  }
}

/** What an answer means. A reason Apple invents later counts as its status. */
export function apnsOutcome(status: number, reason: string | undefined, afterMs: number | undefined): PushOutcome {
  if (status === 200) return { kind: 'delivered' };
  // 410 always means that the token is no longer active, whatever the reason is called; no other status says so by itself.
  if (status === 410 || (status === 400 && reason !== undefined && DEAD.has(reason))) return { kind: 'dead' };
  const after = {
    ...(afterMs !== undefined && { afterMs }),
    ...(reason !== undefined && TOKEN_SCOPE.has(reason) && { scope: 'token' as const }),
  };
  if (status === 429 || (reason !== undefined && RATE_LIMITED.has(reason))) {
    return { kind: 'retry', reason: 'rate-limited', ...after };
  }
  if (status >= 500 || (reason !== undefined && TRANSIENT.has(reason)))
    return { kind: 'retry', reason: 'status-5xx', ...after };
  return {
    kind: 'retry',
    reason: status === 403 || (reason !== undefined && REFUSED.has(reason)) ? 'refused' : 'status-4xx',
    ...(after.scope && { scope: after.scope }),
  };
}
