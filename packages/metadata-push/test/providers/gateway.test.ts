import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import t from 'tap';
import { createGateway } from '../../src/providers/gateway.ts';
import type { PushOutcome } from '../../src/providers/provider.ts';

interface Post {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly body: string;
}

const posts: Post[] = [];
const sockets = new Set<Socket>();
let answer: (response: ServerResponse, request: IncomingMessage) => void = (response) => response.end();
const stub = createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => {
    body += chunk;
  });
  request.on('end', () => {
    posts.push({ method: request.method, url: request.url, body });
    answer(response, request);
  });
});
stub.on('connection', (socket) => sockets.add(socket));
await new Promise<void>((resolve) => stub.listen(0, '127.0.0.1', resolve));
t.teardown(() => stub.close());
const { port } = stub.address() as AddressInfo;

const NOW = Date.UTC(2026, 10, 22, 12, 0, 0);
const gatewayOf = (timeoutMs: number) => {
  const gateway = createGateway({
    url: `http://127.0.0.1:${port}/notify?v=1`,
    connections: 2,
    now: () => NOW,
    timeoutMs,
  });
  t.teardown(() => gateway.close());
  return gateway;
};
const gateway = gatewayOf(10_000);
/** Only for what must take all the time there is: a busy machine makes others late too. */
const hurried = gatewayOf(500);

t.test('the request', async (t) => {
  posts.length = 0;
  sockets.clear();
  answer = (response) => response.end('OK');
  const tokens = ['openpgp:abc=', 'x'.repeat(4096), 'webpush:https://e.example/|k|a', 'd', 'e', 'f'];
  for (const token of tokens) await gateway.send(token);
  t.same(
    posts,
    tokens.map((body) => ({ method: 'POST', url: '/notify?v=1', body })),
    'the raw token, to the whole of the configured URL',
  );
  t.ok(sockets.size <= 2, 'over the connections there are');
});

t.test('the name of a push', async (t) => {
  const names: unknown[] = [];
  answer = (response, request) => {
    names.push(request.headers['push-id']);
    response.end();
  };
  for (const [token, id] of [
    ['a', 1],
    ['a', 1],
    ['a', 2],
    ['b', 1],
    ['a', undefined],
  ] as const)
    await gateway.send(token, id);
  t.equal(names[1], names[0], 'is that of its repetitions');
  t.equal(new Set(names).size, 4, 'and of no other');
  t.equal(names[4], undefined);
});

t.test('outcomes', async (t) => {
  const after = (value: string) => (response: ServerResponse) =>
    void response.writeHead(429, { 'retry-after': value }).end();
  const status = (code: number) => (response: ServerResponse) => void response.writeHead(code).end();
  const rows: [answer: typeof answer, outcome: PushOutcome, reason: string][] = [
    [status(200), { kind: 'delivered' }, '200'],
    [status(410), { kind: 'dead' }, '410'],
    [status(202), { kind: 'retry', reason: 'status-3xx' }, 'another success is not what the gateway promises'],
    [status(301), { kind: 'retry', reason: 'status-3xx' }, 'redirects are not followed'],
    [status(400), { kind: 'retry', reason: 'malformed' }, '400: nonsense to the gateway; it removes no token'],
    [status(413), { kind: 'retry', reason: 'malformed' }, '413: too long for it'],
    [status(403), { kind: 'retry', reason: 'status-4xx' }, '403: it refuses us'],
    [status(404), { kind: 'retry', reason: 'status-4xx' }, '404: a wrong URL must not remove tokens'],
    [
      status(500),
      { kind: 'retry', reason: 'status-5xx', scope: 'token' },
      '500: it cannot read the token, or Apple fails',
    ],
    [status(502), { kind: 'retry', reason: 'status-5xx' }, '502: nobody is there behind its web server'],
    [status(503), { kind: 'retry', reason: 'status-5xx' }, '503: it is overloaded'],
    [status(504), { kind: 'retry', reason: 'status-5xx' }, '504: it hangs'],
    [after('120'), { kind: 'retry', reason: 'status-4xx', afterMs: 120_000 }, 'Retry-After in seconds'],
    [after('Sun, 22 Nov 2026 12:00:30 GMT'), { kind: 'retry', reason: 'status-4xx', afterMs: 30_000 }, 'as a date'],
    [after('nonsense'), { kind: 'retry', reason: 'status-4xx' }, 'Retry-After nobody can read'],
    [
      (response) => void response.writeHead(429, { 'retry-after': '60', 'push-scope': 'token' }).end(),
      { kind: 'retry', reason: 'status-4xx', afterMs: 60_000, scope: 'token' },
      'only this token is to wait',
    ],
    [
      (response) => void response.writeHead(503, { 'retry-after': '60', 'push-scope': 'untried' }).end(),
      { kind: 'retry', reason: 'paused', afterMs: 60_000, scope: 'token' },
      'and was not sent',
    ],
    [() => {}, { kind: 'retry', reason: 'timeout' }, 'a gateway that hangs'],
    [(response) => void response.socket!.resetAndDestroy(), { kind: 'retry', reason: 'connection' }, 'a reset'],
    [(response) => void response.socket!.end('nonsense\r\n\r\n'), { kind: 'retry', reason: 'connection' }, 'not HTTP'],
    [
      (response) => void response.writeHead(200).write('x'.repeat(100_000)),
      { kind: 'delivered' },
      'an endless body behind a good status',
    ],
    [
      (response) => {
        response.writeHead(200, { 'content-length': '10' }).write('x');
        setTimeout(() => response.socket?.resetAndDestroy(), 20);
      },
      { kind: 'delivered' },
      'a reset behind a good status',
    ],
    [status(200), { kind: 'delivered' }, 'and after all that it still works'],
  ];
  for (const [reply, outcome, reason] of rows) {
    answer = reply;
    const isTimeout = outcome.kind === 'retry' && outcome.reason === 'timeout';
    t.same(await (isTimeout ? hurried : gateway).send('token'), outcome, reason);
  }
});

t.test('pushes that wait for a connection are given up in time and never sent late', async (t) => {
  posts.length = 0;
  answer = () => {};
  const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map((token) => hurried.send(token)));
  t.ok(outcomes.every((outcome) => outcome.kind === 'retry' && outcome.reason === 'timeout'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(posts.length <= 2, 'only those that had a connection reached the gateway');
});

t.test('nobody listens', async (t) => {
  const nobody = createGateway({ url: 'http://127.0.0.1:1/', connections: 1, now: () => NOW, timeoutMs: 10_000 });
  t.same(await nobody.send('token'), { kind: 'retry', reason: 'connection' });
  await nobody.close();
});

t.test('closing ends what is on the wire', async (t) => {
  answer = () => {};
  const closing = createGateway({ url: `http://127.0.0.1:${port}/`, connections: 1, now: () => NOW });
  await closing.prepare('token');
  const outcome = closing.send('token');
  setTimeout(() => closing.close(), 50);
  t.same(await outcome, { kind: 'retry', reason: 'connection' });
  t.match(await closing.send('token'), { kind: 'retry' }, 'and nothing more is sent');
});
