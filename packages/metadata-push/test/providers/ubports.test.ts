import t from 'tap';
import type { PushOutcome } from '../../src/providers/provider.ts';
import { createUbports } from '../../src/providers/ubports.ts';
import { makeCertificate } from '../support/certificates.ts';
import { startHttpsStub, status } from '../support/https-stub.ts';

const tls = makeCertificate('server');
const NOW = Date.UTC(2026, 10, 22, 12);
const stub = await startHttpsStub(t, tls);
const url = `https://localhost:${stub.port}/notify`;
const ubportsOf = (timeoutMs: number) => {
  const ubports = createUbports({ url, now: () => NOW, ca: tls.cert, timeoutMs });
  t.teardown(() => ubports.close());
  return ubports;
};
const ubports = ubportsOf(10_000);
/** Only for what must take all the time there is: a busy machine makes others late too. */
const hurried = ubportsOf(1500);
const device = { token: 'abc:D_e-f' };

t.test('the request', async (t) => {
  t.same(await ubports.send(device), { kind: 'delivered' });
  const [request] = stub.requests;
  t.match(request, { method: 'POST', url: '/notify', headers: { 'content-type': 'application/json' } });
  t.equal(Number(request!.headers['content-length']), request!.body.length);
  t.same(JSON.parse(request!.body.toString()), {
    expire_on: '2026-11-29T12:00:00.000Z',
    appid: 'deltatouch.lotharketterer_deltatouch',
    token: 'abc:D_e-f',
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
});

t.test('answers', async (t) => {
  const error = (code: number, name: string) => status(code, {}, JSON.stringify({ ok: false, error: name }));
  const rows: [answer: typeof stub.answer, outcome: PushOutcome, reason: string, isEndless?: true][] = [
    [status(200, {}, '{"ok":true}'), { kind: 'delivered' }, 'taken'],
    [error(400, 'unknown-token'), { kind: 'dead' }, 'no such token'],
    [error(400, 'invalid-request'), { kind: 'retry', reason: 'status-4xx' }, 'our request'],
    [error(401, 'unauthorized'), { kind: 'retry', reason: 'status-4xx', scope: 'token' }, 'the token of another app'],
    [error(413, 'too-many-pending'), { kind: 'retry', reason: 'rate-limited', scope: 'token' }, 'too many waiting'],
    [error(500, 'unknown-token'), { kind: 'retry', reason: 'status-5xx' }, 'not in that status'],
    [status(503, { 'retry-after': '9' }), { kind: 'retry', reason: 'status-5xx', afterMs: 9000 }, 'unavailable'],
    [status(429), { kind: 'retry', reason: 'rate-limited' }, 'too often'],
    [status(404), { kind: 'retry', reason: 'status-4xx' }, 'a wrong URL kills no token'],
    [status(302, { location: '/elsewhere' }), { kind: 'retry', reason: 'status-3xx' }, 'redirects are not followed'],
    [() => {}, { kind: 'retry', reason: 'timeout' }, 'no answer', true],
    [(response) => void response.socket!.destroy(), { kind: 'retry', reason: 'connection' }, 'a reset'],
    [(response) => void response.writeHead(200).write('x'), { kind: 'delivered' }, 'a body that never ends', true],
    [
      (response) => void response.writeHead(400).write('x'.repeat(100_000)),
      { kind: 'retry', reason: 'status-4xx' },
      'a body without bounds',
    ],
    [status(200), { kind: 'delivered' }, 'and after all that it still works'],
  ];
  for (const [answer, outcome, reason, isEndless] of rows) {
    stub.answer = answer;
    t.same(await (isEndless ? hurried : ubports).send(device), outcome, reason);
  }
  t.notOk(
    stub.requests.some((request) => request.url === '/elsewhere'),
    'nobody went elsewhere',
  );
});

t.test('a kept connection that ended meanwhile', async (t) => {
  stub.answer = status(200);
  await ubports.send(device);
  for (const socket of stub.sockets) socket.destroy();
  t.same(await ubports.send(device), { kind: 'delivered' }, 'costs nothing but a new one');
});

t.test('TLS and nobody there', async (t) => {
  const strict = createUbports({ url, now: () => NOW, timeoutMs: 10_000 });
  t.teardown(() => strict.close());
  t.same(await strict.send(device), { kind: 'retry', reason: 'connection' }, 'a server nobody vouches for');
  const nobody = createUbports({ url: 'https://localhost:1/', now: () => NOW, timeoutMs: 10_000 });
  t.teardown(() => nobody.close());
  t.same(await nobody.send(device), { kind: 'retry', reason: 'connection' });
});
