import { generateKeyPairSync, randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { type ApnsOptions, createApns } from '../../src/providers/apns.ts';
import { APNS_PAYLOAD } from '../../src/providers/apns-request.ts';
import { ApnsProviderToken } from '../../src/providers/apns-token.ts';
import type { PushOutcome } from '../../src/providers/provider.ts';
import { makeCertificate, makePkcs12 } from '../support/certificates.ts';
import { type H2Stub, respond, type StubAnswer, startH2Stub } from '../support/h2-stub.ts';
import { readJwt } from '../support/jwt.ts';

const tls = makeCertificate('server');
const identity = makeCertificate('client', '/CN=Apple Push Services: chat.example');
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const TOKEN = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';
const device = (isSandbox = false) => ({ isSandbox, token: TOKEN });
const newDevice = () => ({ isSandbox: false, token: randomBytes(32).toString('hex') });

const NOW = Date.UTC(2026, 10, 22, 12);
let now = NOW;
const errors: unknown[] = [];

function apnsOf(t: Test, stub: H2Stub, options: Partial<ApnsOptions> = {}) {
  const apns = createApns({
    production: stub.origin,
    sandbox: 'https://localhost:1',
    topic: 'chat.example',
    providerToken: new ApnsProviderToken(privateKey, 'ABC123DEFG', 'DEF123GHIJ'),
    tls: { ca: tls.cert },
    now: () => now,
    onConnectError: (error) => errors.push(error),
    timeoutMs: 10_000,
    ...options,
  });
  t.teardown(() => apns.close());
  return apns;
}

t.test('the request', async (t) => {
  const stub = await startH2Stub(t, tls);
  const sandbox = await startH2Stub(t, tls);
  const apns = apnsOf(t, stub, { sandbox: sandbox.origin });
  t.same(await apns.send(device()), { kind: 'delivered' });
  const [request] = stub.requests;
  const { authorization, 'apns-id': id, ...headers } = request!.headers;
  t.match(
    { ...headers },
    {
      ':method': 'POST',
      ':scheme': 'https',
      ':path': `/3/device/${TOKEN}`,
      'apns-topic': 'chat.example',
      'apns-push-type': 'alert',
      'apns-priority': '10',
      'apns-collapse-id': 'new_messages',
      'content-type': 'application/json',
    },
  );
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'a UUID');
  t.same(JSON.parse(request!.body), {
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
  t.equal(request!.body, APNS_PAYLOAD);
  const jwt = readJwt(String(authorization).replace(/^bearer /, ''), publicKey);
  t.same(jwt, {
    header: { alg: 'ES256', kid: 'ABC123DEFG' },
    claims: { iss: 'DEF123GHIJ', iat: NOW / 1000 },
    isValid: true,
  });
  await apns.send(device());
  t.not(stub.requests[1]!.headers['apns-id'], id, 'another push is another notification');
  t.equal(stub.requests[1]!.headers.authorization, authorization, 'with the same provider token');
  await apns.send(device(), NOW);
  await apns.send(device(), NOW);
  const [third, fourth] = stub.requests.slice(2).map((other) => other.headers['apns-id']);
  t.equal(third, fourth, 'but the same push tried again is the same notification');
  await apns.send(device(true));
  t.equal(sandbox.requests.length, 1, 'sandbox tokens go to the sandbox');
  t.equal(sandbox.requests[0]!.headers.authorization, authorization, 'one provider token for both');
  t.equal(stub.sessions.length, 1, 'one connection');
});

t.test('answers', async (t) => {
  const stub = await startH2Stub(t, tls);
  const apns = apnsOf(t, stub);
  // Only for what must take all the time there is: a busy machine makes others late too.
  const hurried = apnsOf(t, stub, { timeoutMs: 1500 });
  const rows: [answer: StubAnswer, outcome: PushOutcome, reason: string, isEndless?: true][] = [
    [respond(410, { reason: 'Unregistered', timestamp: 1 }), { kind: 'dead' }, 'unregistered'],
    [respond(400, { reason: 'BadDeviceToken' }), { kind: 'dead' }, 'bad token'],
    [respond(403, { reason: 'InvalidProviderToken' }), { kind: 'retry', reason: 'refused' }, 'our key'],
    [
      respond(429, { reason: 'TooManyRequests' }, { 'retry-after': '7' }),
      { kind: 'retry', reason: 'rate-limited', afterMs: 7000, scope: 'token' },
      'Retry-After',
    ],
    [respond(503, { reason: 'Shutdown' }), { kind: 'retry', reason: 'status-5xx' }, 'shutting down'],
    [respond(400, 'not JSON'), { kind: 'retry', reason: 'status-4xx' }, 'no reason'],
    [respond(400, 'x'.repeat(1_000_000)), { kind: 'retry', reason: 'status-4xx' }, 'an endless body'],
    [
      (stream) => void stream.respond({ ':status': 200 }),
      { kind: 'delivered' },
      'a body that never ends behind a success',
    ],
    [
      (stream) => {
        stream.respond({ ':status': 410 });
        stream.write('{"reason":');
      },
      { kind: 'dead' },
      'a body that never ends behind a status that says enough',
      true,
    ],
    [() => {}, { kind: 'retry', reason: 'timeout' }, 'no answer', true],
    [respond(200), { kind: 'delivered' }, 'and after all that it still works'],
  ];
  for (const [answer, outcome, reason, isEndless] of rows) {
    stub.answer = answer;
    t.same(await (isEndless ? hurried : apns).send(device()), outcome, reason);
  }
});

t.test('a provider token Apple calls expired', async (t) => {
  const stub = await startH2Stub(t, tls);
  now = NOW;
  const apns = apnsOf(t, stub);
  await apns.send(device());
  const first = stub.requests[0]!.headers.authorization;
  stub.answer = (stream, request) =>
    (request.headers.authorization === first ? respond(403, { reason: 'ExpiredProviderToken' }) : respond(200))(
      stream,
      request,
    );
  now = NOW + 5 * 60_000;
  t.same(
    await apns.send(device()),
    { kind: 'retry', reason: 'refused', afterMs: 15 * 60_000 },
    'it is too new to be replaced: Apple would answer 429',
  );
  now = NOW + 25 * 60_000;
  stub.requests.length = 0;
  const outcomes = await Promise.all([apns.send(device()), apns.send(device()), apns.send(device())]);
  t.ok(
    outcomes.every(({ kind }) => kind === 'delivered'),
    'later it is replaced and the push repeated',
  );
  const tokens = new Set(stub.requests.map(({ headers }) => headers.authorization));
  t.equal(tokens.size, 2, 'by one other token for all');
  const ids = stub.requests.map(({ headers }) => headers['apns-id']);
  t.equal(new Set(ids).size, 3, 'repeated under the same apns-id');
  stub.answer = respond(403, { reason: 'ExpiredProviderToken' });
  now = NOW + 50 * 60_000;
  t.match(await apns.send(device()), { kind: 'retry', reason: 'refused' }, 'never in a circle');
});

t.test('GOAWAY loses nothing', async (t) => {
  const stub = await startH2Stub(t, tls);
  const apns = apnsOf(t, stub, { timeoutMs: 10_000 });
  const seen = new Map<number, number>();
  stub.answer = (stream, request) => {
    const count = (seen.get(request.connection) ?? 0) + 1;
    seen.set(request.connection, count);
    // Connections end in the middle of the burst, in the ways connections end.
    const { session } = stream;
    if (request.connection === 0 && count === 50) session?.goaway(0, stream.id);
    if (request.connection === 1 && count === 50) session?.goaway(2, stream.id);
    if (request.connection === 2 && count === 20) session?.destroy();
    setTimeout(() => respond(200)(stream, request), 20);
  };
  const outcomes = await Promise.all(Array.from({ length: 300 }, () => apns.send(newDevice())));
  t.equal(outcomes.filter(({ kind }) => kind === 'delivered').length, 300, 'all delivered');
  t.ok(stub.sessions.length > 3, 'over new connections');
  const byDevice = new Map<string, Set<unknown>>();
  for (const { path, headers } of stub.requests) {
    byDevice.set(path, (byDevice.get(path) ?? new Set()).add(headers['apns-id']));
  }
  t.equal(byDevice.size, 300);
  t.ok(
    [...byDevice.values()].every((ids) => ids.size === 1),
    'each under one apns-id, however often it was sent',
  );
  t.comment(`${stub.requests.length - 300} were sent twice`);
});

t.test('REFUSED_STREAM and resets', async (t) => {
  const stub = await startH2Stub(t, tls);
  const apns = apnsOf(t, stub);
  let count = 0;
  stub.answer = (stream, request) => (++count === 1 ? stream.close(7) : respond(200)(stream, request));
  t.same(await apns.send(device()), { kind: 'delivered' }, 'a refused stream is sent again');
  stub.answer = (stream) => stream.close(2);
  stub.requests.length = 0;
  t.same(await apns.send(device()), { kind: 'retry', reason: 'connection' }, 'but not for ever');
  t.equal(stub.requests.length, 4);
  stub.answer = (stream) => stream.session?.socket.destroy();
  t.same(await apns.send(device()), { kind: 'retry', reason: 'connection' }, 'a peer that resets every connection');
});

t.test('a peer that allows few streams', async (t) => {
  const stub = await startH2Stub(t, tls, { maxConcurrentStreams: 2 });
  const apns = apnsOf(t, stub);
  const open = new Map<number, number>();
  let most = 0;
  stub.answer = (stream, request) => {
    const count = (open.get(request.connection) ?? 0) + 1;
    open.set(request.connection, count);
    most = Math.max(most, count);
    setTimeout(() => {
      open.set(request.connection, open.get(request.connection)! - 1);
      respond(200)(stream, request);
    }, 5);
  };
  const outcomes = await Promise.all(Array.from({ length: 60 }, () => apns.send(device())));
  t.ok(outcomes.every(({ kind }) => kind === 'delivered'));
  t.equal(most, 2, 'is not asked for more');
  t.ok(stub.sessions.length <= 4, 'and gets no more than four connections');
});

t.test('TLS', async (t) => {
  const stub = await startH2Stub(t, tls, { clientCa: identity.cert });
  t.same(
    await apnsOf(t, stub).send(device()),
    { kind: 'retry', reason: 'connection' },
    'without the certificate asked for',
  );
  const pem = { ca: tls.cert, cert: identity.cert, key: identity.key };
  t.same(await apnsOf(t, stub, { tls: pem, providerToken: undefined }).send(device()), { kind: 'delivered' }, 'PEM');
  const pfx = { ca: tls.cert, pfx: makePkcs12('client', 'secret'), passphrase: 'secret' };
  t.same(
    await apnsOf(t, stub, { tls: pfx, providerToken: undefined }).send(device()),
    { kind: 'delivered' },
    'PKCS #12',
  );
  t.same(
    stub.requests.map(({ client, headers }) => [client, headers.authorization]),
    Array(2).fill(['Apple Push Services: chat.example', undefined]),
    'the certificate is who we are, and no token besides',
  );
  errors.length = 0;
  t.same(
    await apnsOf(t, stub, { tls: {} }).send(device()),
    { kind: 'retry', reason: 'connection' },
    'a server nobody vouches for',
  );
  t.match(errors, [{ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }], 'and the operator is told why');
});

t.test('nobody there', async (t) => {
  const stub = await startH2Stub(t, tls);
  await stub.close();
  errors.length = 0;
  const apns = apnsOf(t, stub);
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => apns.send(device())));
  t.ok(outcomes.every((outcome) => outcome.kind === 'retry' && outcome.reason === 'connection'));
  t.equal(errors.length, 1, 'one attempt for all of them');
  t.same(await apns.send(device()), { kind: 'retry', reason: 'connection' }, 'and none right after');
  t.equal(errors.length, 1);
});

t.test('closing ends what is on the wire', async (t) => {
  const stub = await startH2Stub(t, tls);
  stub.answer = () => {};
  const apns = apnsOf(t, stub);
  const outcome = apns.send(device());
  while (stub.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  apns.close();
  t.same(await outcome, { kind: 'retry', reason: 'connection' });
  t.same(await apns.send(device()), { kind: 'retry', reason: 'connection' }, 'and nothing more is sent');
});
