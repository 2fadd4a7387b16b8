import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import t, { type Test } from 'tap';
import { NO_METRICS } from '#core';
import { createPushGateway, type GatewayServerOptions } from '../src/gateway-server.ts';
import type { OpenedToken } from '../src/providers/direct.ts';
import type { PushOutcome } from '../src/providers/provider.ts';
import { SourceLimit } from '../src/source-limit.ts';
import { parsePlainToken } from '../src/token-format.ts';
import { tokenId } from '../src/tokens.ts';
import { until } from './fixtures/pusher.ts';

const APPLE = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';
let device = 0;
/** A token of a device nobody has pushed to yet. */
const newToken = () => `fcm-chat.delta:token${device++}`;

interface Reply {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function startGateway(t: Test, options: Partial<GatewayServerOptions> = {}) {
  const delivered: string[] = [];
  const counted: string[] = [];
  const control = {
    delivered,
    counted,
    outcome: { kind: 'delivered' } as PushOutcome,
    hold: undefined as Promise<void> | undefined,
  };
  const direct = {
    async open(text: string): Promise<OpenedToken> {
      const token = parsePlainToken(text);
      return token
        ? { ok: true, token, id: tokenId(text) }
        : { ok: false, outcome: { kind: 'retry', reason: 'malformed' } };
    },
    async deliver(token: { service: string }) {
      delivered.push(JSON.stringify(token));
      await control.hold;
      return control.outcome;
    },
  };
  const metrics = {
    ...NO_METRICS,
    counter: () => ({ inc: (labels = {}) => void counted.push(Object.values(labels).join(' ')) }),
  };
  const gateway = createPushGateway({ direct: () => direct, metrics, ...options });
  const { server, drain } = gateway.open();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => drain(0));
  const { port } = server.address() as AddressInfo;
  const ask = (method: string, path: string, body = '', headers: Record<string, string> = {}): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ port, host: '127.0.0.1', method, path, headers }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
      });
      request.on('error', reject);
      request.end(body);
    });
  return { ...control, control, port, gateway, ask, notify: (body: string) => ask('POST', '/notify', body) };
}

t.test('outcomes as relays understand them', async (t) => {
  const { control, notify } = await startGateway(t);
  const rows: [outcome: PushOutcome, status: number, retryAfter: string | undefined, reason: string][] = [
    [{ kind: 'delivered' }, 200, undefined, 'sent'],
    [{ kind: 'dead' }, 410, undefined, 'dead'],
    [{ kind: 'retry', reason: 'malformed' }, 400, undefined, 'nonsense'],
    [{ kind: 'retry', reason: 'rate-limited', afterMs: 1500 }, 429, '2', 'the service asks for patience'],
    [{ kind: 'retry', reason: 'rate-limited' }, 429, '30', 'and does not say how long'],
    [{ kind: 'retry', reason: 'status-5xx', afterMs: 60_000 }, 503, '60', 'the service fails'],
    [{ kind: 'retry', reason: 'status-4xx' }, 503, '30', 'a 4xx is not the token’s fault'],
    [{ kind: 'retry', reason: 'refused', afterMs: 0 }, 503, '1', 'our credentials are not the token’s fault'],
    [{ kind: 'retry', reason: 'not-configured' }, 503, '30', 'no credentials'],
    [{ kind: 'retry', reason: 'undecrypted' }, 503, '30', 'not decrypted'],
    [{ kind: 'retry', reason: 'busy' }, 503, '1', 'too much at once'],
    [{ kind: 'retry', reason: 'paused', afterMs: 4000 }, 503, '4', 'a service that is being left alone'],
    [{ kind: 'retry', reason: 'timeout' }, 503, '30', 'no answer'],
    [{ kind: 'retry', reason: 'connection' }, 503, '30', 'no connection'],
    [{ kind: 'retry', reason: 'error' }, 503, '30', 'a bug'],
  ];
  for (const [outcome, status, retryAfter, reason] of rows) {
    control.outcome = outcome;
    const token = newToken();
    const reply = await notify(token);
    t.equal(reply.status, status, reason);
    t.equal(reply.headers['retry-after'], retryAfter);
    const isUntried = outcome.kind === 'retry' && (outcome.reason === 'busy' || outcome.reason === 'paused');
    t.equal(
      reply.headers['push-scope'],
      isUntried ? 'untried' : retryAfter && 'token',
      'what came of a token is no reason for others to wait, and what was not sent no attempt',
    );
    t.notMatch(reply.body + JSON.stringify(reply.headers), token.slice(-8), 'and no word of the token');
  }
});

