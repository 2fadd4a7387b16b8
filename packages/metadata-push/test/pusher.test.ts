import t from 'tap';
import { type Database, DatabaseWriteError } from '../src/database.ts';
import { MAX_UNWRITTEN } from '../src/outcome-writer.ts';
import { createGateway } from '../src/providers/gateway.ts';
import { newPush } from '../src/schedule.ts';
import { tokenId } from '../src/tokens.ts';
import { status } from './fixtures/gateway-stub.ts';
import { startPusher, until } from './fixtures/pusher.ts';

const ANNA = 'anna@example.org';
const BOB = 'bob@example.org';

t.test('a message reaches every token of its account, once', async (t) => {
  const { stub, stores, pusher, counts, set } = await startPusher(t);
  await set(ANNA, 'a', 'b');
  await set(BOB, 'c');
  t.ok(pusher.isIdle());
  const queued = pusher.notify(ANNA);
  await queued;
  await stub.received(2);
  t.same(stub.posts.toSorted(), ['a', 'b']);
  t.ok(await until(() => pusher.isIdle()), 'and then there is nothing left to do');
  t.same(counts, { delivered: 2 });
  t.equal(stores.queue.oldestQueuedAt(), undefined);
  await pusher.notify('nobody@example.org');
  t.ok(pusher.isIdle(), 'no token, no push');
});

t.test('many messages in a moment make one push', async (t) => {
  const { stub, pusher, set } = await startPusher(t);
  await set(ANNA, 'a');
  await Promise.all(Array.from({ length: 50 }, () => pusher.notify(ANNA)));
  await stub.received(1);
  t.ok(await until(() => pusher.isIdle()));
  t.same(stub.posts, ['a']);
});

t.test('a message that arrives while its push is on the wire is announced once more', async (t) => {
  const { stub, pusher, set } = await startPusher(t);
  await set(ANNA, 'a');
  const held: (() => void)[] = [];
  stub.answer = (response) => void held.push(() => response.end());
  await pusher.notify(ANNA);
  await stub.received(1);
  await Promise.all([pusher.notify(ANNA), pusher.notify(ANNA)]);
  const answeredAt = performance.now();
  stub.answer = (response) => void response.end();
  for (const release of held) release();
  await stub.received(2);
  t.ok(performance.now() - answeredAt > 950, 'after the second in which the gateway would swallow it');
  t.ok(await until(() => pusher.isIdle()));
  t.equal(stub.posts.length, 2);
});

t.test('a clock that is set back loses no push', async (t) => {
  const { stub, stores, pusher, makePusher, counts, clock, set } = await startPusher(t);
  await set(ANNA, 'a');
  stub.answer = status(500);
  await pusher.notify(ANNA);
  const key = { account: ANNA, tokenId: tokenId('a') };
  t.ok(await until(() => stores.queue.get(key)?.attempts === 1));
  await pusher.stop(0);
  clock.aheadMs = -600_000;
  stub.answer = status(200);
  const later = makePusher(stores);
  // The start dates it anew.
  t.ok(await until(() => (stores.queue.get(key)?.queuedAt ?? 0) <= Date.now() - 590_000));
  await later.notify(ANNA);
  t.ok(stores.queue.get(key), 'it is still there, and a message joins it');
  clock.aheadMs = -580_000;
  await later.stop(0);
  const last = makePusher(stores);
  t.ok(await until(() => counts.delivered === 1), 'it is sent');
  t.ok(await until(() => last.isIdle()));
  await last.notify(ANNA);
  t.ok(await until(() => counts.delivered === 2), 'so are the pushes of later messages');
});

t.test('a token record that cannot be read stops no push', async (t) => {
  const { stub, stores, pusher, makePusher, set } = await startPusher(t);
  await pusher.stop(0);
  await set(ANNA, 'a', 'broken');
  await set(BOB, 'b');
  for (const name of ['a', 'broken'])
    await stores.queue.put({ account: ANNA, tokenId: tokenId(name) }, newPush(Date.now()));
  await stores.queue.put({ account: BOB, tokenId: tokenId('b') }, newPush(Date.now()));
  await stores.database.table<unknown, [string, string]>('tokens').put([ANNA, tokenId('broken')], null);
  const gateway = createGateway({ url: stub.url, connections: 8, now: Date.now, timeoutMs: 2000 });
  // As `push = direct`, which looks at the token to find the service.
  const later = makePusher(stores, Object.assign(gateway, { laneOf: async () => undefined }));
  t.ok(await until(() => later.isIdle()));
  t.same(stub.posts.toSorted(), ['a', 'b']);
  await later.notify(ANNA);
  t.ok(await until(() => stub.posts.length === 3));
});

