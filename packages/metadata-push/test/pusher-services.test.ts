import t from 'tap';
import { createGateway } from '../src/providers/gateway.ts';
import type { PushOutcome } from '../src/providers/provider.ts';
import { tokenId } from '../src/tokens.ts';
import { status } from './fixtures/gateway-stub.ts';
import { startPusher, until } from './fixtures/pusher.ts';

const ANNA = 'anna@example.org';

t.test('a service that fails is left alone, at the cost of no attempt, until it is back', async (t) => {
  const { stub, stores, pusher, counts, clock, set } = await startPusher(t);
  const accounts = Array.from({ length: 40 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  stub.answer = status(503);
  for (const account of accounts.slice(0, 20)) await pusher.notify(account);
  t.ok(await until(() => counts.opened === 1));
  const posts = stub.posts.length;
  for (const account of accounts.slice(20)) await pusher.notify(account);
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(stub.posts.length, posts, 'nothing goes out');
  t.match(stores.queue.get({ account: 'u30@example.org', tokenId: tokenId('token-of-u30@example.org') }), {
    attempts: 0,
  });
  stub.answer = status(200);
  clock.aheadMs = 60_000;
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.closed === 1), 'the first push after the pause finds it back');
  t.ok(await until(() => (counts.delivered ?? 0) >= 20), 'and the others follow');
});

t.test('one dead service delays no other', async (t) => {
  const { stores, pusher, counts, set } = await startPusher(t, { maxOnTheWire: 4 });
  const sent: string[] = [];
  pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    laneOf: async (token) => (token.startsWith('apns') ? 'apns' : 'fcm'),
    send: (token) => {
      if (token.startsWith('apns')) return new Promise(() => {});
      sent.push(token);
      return Promise.resolve({ kind: 'delivered', via: 'fcm' });
    },
  });
  const accounts = Array.from({ length: 1500 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `apns-${account}`)));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  await set(ANNA, 'fcm-anna');
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 1), 'past 1,500 pushes to a service that does not answer');
  t.same(sent, ['fcm-anna']);
  t.ok(await until(() => stores.queue.depth() === 1500));
});

t.test('pushes to a service that fails make way for others', async (t) => {
  const { stores, pusher, counts, set } = await startPusher(t, { maxOnTheWire: 30 });
  pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    laneOf: async () => 'fcm',
    send: async () => ({ kind: 'retry', reason: 'refused', via: 'fcm' }),
  });
  const accounts = Array.from({ length: 100 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `fcm-${account}`)));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.ok(await until(() => counts.opened === 1));
  t.ok(await until(() => stores.queue.due(Date.now(), 1000, () => false).length === 0), 'all are due later');
  t.equal(stores.queue.depth(), 100);
  const untried = accounts.filter(
    (account) => stores.queue.get({ account, tokenId: tokenId(`fcm-${account}`) })!.attempts === 0,
  );
  t.ok(untried.length >= 40, 'those that were not sent have lost no attempt');
});

t.test('pushes that come while a dead service is asked hold up no retry of another', async (t) => {
  const { stores, pusher, counts, clock, set } = await startPusher(t, { maxOnTheWire: 30 });
  const failed: PushOutcome = { kind: 'retry', reason: 'refused', via: 'apns' };
  let probing: PromiseWithResolvers<PushOutcome> | undefined;
  let fcm: PushOutcome = { kind: 'retry', reason: 'rate-limited', via: 'fcm' };
  pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    laneOf: async (token) => (token.startsWith('apns') ? 'apns' : 'fcm'),
    send: async (token) => {
      if (!token.startsWith('apns')) return fcm;
      if (counts.opened === undefined) return failed;
      probing ??= Promise.withResolvers();
      return probing.promise;
    },
  });
  // More than there is room for in memory.
  const accounts = Array.from({ length: 1200 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `apns-${account}`)));
  await Promise.all(accounts.slice(0, 20).map((account) => pusher.notify(account)));
  t.ok(await until(() => counts.opened === 1));
  clock.aheadMs = 60_000;
  await pusher.notify(accounts[20]!);
  t.ok(await until(() => probing !== undefined), 'it is asked whether it is back');
  await set(ANNA, 'fcm-anna');
  await pusher.notify(ANNA);
  t.ok(await until(() => counts['rate-limited'] === 1));
  await Promise.all(accounts.slice(21).map((account) => pusher.notify(account)));
  t.ok(await until(() => stores.queue.depth() === 1201));
  clock.aheadMs = 75_000;
  fcm = { kind: 'delivered', via: 'fcm' };
  probing?.resolve(failed);
  t.ok(await until(() => counts.delivered === 1), 'once it has said that it is not');
});