t.test('requests', async (t) => {
  const { ask, notify, delivered } = await startGateway(t);
  const rows: [method: string, path: string, body: string, status: number, reason: string][] = [
    ['GET', '/healthz', '', 200, 'health'],
    ['GET', '/', '', 200, 'today’s gateway answers here too'],
    ['HEAD', '/healthz', '', 200, 'health without a body'],
    ['POST', '/healthz', '', 405, 'nothing to post there'],
    ['DELETE', '/healthz', '', 405, 'nor to delete'],
    ['POST', '/', '', 405, 'nor here'],
    ['GET', '/notify', '', 405, 'the wrong method'],
    ['POST', '/register', '{}', 404, 'heartbeats were given up'],
    ['POST', '/notify', '', 400, 'no token'],
    ['POST', '/notify', 'hello', 400, 'not a token'],
    ['POST', '/notify', 'ä', 400, 'not ASCII'],
    ['POST', '/notify', `${APPLE} ${APPLE}`, 400, 'two tokens'],
    ['POST', '/notify', 'a'.repeat(4097), 413, 'too long'],
    ['POST', '/notify', 'a'.repeat(1_000_000), 413, 'far too long'],
    ['POST', '/notify?x=1', newToken(), 200, 'a query does no harm'],
    ['POST', '/notify', `${newToken()}\n`, 200, 'a line end neither'],
  ];
  for (const [method, path, body, status, reason] of rows) {
    const reply = await ask(method, path, body).catch((error: NodeJS.ErrnoException) => ({ status: error.code }));
    // The end of a body nobody reads may be a reset before its sender has seen the answer.
    if (body.length > 100_000) t.ok([status, 'ECONNRESET', 'EPIPE'].includes(reply.status as number), reason);
    else t.equal(reply.status, status, reason);
  }
  t.equal(delivered.length, 2);
  t.equal((await notify(newToken())).status, 200, 'and after all that it still works');
});

t.test('a wrong method is told the right ones', async (t) => {
  const { ask } = await startGateway(t);
  t.equal((await ask('PUT', '/notify')).headers.allow, 'POST');
  t.equal((await ask('DELETE', '/healthz')).headers.allow, 'GET, HEAD');
  t.equal((await ask('GET', '/healthz')).headers.allow, undefined);
});

t.test('requests without a body take the places of nobody', async (t) => {
  const { control, port, gateway, notify } = await startGateway(t, { maxInFlight: 1 });
  const slow = connect(port, '127.0.0.1');
  slow.write('POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n');
  t.ok(await until(() => !gateway.isIdle()));
  t.equal((await notify(newToken())).status, 200);
  let release = () => {};
  control.hold = new Promise((resolve) => {
    release = resolve;
  });
  const before = control.delivered.length;
  const held = notify(newToken());
  t.ok(await until(() => control.delivered.length > before));
  const refused = await notify(newToken());
  t.equal(refused.status, 503, 'those being sent do');
  t.equal(refused.headers['push-scope'], undefined, 'which is about the gateway');
  release();
  t.equal((await held).status, 200);
  slow.destroy();
  t.ok(await until(() => gateway.isIdle()));
});