t.test('410 removes the token, and no other', async (t) => {
  const { stub, stores, pusher, set } = await startPusher(t);
  await set(ANNA, 'dead', 'live');
  await set(BOB, 'dead');
  stub.answer = (response, token) => status(token === 'dead' ? 410 : 200)(response);
  await pusher.notify(ANNA);
  t.ok(await until(() => pusher.isIdle()));
  t.same(
    stores.tokens.list(ANNA).map(({ token }) => token),
    ['live'],
  );
  t.equal(stores.tokens.list(BOB).length, 1, 'another account finds out for itself');
});

t.test('failures are tried again until the push is delivered or given up', async (t) => {
  const { stub, stores, pusher, counts, set } = await startPusher(t, { hurry: true, timeoutMs: 2000 });
  await set(ANNA, 'a');
  const answers = [
    status(500),
    (response: { socket: unknown }) => (response.socket as { destroy(): void }).destroy(),
    () => {},
    status(404),
  ];
  stub.answer = (response) => (answers.shift() ?? status(200))(response);
  await pusher.notify(ANNA);
  await stub.received(3);
  t.ok(await until(() => (counts.timeout ?? 0) === 1));
  t.same(counts, { 'status-5xx': 1, connection: 1, timeout: 1 });
  // The third and fourth wait of 512 and 4096 s are long even in a hurry: a new message starts anew.
  await pusher.notify(ANNA);
  await stub.received(5);
  t.ok(await until(() => pusher.isIdle()));
  t.same(counts, { 'status-5xx': 1, connection: 1, timeout: 1, 'status-4xx': 1, delivered: 1 });
  t.equal(stores.tokens.list(ANNA).length, 1, 'no failure but 410 costs a token');
});

t.test('a restart goes on where the process before it was', async (t) => {
  const { stub, stores, pusher, makePusher, clock, counts, set } = await startPusher(t);
  await set(ANNA, 'a');
  const key = { account: ANNA, tokenId: tokenId('a') };
  stub.answer = status(429, { 'retry-after': '600' });
  await pusher.notify(ANNA);
  t.ok(await until(() => stores.queue.get(key)?.attempts === 1));
  t.notOk(pusher.isIdle(), 'a push that waits is work');
  await pusher.stop(0);

  let later = await stores.reopen();
  clock.aheadMs = 599_000;
  let next = makePusher(later);
  await next.notify(ANNA);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(stub.posts.length, 1, 'Retry-After holds, for new messages too');
  await next.stop(0);

  later = await later.reopen();
  clock.aheadMs = 601_000;
  next = makePusher(later);
  await stub.received(2);
  t.ok(await until(() => later.queue.get(key)?.attempts === 2), 'the second attempt');
  await next.stop(0);

  later = await later.reopen();
  clock.aheadMs = 6 * 60 * 60 * 1000;
  next = makePusher(later);
  t.ok(await until(() => next.isIdle()));
  t.equal(stub.posts.length, 2, 'five hours later nobody is woken any more');
  t.same(counts, { 'status-4xx': 2, 'given-up': 1 });
});

t.test('a push cut off by the end of the process costs no attempt', async (t) => {
  const { stub, stores, pusher, makePusher, set } = await startPusher(t);
  await set(ANNA, 'a');
  stub.answer = () => {};
  await pusher.notify(ANNA);
  await stub.received(1);
  await pusher.stop(20);
  const later = await stores.reopen();
  t.match(later.queue.get({ account: ANNA, tokenId: tokenId('a') }), { attempts: 0 });
  stub.answer = status(200);
  const next = makePusher(later);
  await stub.received(2);
  t.ok(await until(() => next.isIdle()));
});

t.test('stopping waits for the answers of what is on the wire', async (t) => {
  const { stub, stores, pusher, counts, set } = await startPusher(t);
  await set(ANNA, 'a');
  stub.answer = (response) => void setTimeout(() => response.end(), 100);
  await pusher.notify(ANNA);
  await stub.received(1);
  await pusher.stop(2000);
  t.same(counts, { delivered: 1 });
  t.equal((await stores.reopen()).queue.depth(), 0);
});

