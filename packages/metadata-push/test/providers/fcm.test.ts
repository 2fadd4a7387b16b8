import { generateKeyPairSync } from 'node:crypto';
import t, { type Test } from 'tap';
import { createFcm, type FcmOptions } from '../../src/providers/fcm.ts';
import { fcmOutcome } from '../../src/providers/fcm-request.ts';
import type { PushOutcome } from '../../src/providers/provider.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type H2Stub, respond, type StubAnswer, startH2Stub } from '../support/h2-stub.ts';
import { readJwt } from '../support/jwt.ts';

const tls = makeCertificate('server');
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const NOW = Date.UTC(2026, 10, 22, 12);
let now = NOW;
const device = { token: 'c67DVcpVQN2r:APA91bErcJV2b8qG0' };
const FCM_ERROR = 'type.googleapis.com/google.firebase.fcm.v1.FcmError';
const BAD_REQUEST = 'type.googleapis.com/google.rpc.BadRequest';

/** An error body as FCM writes them. */
const fcmError = (code: number, errorCode: string, message = '', details: unknown[] = []) => ({
  error: { code, message, status: errorCode, details: [{ '@type': FCM_ERROR, errorCode }, ...details] },
});

interface FcmStub extends H2Stub {
  token: StubAnswer;
  message: StubAnswer;
}

/** FCM and the OAuth server in one. */
async function startFcmStub(t: Test): Promise<FcmStub> {
  const stub = (await startH2Stub(t, tls)) as FcmStub;
  let tokens = 0;
  stub.token = (stream, request) => {
    tokens++;
    respond(200, { access_token: `ya29.${tokens}`, expires_in: 3599, token_type: 'Bearer' })(stream, request);
  };
  stub.message = respond(200, { name: 'projects/chat-fcm/messages/1' });
  stub.answer = (stream, request) => (request.path === '/token?x=1' ? stub.token : stub.message)(stream, request);
  return stub;
}

function fcmOf(t: Test, stub: H2Stub, options: Partial<FcmOptions> = {}) {
  const fcm = createFcm({
    origin: stub.origin,
    account: {
      projectId: 'chat-fcm',
      clientEmail: 'push@chat-fcm.iam.gserviceaccount.com',
      keyId: 'abcdef',
      key: privateKey,
      tokenUri: `${stub.origin}/token?x=1`,
    },
    tls: { ca: tls.cert },
    now: () => now,
    onConnectError: () => {},
    timeoutMs: 10_000,
    ...options,
  });
  t.teardown(() => fcm.close());
  return fcm;
}

const paths = (stub: H2Stub) => stub.requests.map(({ path }) => path);

t.test('the requests', async (t) => {
  const stub = await startFcmStub(t);
  const fcm = fcmOf(t, stub);
  const outcomes = await Promise.all([fcm.send(device), fcm.send(device), fcm.send(device)]);
  t.same(outcomes, Array(3).fill({ kind: 'delivered' }));
  const [grant, message] = stub.requests;
  t.match(grant, { method: 'POST', path: '/token?x=1' });
  t.equal(grant!.headers['content-type'], 'application/x-www-form-urlencoded');
  const form = new URLSearchParams(grant!.body);
  t.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
  t.same(readJwt(String(form.get('assertion')), publicKey), {
    header: { alg: 'RS256', typ: 'JWT', kid: 'abcdef' },
    claims: {
      iss: 'push@chat-fcm.iam.gserviceaccount.com',
      scope: 'https://www.googleapis.com/auth/firebase.messaging',
      aud: `${stub.origin}/token?x=1`,
      iat: NOW / 1000,
      exp: NOW / 1000 + 3600,
    },
    isValid: true,
  });
  t.match(message, { method: 'POST', path: '/v1/projects/chat-fcm/messages:send' });
  t.equal(message!.headers.authorization, 'Bearer ya29.1');
  t.equal(message!.headers['content-type'], 'application/json');
  t.same(JSON.parse(message!.body), {
    message: {
      token: device.token,
      data: { level: 'awesome' },
      android: { priority: 'HIGH', collapse_key: 'new_messages' },
    },
  });
  t.equal(paths(stub).filter((path) => path === '/token?x=1').length, 1, 'one access token for all');
});