t.test('after a reload every service is asked anew', async (t) => {
  const changes: string[] = [];
  const direct = (outcome: PushOutcome) => ({
    open: async (text: string): Promise<OpenedToken> => ({ ok: true, token: parsePlainToken(text)!, id: text }),
    deliver: async () => outcome,
  });
  let current = direct({ kind: 'retry', reason: 'refused' });
  const gateway = createPushGateway({
    direct: () => current,
    metrics: NO_METRICS,
    onCircuit: (service, change) => void changes.push(`${service} ${change}`),
  });
  const { server, drain } = gateway.open();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => drain(0));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notify`;
  const notify = async () => (await fetch(url, { method: 'POST', body: newToken() })).status;
  for (let n = 0; n < 21; n++) t.equal(await notify(), 503);
  t.same(changes, ['fcm opened']);
  current = direct({ kind: 'delivered' });
  t.equal(await notify(), 200);
  t.same(changes, ['fcm opened', 'fcm closed']);
});

t.test('a request from before a reload ends nothing that has begun since', async (t) => {
  const changes: string[] = [];
  const opening = Promise.withResolvers<void>();
  let isOpening = false;
  const open = async (text: string): Promise<OpenedToken> => ({ ok: true, token: parsePlainToken(text)!, id: text });
  const old = {
    open: async (text: string) => {
      isOpening = true;
      await opening.promise;
      return open(text);
    },
    deliver: async (): Promise<PushOutcome> => ({ kind: 'delivered' }),
  };
  const next = { open, deliver: async (): Promise<PushOutcome> => ({ kind: 'retry', reason: 'refused' }) };
  let current = old;
  const { ask } = await startGateway(t, {
    direct: () => current,
    onCircuit: (service, change) => void changes.push(`${service} ${change}`),
  });
  const notify = async () => (await ask('POST', '/notify', newToken())).headers['push-scope'];
  const held = notify();
  t.ok(await until(() => isOpening));
  current = next;
  for (let n = 0; n < 20; n++) t.equal(await notify(), 'token');
  t.same(changes, ['fcm opened']);
  opening.resolve();
  t.equal(await held, 'untried', 'it goes where all go now');
  t.equal(await notify(), 'untried', 'and the service is still left alone');
  t.same(changes, ['fcm opened']);
});

t.test('requests for one device take one place of its service', async (t) => {
  const { control, notify, delivered } = await startGateway(t, { maxOnTheWire: 2 });
  const token = newToken();
  const held = Promise.withResolvers<void>();
  control.hold = held.promise;
  const replies = Array.from({ length: 20 }, () => notify(token));
  t.ok(await until(() => delivered.length === 1));
  control.hold = undefined;
  // Behind those of the device, on connections of their own.
  for (let n = 0; n < 20; n++) t.equal((await notify(newToken())).status, 200, 'and another device has the other');
  held.resolve();
  t.ok((await Promise.all(replies)).every(({ status }) => status === 200));
  t.equal(delivered.length, 21);
});

t.test('a push that is delivered late is not sent again', async (t) => {
  const clock = { now: 0 };
  const { control, ask, delivered } = await startGateway(t, { patienceMs: 1, now: () => clock.now });
  const notify = (token: string, name?: string) =>
    ask('POST', '/notify', token, { ...(name !== undefined && { 'push-id': name }) });
  const ends: (() => void)[] = [];
  const sendLate = async (...args: Parameters<typeof notify>) => {
    control.hold = new Promise((resolve) => void ends.push(resolve));
    const reply = await notify(...args);
    t.equal(reply.status, 503);
    t.equal(reply.headers['retry-after'], '30');
    ends.pop()?.();
    control.hold = undefined;
    await new Promise((resolve) => setImmediate(resolve));
    clock.now += 30_000;
  };
  const [named, nameless, odd] = [newToken(), newToken(), newToken()];
  await sendLate(named, 'a-1');
  t.equal((await notify(named, 'a-1')).status, 200);
  t.equal(delivered.length, 1, 'when the relay comes again');
  await sendLate(named, 'a-2');
  t.equal(delivered.length, 2);
  t.not((await notify(named, 'a-3')).status, 410);
  t.equal(delivered.length, 3, 'but one that announces something else is');
  await sendLate(nameless);
  t.equal((await notify(nameless)).status, 200);
  t.equal(delivered.length, 4, 'nor that of a relay of today');
  await sendLate(odd, 'not a name');
  t.equal((await notify(odd)).status, 200);
  t.equal(delivered.length, 5, 'a name nobody understands is none');
});

t.test('one push per device and second', async (t) => {
  const { control, notify, delivered, counted } = await startGateway(t);
  const token = newToken();
  let release = () => {};
  control.hold = new Promise((resolve) => {
    release = resolve;
  });
  const replies = [notify(token), notify(token), notify(token)];
  await new Promise((resolve) => setTimeout(resolve, 50));
  release();
  t.same(
    (await Promise.all(replies)).map(({ status }) => status),
    [200, 200, 200],
  );
  t.equal((await notify(token)).status, 200);
  t.equal(delivered.length, 1);
  t.same(counted, ['fcm delivered', 'fcm debounced', 'fcm debounced', 'fcm debounced']);
  control.outcome = { kind: 'retry', reason: 'timeout' };
  const failing = newToken();
  t.equal((await notify(failing)).status, 503);
  t.equal((await notify(failing)).status, 503, 'a failure is never answered by 200');
  t.equal(delivered.length, 3);
});

t.test('a relay gone wild does not take the gateway from the others', async (t) => {
  const { ask } = await startGateway(t, { sourceLimit: new SourceLimit(1, 3) });
  // The web server in front adds the address it sees behind whatever the relay claims.
  const from = (address: string, claimed = '10.0.0.1') =>
    ask('POST', '/notify', newToken(), { 'x-forwarded-for': `${claimed}, ${address}` });
  for (let i = 0; i < 3; i++) t.equal((await from('192.0.2.1', `10.0.0.${i}`)).status, 200);
  const refused = await from('192.0.2.1', '10.0.0.9');
  t.equal(refused.status, 429);
  t.equal(refused.headers['retry-after'], '1');
  t.equal((await from('192.0.2.2')).status, 200, 'another relay');
});

t.test('connections that dawdle are closed', async (t) => {
  const { port, gateway } = await startGateway(t);
  const socket = connect(port, '127.0.0.1');
  socket.write('POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc');
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(gateway.isIdle(), false);
  socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(gateway.isIdle(), true, 'a peer that leaves in the middle leaves nothing behind');
});
