import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { apnsOutcome, apnsReason, REFUSED } from '../../src/providers/apns-request.ts';
import { ApnsProviderToken } from '../../src/providers/apns-token.ts';
import { pushName } from '../../src/providers/push-name.ts';
import { readJwt } from '../support/jwt.ts';

t.test('every documented answer', async (t) => {
  const rows: [status: number, reason: string, kind: string, detail: string | undefined][] = [
    [400, 'BadCollapseId', 'retry', 'refused'],
    [400, 'BadDeviceToken', 'dead', undefined],
    [400, 'BadExpirationDate', 'retry', 'refused'],
    [400, 'BadMessageId', 'retry', 'refused'],
    [400, 'BadPriority', 'retry', 'refused'],
    [400, 'BadTopic', 'retry', 'refused'],
    [400, 'DeviceTokenNotForTopic', 'retry', 'refused'],
    [400, 'DuplicateHeaders', 'retry', 'refused'],
    [400, 'IdleTimeout', 'retry', 'status-5xx'],
    [400, 'InvalidPushType', 'retry', 'refused'],
    [400, 'MissingDeviceToken', 'retry', 'refused'],
    [400, 'MissingTopic', 'retry', 'refused'],
    [400, 'PayloadEmpty', 'retry', 'refused'],
    [400, 'TopicDisallowed', 'retry', 'refused'],
    [403, 'BadCertificate', 'retry', 'refused'],
    [403, 'BadCertificateEnvironment', 'retry', 'refused'],
    [403, 'ExpiredProviderToken', 'retry', 'refused'],
    [403, 'Forbidden', 'retry', 'refused'],
    [403, 'InvalidProviderToken', 'retry', 'refused'],
    [403, 'MissingProviderToken', 'retry', 'refused'],
    [403, 'UnrelatedKeyIdInToken', 'retry', 'refused'],
    [403, 'BadEnvironmentKeyIdInToken', 'retry', 'refused'],
    [404, 'BadPath', 'retry', 'refused'],
    [405, 'MethodNotAllowed', 'retry', 'refused'],
    [410, 'ExpiredToken', 'dead', undefined],
    [410, 'Unregistered', 'dead', undefined],
    [413, 'PayloadTooLarge', 'retry', 'refused'],
    [429, 'TooManyProviderTokenUpdates', 'retry', 'rate-limited'],
    [429, 'TooManyRequests', 'retry', 'rate-limited'],
    [500, 'InternalServerError', 'retry', 'status-5xx'],
    [503, 'ServiceUnavailable', 'retry', 'status-5xx'],
    [503, 'Shutdown', 'retry', 'status-5xx'],
  ];
  for (const [status, reason, kind, detail] of rows) {
    t.match(apnsOutcome(status, reason, undefined), { kind, ...(detail && { reason: detail }) }, reason);
  }
  t.equal(
    [...REFUSED].filter((reason) => !rows.some((row) => row[1] === reason)).length,
    0,
    'and nothing is refused that is not documented',
  );
});

t.test('what is about the token only', async (t) => {
  const rows: [status: number, reason: string | undefined, scope: 'token' | undefined][] = [
    [400, 'DeviceTokenNotForTopic', 'token'],
    [429, 'TooManyRequests', 'token'],
    [429, undefined, undefined],
    [429, 'TooManyProviderTokenUpdates', undefined],
    [400, 'BadTopic', undefined],
    [403, 'InvalidProviderToken', undefined],
    [503, 'Shutdown', undefined],
  ];
  for (const [status, reason, scope] of rows) {
    const outcome = apnsOutcome(status, reason, undefined);
    t.equal(outcome.kind === 'retry' ? outcome.scope : outcome.kind, scope, `${status} ${reason}`);
  }
});

t.test('the name of a notification', async (t) => {
  const id = pushName('aabb', 1_800_000_000_000);
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'a UUID, version 8');
  t.equal(pushName('aabb', 1_800_000_000_000), id, 'the same push, in whatever process');
  t.not(pushName('aabb', 1_800_000_000_001), id, 'another push');
  t.not(pushName('aabc', 1_800_000_000_000), id, 'another device');
});

t.test('answers nobody documented', async (t) => {
  t.match(apnsOutcome(200, undefined, undefined), { kind: 'delivered' });
  t.match(apnsOutcome(410, undefined, undefined), { kind: 'dead' }, 'the status says it');
  t.match(apnsOutcome(400, undefined, undefined), { kind: 'retry', reason: 'status-4xx' }, 'no reason kills no token');
  t.match(apnsOutcome(400, 'SomethingNew', undefined), { kind: 'retry', reason: 'status-4xx' });
  t.match(apnsOutcome(403, 'BadDeviceToken', undefined), { kind: 'retry', reason: 'refused' }, 'the wrong status');
  t.match(apnsOutcome(502, undefined, 5000), { kind: 'retry', reason: 'status-5xx', afterMs: 5000 });
  for (const body of ['', 'x', 'null', '[]', '{"reason":1}', '"x"']) t.equal(apnsReason(body), undefined, body);
  t.equal(apnsReason('{"reason":"Unregistered","timestamp":1}'), 'Unregistered');
});

t.test('the provider token', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const MINUTE = 60_000;
  const start = Date.UTC(2026, 10, 22, 12);
  const token = new ApnsProviderToken(privateKey, 'ABC123DEFG', 'DEF123GHIJ');
  const first = token.current(start);
  t.same(readJwt(first, publicKey), {
    header: { alg: 'ES256', kid: 'ABC123DEFG' },
    claims: { iss: 'DEF123GHIJ', iat: start / 1000 },
    isValid: true,
  });
  t.equal(token.current(start + 49 * MINUTE), first, 'used for 49 minutes');
  const second = token.current(start + 50 * MINUTE);
  t.not(second, first, 'and made again at 50');
  t.equal(token.expired(first, start + 51 * MINUTE), 0, 'an old one has expired: there is a newer');
  t.equal(token.expired(second, start + 51 * MINUTE), 19 * MINUTE, 'the newest may not be replaced before 20 minutes');
  t.equal(token.current(start + 51 * MINUTE), second);
  t.equal(token.expired(second, start + 71 * MINUTE), 0, 'after 20 minutes it may');
  t.not(token.current(start + 71 * MINUTE), second);
  const third = token.current(start + 71 * MINUTE);
  t.not(token.current(start - 60 * MINUTE), third, 'a clock set back by an hour makes it unusable');
});