t.test('one account with tokens the service will not have stops nobody', async (t) => {
  const { pusher, counts, set } = await startPusher(t);
  const rows: [failure: PushOutcome, account: (n: number) => string, reason: string][] = [
    [
      { kind: 'retry', reason: 'refused', scope: 'token', via: 'fcm' },
      (n) => `other${n}@example.org`,
      'tokens of another app, however many accounts',
    ],
    [{ kind: 'retry', reason: 'refused', via: 'fcm' }, () => 'carl@example.org', 'one account, whatever its failures'],
  ];
  for (const [failure, account, reason] of rows) {
    const delivered = counts.delivered ?? 0;
    const failed = counts.refused ?? 0;
    pusher.useProvider({
      name: 'direct',
      prepare: async () => {},
      close: async () => {},
      laneOf: async () => 'fcm',
      send: async (token) => (token === 'good' ? { kind: 'delivered', via: 'fcm' } : failure),
    });
    const accounts = Array.from({ length: 20 }, (_, n) => account(n));
    await Promise.all(accounts.map((name, n) => set(name, `bad${n}`)));
    for (const name of new Set(accounts)) await pusher.notify(name);
    t.ok(await until(() => counts.refused === failed + 20));
    await set(ANNA, 'good');
    await pusher.notify(ANNA);
    t.ok(await until(() => counts.delivered === delivered + 1), reason);
    t.equal(counts.opened, undefined);
  }
});

t.test('a reload opens no circuit', async (t) => {
  const { pusher, counts, set } = await startPusher(t);
  const ends: ((outcome: PushOutcome) => void)[] = [];
  let isClosed = false;
  pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    laneOf: async () => 'fcm',
    send: () => new Promise((resolve) => void ends.push(resolve)),
    close: async () => {
      isClosed = true;
      for (const end of ends) end({ kind: 'retry', reason: 'connection', via: 'fcm' });
    },
  });
  const accounts = Array.from({ length: 60 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.ok(await until(() => ends.length === 60));
  pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    laneOf: async () => 'fcm',
    send: async () => ({ kind: 'delivered', via: 'fcm' }),
  });
  t.notOk(isClosed, 'what is on the wire gets its answer');
  ends[0]?.({ kind: 'delivered', via: 'fcm' });
  t.ok(await until(() => counts.delivered === 1));
  for (const end of ends) end({ kind: 'retry', reason: 'connection', via: 'fcm' });
  t.ok(await until(() => counts.connection === 59));
  t.equal(counts.opened, undefined, 'and tells nothing about the provider of now');
  await set(ANNA, 'a');
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.delivered === 2), 'a new push goes out at once');
  await pusher.stop(0);
  t.ok(isClosed);
});

t.test('a push keeps its name until it announces something else', async (t) => {
  const { pusher, makePusher, stores, counts, clock, set } = await startPusher(t);
  const ids: (number | undefined)[] = [];
  const provider = {
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    send: async (_: string, pushId?: number): Promise<PushOutcome> => {
      ids.push(pushId);
      return { kind: 'retry', reason: 'timeout' };
    },
  };
  pusher.useProvider(provider);
  await set(ANNA, 'a');
  await pusher.notify(ANNA);
  t.ok(await until(() => counts.timeout === 1));
  await pusher.stop(0);
  const later = await stores.reopen();
  clock.aheadMs = 10_000;
  const next = makePusher(later, provider);
  t.ok(await until(() => counts.timeout === 2));
  t.equal(ids[1], ids[0], 'the second attempt, in another process');
  await next.notify(ANNA);
  clock.aheadMs = 30_000;
  await next.notify('nobody@example.org');
  await next.stop(0);
  const last = makePusher(await later.reopen(), provider);
  t.ok(await until(() => counts.timeout === 3));
  t.not(ids[2], ids[0], 'a message that came after a failure');
  await last.stop(0);
});

t.test('a service that was left alone is not any more with another provider', async (t) => {
  const { stub, pusher, counts, set } = await startPusher(t);
  stub.answer = status(503);
  const accounts = Array.from({ length: 20 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.ok(await until(() => counts.opened === 1));
  const provider = () => createGateway({ url: stub.url, connections: 1, now: Date.now });
  pusher.useProvider(provider());
  t.equal(counts.closed, 1, 'and the metrics say so');
  pusher.useProvider(provider());
  t.equal(counts.closed, 1, 'once');
});
