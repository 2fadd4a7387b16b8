import t from 'tap';
import { createGateway } from '../src/providers/gateway.ts';
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
  await pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    serviceOf: async (token) => (token.startsWith('apns') ? 'apns' : 'fcm'),
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
  await pusher.useProvider({
    name: 'direct',
    prepare: async () => {},
    close: async () => {},
    serviceOf: async () => 'fcm',
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

t.test('a service that was left alone is not any more with another provider', async (t) => {
  const { stub, pusher, counts, set } = await startPusher(t);
  stub.answer = status(503);
  const accounts = Array.from({ length: 20 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.ok(await until(() => counts.opened === 1));
  const provider = () => createGateway({ url: stub.url, connections: 1, now: Date.now });
  await pusher.useProvider(provider());
  t.equal(counts.closed, 1, 'and the metrics say so');
  await pusher.useProvider(provider());
  t.equal(counts.closed, 1, 'once');
});