t.test('a backlog beyond the window is sent completely, in order, few at a time', async (t) => {
  const { stub, stores, pusher, set } = await startPusher(t, { maxOnTheWire: 4 });
  const accounts = Array.from({ length: 1500 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  let now = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  stub.answer = (response) => {
    most = Math.max(most, ++now);
    const end = () => {
      now--;
      response.end();
    };
    if (stub.posts.length <= 4) waiting.push(end);
    else setImmediate(end);
  };
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  t.equal(stores.queue.depth(), 1500);
  await stub.received(4);
  for (const end of waiting) end();
  await stub.received(1500, 10_000);
  t.equal(new Set(stub.posts).size, 1500, 'each once');
  t.equal(most, 4);
  t.ok(await until(() => pusher.isIdle()));
});

t.test('forgetting an account', async (t) => {
  const { stub, stores, pusher, set } = await startPusher(t);
  await set(ANNA, 'a', 'b');
  await set(BOB, 'c');
  const held: (() => void)[] = [];
  stub.answer = (response) => void held.push(() => response.end());
  await pusher.notify(ANNA);
  await stub.received(2);
  await pusher.forget(ANNA);
  t.same(stores.tokens.list(ANNA), []);
  t.equal(stores.queue.depth(), 0, 'no push stays behind');
  t.equal(stores.tokens.count(), 1, 'others keep theirs');
  // The same account may be made anew at once; its first message must not get lost in the answer to the old push.
  await set(ANNA, 'a');
  await pusher.notify(ANNA);
  const madeAt = stores.queue.oldestQueuedAt();
  for (const release of held) release();
  t.ok(await until(() => stores.queue.get({ account: ANNA, tokenId: tokenId('a') })!.dueAt > madeAt!));
  t.equal(stores.queue.depth(), 1, 'its push waits for the second to be over');
});

t.test('another gateway takes over', async (t) => {
  const { stub, pusher, set } = await startPusher(t, { url: 'http://127.0.0.1:1/' });
  await set(ANNA, 'a');
  pusher.useProvider(createGateway({ url: stub.url, connections: 1, now: Date.now }));
  await pusher.notify(ANNA);
  await stub.received(1);
  t.ok(await until(() => pusher.isIdle()));
});

t.test('a provider or a store that throws stops nothing for good', async (t) => {
  const { stores, pusher, set } = await startPusher(t);
  await set(ANNA, 'a');
  let calls = 0;
  pusher.useProvider({
    name: 'broken',
    prepare: async () => {},
    close: async () => {},
    send: async () => {
      calls++;
      throw new Error('a bug');
    },
  });
  await pusher.notify(ANNA);
  t.ok(await until(() => calls === 1));
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(calls, 1, 'sending pauses instead of going in circles');
  t.equal(stores.queue.depth(), 1, 'and the push is kept');
});

/** The disk takes nothing until there is room again. */
function fill(database: Database) {
  const { write, writeLater } = database;
  const disk = {
    tries: 0,
    /** Writes that have yet to fail. */
    writing: 0,
    /** What is called then comes upon no write that is under way. */
    async isAtRest() {
      do await new Promise((resolve) => setImmediate(resolve));
      while (disk.writing > 0);
    },
    makeRoom: () => void Object.assign(database, { write, writeLater }),
  };
  const fail = async () => {
    disk.tries++;
    disk.writing++;
    await new Promise((resolve) => setImmediate(resolve));
    disk.writing--;
    throw new DatabaseWriteError('commit-failed');
  };
  Object.assign(database, { write: fail, writeLater: fail });
  return disk;
}

t.test('on a full disk a push is sent once, and only its outcome is written again', async (t) => {
  const { stub, stores, pusher, counts, set } = await startPusher(t, { pauseMs: 20 });
  await set(ANNA, 'a', 'b');
  const held: (() => void)[] = [];
  stub.answer = (response, token) => void held.push(() => status(token === 'a' ? 200 : 500)(response));
  await pusher.notify(ANNA);
  await stub.received(2);
  const disk = fill(stores.database);
  for (const release of held) release();
  t.ok(await until(() => disk.tries > 10));
  t.equal(stub.posts.length, 2, 'sent once');
  t.equal(stores.queue.depth(), 2);
  t.notOk(pusher.isIdle());
  // Its promise is the record on disk, as for a push on the wire. While an outcome is being written, a message needs a record of
  // its own, which this disk does not take.
  await disk.isAtRest();
  await pusher.notify(ANNA);
  stub.answer = (response) => void response.end();
  disk.makeRoom();
  const keyOf = (token: string) => ({ account: ANNA, tokenId: tokenId(token) });
  t.ok(await until(() => stores.queue.get(keyOf('b'))?.attempts === 1), 'a failed one is put off');
  await stub.received(3);
  t.same(stub.posts.slice(2), ['a'], 'a message of that time is announced');
  t.ok(await until(() => stores.queue.depth() === 1));
  t.same(counts, { delivered: 2, 'status-5xx': 1 });
});

t.test('on a full disk no more is sent than can be remembered', async (t) => {
  const { stub, stores, pusher, set } = await startPusher(t, { pauseMs: 20, maxOnTheWire: 64 });
  const accounts = Array.from({ length: 2000 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => set(account, `token-of-${account}`)));
  let disk: ReturnType<typeof fill> | undefined;
  stub.answer = (response) => {
    disk ??= fill(stores.database);
    response.end();
  };
  await Promise.all(accounts.map((account) => pusher.notify(account)));
  await stub.received(MAX_UNWRITTEN, 10_000);
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.ok(stub.posts.length < MAX_UNWRITTEN + 64);
  disk!.makeRoom();
  await stub.received(2000, 10_000);
  t.ok(await until(() => pusher.isIdle()));
  t.equal(new Set(stub.posts).size, 2000);
  t.equal(stub.posts.length, 2000, 'each once');
});
