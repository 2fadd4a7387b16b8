import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { Http2Pool, type Http2PoolOptions } from '../../src/providers/http2-pool.ts';
import { makeCertificate } from '../support/certificates.ts';
import { respond, startH2Stub } from '../support/h2-stub.ts';

const tls = makeCertificate('server');
const request = { headers: { ':method': 'POST', ':path': '/' }, body: 'x' };

function poolOf(t: Test, origin: string, options: Partial<Http2PoolOptions> = {}) {
  const errors: unknown[] = [];
  const pool = new Http2Pool({
    origin,
    maxConnections: 2,
    timeoutMs: 20_000,
    tls: { ca: tls.cert },
    onConnectError: (error) => errors.push((error as NodeJS.ErrnoException).code),
    ...options,
  });
  t.teardown(() => pool.close());
  return { pool, errors };
}

/** A stub behind a network that can forget its first connection. */
async function startForgetful(t: Test) {
  const stub = await startH2Stub(t, tls);
  const port = Number(new URL(stub.origin).port);
  const sockets: Socket[] = [];
  const network = { isForgotten: false };
  // Like a NAT whose entry is gone: nothing comes through, and nobody is told.
  const nat = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    sockets.push(client, server);
    const isOld = () => network.isForgotten && sockets.indexOf(client) === 0;
    for (const socket of [client, server]) socket.on('error', () => {});
    client.on('data', (chunk) => isOld() || server.write(chunk));
    server.on('data', (chunk) => isOld() || client.write(chunk));
  });
  await new Promise<void>((resolve) => nat.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    nat.close();
  });
  return { stub, network, origin: `https://localhost:${(nat.address() as AddressInfo).port}` };
}

t.test('a connection that died at rest', async (t) => {
  const { stub, network, origin } = await startForgetful(t);
  // It ends with its stream, so that the connection is at rest.
  const whole = { ...request, wantsBody: true };
  // Only the PING before the first request can notice it in the time there is.
  const liveness = { restMs: 0, silenceMs: 1e6, timeoutMs: 1e6 };
  const { pool } = poolOf(t, origin, { ...liveness, pongMs: 200 });
  t.match(await pool.send(whole), { kind: 'answer', status: 200 });
  network.isForgotten = true;
  const results = await Promise.all([pool.send(whole), pool.send(whole)]);
  t.match(results, Array(2).fill({ kind: 'answer', status: 200 }), 'costs a moment and a new connection');
  t.ok(stub.sessions.length >= 2);
  t.equal(stub.requests.length, 3, 'and nothing was sent into it');

  const patient = poolOf(t, stub.origin, { ...liveness, pongMs: 1e6 }).pool;
  const before = stub.sessions.length;
  for (let n = 0; n < 3; n++) t.match(await patient.send(whole), { kind: 'answer', status: 200 });
  t.equal(stub.sessions.length, before + 1, 'one that is alive is kept');
});

t.test('a network that forgets a connection', async (t) => {
  const { stub, network, origin } = await startForgetful(t);
  const { pool } = poolOf(t, origin, { silenceMs: 500 });
  t.match(await pool.send(request), { kind: 'answer', status: 200 });
  network.isForgotten = true;
  const begin = performance.now();
  const results = await Promise.all([pool.send(request), pool.send(request)]);
  t.match(results, Array(2).fill({ kind: 'answer', status: 200 }), 'is given up, and requests go over another');
  t.ok(performance.now() - begin < 10_000, 'long before their time is over');
  t.equal(stub.sessions.length, 2);
});

t.test('a peer that takes its time is not given up', async (t) => {
  const stub = await startH2Stub(t, tls);
  const { pool } = poolOf(t, stub.origin, { silenceMs: 500 });
  stub.answer = (stream, seen) => void setTimeout(() => respond(200)(stream, seen), 2500);
  t.match(await pool.send(request), { kind: 'answer', status: 200 }, 'it answers PING');
  t.equal(stub.sessions.length, 1);
});

t.test('the body of a success', async (t) => {
  const stub = await startH2Stub(t, tls);
  const { pool } = poolOf(t, stub.origin);
  stub.answer = respond(200, { a: 1 });
  t.match(await pool.send({ ...request, wantsBody: true }), { status: 200, body: '{"a":1}' });
});

t.test('a peer that does not speak HTTP/2', async (t) => {
  const server = createTlsServer({ ...tls, ALPNProtocols: ['http/1.1'] }, (socket) => socket.on('error', () => {}));
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { pool, errors } = poolOf(t, `https://localhost:${(server.address() as AddressInfo).port}`);
  t.same(await pool.send(request), { kind: 'lost' });
  t.equal(errors.length, 1);
});

t.test('requests that find no room are given up in time', async (t) => {
  const stub = await startH2Stub(t, tls, { maxConcurrentStreams: 1 });
  stub.answer = () => {};
  const { pool } = poolOf(t, stub.origin, { timeoutMs: 200 });
  const results = await Promise.all(Array.from({ length: 6 }, () => pool.send(request)));
  t.same(results, Array(6).fill({ kind: 'timeout' }));
  t.ok(stub.requests.length <= 4, 'and those whose time was over are not sent');
});

t.test('a service that is known by its address', async (t) => {
  const stub = await startH2Stub(t, tls);
  const { pool, errors } = poolOf(t, stub.origin.replace('localhost', '127.0.0.1'));
  t.match(await pool.send(request), { kind: 'answer', status: 200 });
  t.same(errors, []);
});