t.test('what the answers mean', async (t) => {
  const about = (field: string) => [{ '@type': BAD_REQUEST, fieldViolations: [{ field, description: 'x' }] }];
  const invalidToken = 'The registration token is not a valid FCM registration token';
  const rows: [status: number, body: unknown, outcome: PushOutcome, reason: string][] = [
    [200, {}, { kind: 'delivered' }, 'sent'],
    [404, fcmError(404, 'UNREGISTERED'), { kind: 'dead' }, 'unregistered'],
    [400, fcmError(400, 'INVALID_ARGUMENT', invalidToken), { kind: 'dead' }, 'not a token'],
    [400, fcmError(400, 'INVALID_ARGUMENT', 'x', about('message.token')), { kind: 'dead' }, 'the field of the token'],
    [
      400,
      fcmError(400, 'INVALID_ARGUMENT', invalidToken, about('message.android.ttl')),
      { kind: 'retry', reason: 'refused' },
      'another field',
    ],
    [400, fcmError(400, 'INVALID_ARGUMENT', 'too big'), { kind: 'retry', reason: 'refused' }, 'our message'],
    [
      400,
      { error: { code: 400, message: invalidToken, status: 'INVALID_ARGUMENT' } },
      { kind: 'retry', reason: 'refused' },
      'no code of FCM',
    ],
    [401, fcmError(401, 'X'), { kind: 'retry', reason: 'refused' }, 'credentials'],
    [401, fcmError(401, 'THIRD_PARTY_AUTH_ERROR'), { kind: 'retry', reason: 'refused', scope: 'token' }, 'no Android'],
    [403, fcmError(403, 'SENDER_ID_MISMATCH'), { kind: 'retry', reason: 'refused', scope: 'token' }, 'another project'],
    [404, 'Not Found', { kind: 'retry', reason: 'refused' }, 'a wrong project, not a dead token'],
    [429, fcmError(429, 'QUOTA_EXCEEDED'), { kind: 'retry', reason: 'rate-limited', afterMs: 60_000 }, 'quota'],
    [500, fcmError(500, 'INTERNAL'), { kind: 'retry', reason: 'status-5xx', afterMs: 60_000 }, 'internal'],
    [503, fcmError(503, 'UNAVAILABLE'), { kind: 'retry', reason: 'status-5xx', afterMs: 60_000 }, 'unavailable'],
    [301, '', { kind: 'retry', reason: 'status-3xx' }, 'a redirect'],
  ];
  for (const [status, body, outcome, reason] of rows) {
    t.match(fcmOutcome(status, typeof body === 'string' ? body : JSON.stringify(body), 60_000), outcome, reason);
  }
  for (const body of ['', 'null', '[]', '{"error":"x"}', '{"error":{"details":[null,1,"UNREGISTERED"]}}']) {
    t.match(fcmOutcome(404, body, undefined), { kind: 'retry' }, `${body}: kills nothing`);
  }
});

t.test('the access token', async (t) => {
  now = NOW;
  const stub = await startFcmStub(t);
  const fcm = fcmOf(t, stub);
  await fcm.send(device);
  t.same(paths(stub).slice(0, 1), ['/token?x=1'], 'asked for with the first push');
  now += 54 * 60_000;
  await fcm.send(device);
  t.equal(stub.requests.at(-1)!.headers.authorization, 'Bearer ya29.1');
  now += 2 * 60_000;
  await fcm.send(device);
  t.equal(stub.requests.at(-1)!.headers.authorization, 'Bearer ya29.2', 'replaced before it ends');

  stub.message = (stream, request) =>
    respond(request.headers.authorization === 'Bearer ya29.2' ? 401 : 200, fcmError(401, 'UNAUTHENTICATED'))(
      stream,
      request,
    );
  t.match(
    await fcm.send(device),
    { kind: 'retry', reason: 'refused' },
    'a new one that is refused is not replaced at once',
  );
  now += 60_000;
  const outcomes = await Promise.all([fcm.send(device), fcm.send(device)]);
  t.same(outcomes, Array(2).fill({ kind: 'delivered' }), 'an older one is, and the push repeated');
  t.equal(stub.requests.at(-1)!.headers.authorization, 'Bearer ya29.3');
  t.equal(paths(stub).filter((path) => path === '/token?x=1').length, 3);
});

t.test('no access token', async (t) => {
  now = NOW;
  const rows: [answer: StubAnswer, outcome: PushOutcome, reason: string][] = [
    [respond(400, { error: 'invalid_grant' }), { kind: 'retry', reason: 'refused' }, 'the key was revoked'],
    [respond(500), { kind: 'retry', reason: 'status-5xx' }, 'the server fails'],
    [respond(200, 'x'), { kind: 'retry', reason: 'refused' }, 'not a token'],
    [respond(200, { access_token: 'a\r\nb', expires_in: 1 }), { kind: 'retry', reason: 'refused' }, 'a line break'],
    [() => {}, { kind: 'retry', reason: 'timeout' }, 'no answer'],
    [(stream) => stream.session?.destroy(), { kind: 'retry', reason: 'connection' }, 'a reset'],
  ];
  for (const [answer, outcome, reason] of rows) {
    const stub = await startFcmStub(t);
    stub.token = answer;
    const fcm = fcmOf(t, stub, reason === 'no answer' ? { timeoutMs: 200 } : {});
    t.match(await fcm.send(device), outcome, reason);
    const before = stub.requests.length;
    t.match(await fcm.send(device), outcome, `${reason}: the same for the next`);
    t.equal(stub.requests.length, before, 'without asking again');
  }
  const stub = await startFcmStub(t);
  const grant = stub.token;
  stub.token = respond(500);
  const fcm = fcmOf(t, stub);
  await fcm.send(device);
  now += 11_000;
  stub.token = grant;
  t.same(await fcm.send(device), { kind: 'delivered' }, 'after a pause it is asked for again');
});

t.test('the service fails', async (t) => {
  now = NOW;
  const stub = await startFcmStub(t);
  const fcm = fcmOf(t, stub);
  stub.message = respond(429, fcmError(429, 'QUOTA_EXCEEDED'), { 'retry-after': '30' });
  t.same(await fcm.send(device), { kind: 'retry', reason: 'rate-limited', afterMs: 30_000 });
  stub.message = () => {};
  t.same(await fcmOf(t, stub, { timeoutMs: 500 }).send(device), { kind: 'retry', reason: 'timeout' });
  stub.message = (stream) => stream.session?.destroy();
  t.same(await fcm.send(device), { kind: 'retry', reason: 'connection' });
  stub.message = respond(200);
  t.same(await fcm.send(device), { kind: 'delivered' });
});
