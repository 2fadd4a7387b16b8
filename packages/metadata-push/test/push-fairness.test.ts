/** A relay and our gateway together: what one token, one account or one service does must not stop the pushes of others. */
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { NO_METRICS } from '#core';
import { createPushGateway, type GatewayServerOptions } from '../src/gateway-server.ts';
import { Direct, type Services } from '../src/providers/direct.ts';
import type { PushOutcome } from '../src/providers/provider.ts';
import { tokenId } from '../src/tokens.ts';
import { startPusher, until } from './fixtures/pusher.ts';

const ANNA = 'anna@example.org';
const ANDROID = 'fcm-chat.delta:anna';
const accounts = Array.from({ length: 200 }, (_, n) => `u${n}@example.org`);
const webToken = (n: number) =>
  `webpush:https://push${n}.example/|BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4|BTBZMqHH6r4Tts7J_aSIgg`;
const appleToken = (n: number) => n.toString(16).padStart(64, '0');

const service = <T>(send: (token: T) => Promise<PushOutcome>) => ({ send, close: () => {} });
const working = () => service(async () => ({ kind: 'delivered' }));

async function start(t: Test, services: Services, options: Partial<GatewayServerOptions> = {}) {
  const limits = { maxWebPush: 512, maxPerWebPushHost: 64 };
  const direct = new Direct({ services, decryptor: undefined, ...limits, onKeyringError: () => {} });
  const gateway = createPushGateway({ direct: () => direct, metrics: NO_METRICS, ...options });
  const { server, drain } = gateway.open();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => drain(0));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notify`;
  return startPusher(t, { url, connections: 128, timeoutMs: 60_000 });
}

t.test('endpoints that ask for a day of patience', async (t) => {
  const webpush = service(async () => ({ kind: 'retry', reason: 'rate-limited', afterMs: 86_400_000 }));
  const { pusher, counts, set } = await start(t, { webpush, fcm: working() });
  for (let n = 0; n < 20; n++) await set(accounts[n]!, webToken(n));
  await Promise.all(accounts.slice(0, 20).map((account) => pusher.notify(account)));
  t.ok(await until(() => counts['status-4xx'] === 20));
  await set(ANNA, ANDROID);
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 1), 'wait alone');
  t.equal(counts.opened, undefined);
});

t.test('nonsense for tokens', async (t) => {
  const { pusher, counts, set } = await start(t, { fcm: working() });
  for (let n = 0; n < 25; n++) await set(accounts[n]!, `nonsense${n}`);
  await Promise.all(accounts.slice(0, 25).map((account) => pusher.notify(account)));
  t.ok(await until(() => counts.malformed === 25));
  await set(ANNA, ANDROID);
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 1), 'delays nobody');
  t.equal(counts.opened, undefined);
});

t.test('a service that hangs', async (t) => {
  const changes: string[] = [];
  const onCircuit = (name: string, change: string) => void changes.push(`${name} ${change}`);
  const ends: ((outcome: PushOutcome) => void)[] = [];
  const apns = service(() => new Promise((resolve) => void ends.push(resolve)));
  const { pusher, counts, set } = await start(t, { apns, fcm: working() }, { patienceMs: 200, onCircuit });
  await Promise.all(accounts.map((account, n) => set(account, appleToken(n))));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.ok(await until(() => ends.length >= 20), 'takes the places of the relay');
  await set(ANNA, ANDROID);
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 1, 20_000), 'gives them back in time');
  t.ok(await until(() => changes.length === 1));
  t.same(changes, ['apns opened'], 'and is left alone');
  t.equal(counts.opened, undefined, 'the gateway is not');
  ends[0]?.({ kind: 'delivered' });
  t.ok(await until(() => changes.length === 2), 'a late answer shows that it is back');
});

t.test('tokens of an environment our key is not for', async (t) => {
  const changes: string[] = [];
  const onCircuit = (name: string, change: string) => void changes.push(`${name} ${change}`);
  const apns = service(
    async ({ isSandbox }: { isSandbox: boolean }): Promise<PushOutcome> =>
      isSandbox ? { kind: 'retry', reason: 'refused' } : { kind: 'delivered' },
  );
  const { pusher, counts, set } = await start(t, { apns }, { onCircuit });
  for (let n = 0; n < 20; n++) await set(accounts[n]!, `sandbox:${appleToken(n)}`);
  await Promise.all(accounts.slice(0, 20).map((account) => pusher.notify(account)));
  t.ok(await until(() => changes.length === 1));
  t.same(changes, ['apns-sandbox opened']);
  await set(ANNA, appleToken(0));
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 1), 'stop no push to the other');
});

t.test('a push that the gateway did not send', async (t) => {
  const changes: string[] = [];
  const onCircuit = (name: string, change: string) => void changes.push(`${name} ${change}`);
  const fcm = service(async () => ({ kind: 'retry', reason: 'status-5xx' }));
  const { pusher, stores, counts, set } = await start(t, { fcm }, { onCircuit });
  for (let n = 0; n < 20; n++) await set(accounts[n]!, `fcm-chat.delta:${n}`);
  await Promise.all(accounts.slice(0, 20).map((account) => pusher.notify(account)));
  t.ok(await until(() => changes.length === 1));
  await set(ANNA, ANDROID);
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.paused === 1));
  const item = () => stores.queue.get({ account: ANNA, tokenId: tokenId(ANDROID) })!;
  t.ok(await until(() => item().dueAt > item().queuedAt), 'is tried again later');
  t.equal(item().attempts, 0, 'and has lost no attempt');
  t.equal(counts.opened, undefined);
});
