/** The server over real sockets: order, limits, time, waiting connections, and an end that loses nothing. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import {
  createDictServer,
  type DictHandler,
  type DictRow,
  type DictServer,
  type DictServerOptions,
  found,
  type LookupReply,
  notFound,
} from '#dovecot-dict';
import { DictClient } from '#dovecot-dict/testing';
import { deferred } from './harness.ts';
import { MemoryDict } from './memory-dict.ts';

const dir = await mkdtemp(join(tmpdir(), 'dict-'));
const servers: DictServer[] = [];
t.teardown(async () => {
  await Promise.all(servers.map((server) => server.drain(0)));
  await rm(dir, { recursive: true });
});

async function start(handler: DictHandler, options: DictServerOptions = {}) {
  const path = join(dir, `${servers.length}.sock`);
  const dict = createDictServer(handler, options);
  servers.push(dict);
  await new Promise<void>((resolve) => dict.server.listen({ path, backlog: 4096 }, resolve));
  return { path, dict };
}

/** Waits for something that happens soon, at most 2 s. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; !isTrue() && i < 400; i++) await sleep(5);
}

t.test('both versions, all commands', async (t) => {
  const { path } = await start(new MemoryDict({ 'shared/n': '5' }));
  for (const version of [3, 4] as const) {
    const client = await DictClient.connect(path, { version });
    const password = Buffer.from([0xff, 0x01, 0x0d, 0x5c]);
    t.strictSame(await client.lookup('priv/k', 'u'), { kind: 'notFound' });
    t.strictSame(await client.begin('u').set('priv/k', password).commit(), { kind: 'committed' });
    t.strictSame(await client.lookup('priv/k', 'u'), { kind: 'found', values: [password] });
    t.strictSame(await client.lookup('priv/k', 'v'), { kind: 'notFound' });
    t.strictSame(await client.begin('u').increment('shared/n', -2n).commit(), { kind: 'committed' });
    t.strictSame(await client.begin('u').increment('shared/none', 1n).commit(), { kind: 'notFound' });
    client.begin('u').unset('shared/n').rollback();
    const { rows } = await client.iterate('shared/');
    t.strictSame(rows, [{ key: Buffer.from('shared/n'), values: [Buffer.from(version === 3 ? '3' : '1')] }]);
    t.strictSame(await client.begin('u').unset('priv/k').commit(), { kind: 'committed' });
    t.strictSame(await client.iterate('priv/', { user: 'u' }), { kind: 'rows', rows: [] });
    await client.close();
  }
});

t.test('pipelined commands are answered in order', async (t) => {
  const { path } = await start({
    lookup: ({ key }) => (key.toString().endsWith('0') ? sleep(1).then(() => found(key)) : found(key)),
  });
  const client = await DictClient.connect(path);
  const keys = Array.from({ length: 500 }, (_, index) => `${index}`);
  const replies = await Promise.all(keys.map((key) => client.lookup(key)));
  t.strictSame(
    replies.map((reply) => reply.kind === 'found' && `${reply.values[0]}`),
    keys,
  );
  await client.close();
});

t.test('a client that stops sending after its last command still gets the answers', async (t) => {
  const { path } = await start({ lookup: ({ key }) => sleep(10).then(() => found(key)) });
  const client = await DictClient.connect(path);
  const replies = Promise.all([client.lookup('a'), client.lookup('b')]);
  client.socket.end();
  t.strictSame(
    (await replies).map(({ kind }) => kind),
    ['found', 'found'],
  );
  await client.closed();
});

t.test('a peer that breaks the protocol is closed after the replies due, once and by code', async (t) => {
  const codes: string[] = [];
  const { path, dict } = await start(new MemoryDict(), {
    onProtocolError: ({ code, message }) => codes.push(code, message),
  });
  const client = await DictClient.connect(path);
  const reply = client.readLine();
  client.sendRaw('Lshared/k\tsecret@x\nCsecret@x\nLshared/k\n');
  t.equal(`${await reply}`, 'N');
  await client.closed();
  t.strictSame(codes.length, 2);
  t.equal(codes[0], 'bad-number');
  t.notMatch(codes[1]!, 'secret', 'the message quotes nothing');
  await until(() => dict.connections() === 0);
  t.equal(dict.connections(), 0);
});

t.test('a late handler is answered for', async (t) => {
  const never = new Promise<never>(() => {});
  const options = { handlerTimeoutMs: 20 };
  const handler: DictHandler = {
    lookup: () => never,
    commit: () => never,
    async *iterate() {
      yield { key: 'p/a', value: '' };
      await never;
    },
  };
  const { path } = await start(handler, options);
  const client = await DictClient.connect(path);
  t.match(await client.lookup('k'), { kind: 'failed' });
  t.match(await client.begin().commit(), { kind: 'uncertain' });
  t.match(await client.iterate('p/'), { kind: 'failed', rows: [{}] }, 'between rows as well');
  await client.close();

  const passdb = await start(handler, { ...options, onHandlerError: () => found('') });
  const auth = await DictClient.connect(passdb.path);
  t.strictSame(await auth.lookup('shared/passdb/x"u'), { kind: 'found', values: [Buffer.alloc(0)] });
  await auth.close();
});

t.test('silence ends a connection, a working handler is no silence', async (t) => {
  const { path } = await start({ lookup: () => sleep(3000).then(() => notFound) }, { idleTimeoutMs: 1500 });
  const working = await DictClient.connect(path);
  const silent = await DictClient.connect(path);
  const reply = working.lookup('k');
  await silent.closed();
  t.match(await reply, { kind: 'notFound' });
  await working.closed();
});

t.test('a client that does not read stops the rows, and is ended', async (t) => {
  let pulled = 0;
  let isReturned = false;
  const rows = async function* (): AsyncGenerator<DictRow> {
    try {
      for (;;) yield { key: `p/${++pulled}`, value: 'v'.repeat(1000) };
    } finally {
      isReturned = true;
    }
  };
  const { path, dict } = await start({ iterate: rows }, { idleTimeoutMs: 100 });
  const client = await DictClient.connect(path);
  client.socket.pause();
  client.sendRaw('I0\t0\tp/\n');
  await until(() => isReturned);
  t.ok(isReturned, 'the iterator is told');
  t.ok(pulled < 3000, `${pulled} rows were pulled`);
  await until(() => dict.connections() === 0);
  t.equal(dict.connections(), 0);
  await client.close();
});

t.test('a client that reads slowly costs no more the longer it lasts', async (t) => {
  const rows = function* (): Generator<DictRow> {
    for (let i = 0; i < 100; i++) yield { key: `p/${i}`, value: 'v'.repeat(100_000) };
  };
  let listeners = 0;
  let stalls = 0;
  const { path, dict } = await start({ iterate: rows });
  dict.server.on('connection', (socket) => {
    socket.on('drain', () => {
      stalls++;
      listeners = Math.max(listeners, socket.listenerCount('close'));
    });
  });
  const client = await DictClient.connect(path);
  const nap = setInterval(() => (client.socket.isPaused() ? client.socket.resume() : client.socket.pause()), 2);
  t.equal((await client.iterate('p/')).rows.length, 100);
  clearInterval(nap);
  t.ok(stalls > 5, `it stalled ${stalls} times`);
  t.ok(listeners <= 5, `${listeners} listeners at most`);
  await client.close();
});

t.test('connections over the limit wait instead of failing', async (t) => {
  let drops = 0;
  const { path, dict } = await start(new MemoryDict(), { maxConnections: 2, maxWaiting: 1, onDrop: () => drops++ });
  const first = await DictClient.connect(path);
  const second = await DictClient.connect(path);
  await Promise.all([first.lookup('k'), second.lookup('k')]);
  const third = await DictClient.connect(path);
  let isAnswered = false;
  const reply = third.lookup('k').then((answer) => {
    isAnswered = true;
    return answer;
  });
  await until(() => dict.connections() === 3);
  const fourth = await DictClient.connect(path);
  await fourth.closed();
  t.equal(drops, 1, 'beyond the waiting ones it is closed at once');
  await sleep(20);
  t.notOk(isAnswered);
  await first.close();
  t.match(await reply, { kind: 'notFound' }, 'served when there is a place');
  await Promise.all([second.close(), third.close()]);
});

t.test('draining ends the idle at once, the others after their work', async (t) => {
  const answer = deferred<LookupReply>();
  const { path, dict } = await start({ lookup: () => answer.promise, commit: () => ({ kind: 'committed' }) });
  const [idle, busy, midway] = await Promise.all([1, 2, 3].map(() => DictClient.connect(path)));
  await idle!.begin().commit();
  const reply = busy!.lookup('k');
  const transaction = midway!.begin().set('k', 'v');
  midway!.sendRaw('S1\tk\t');
  await until(() => dict.connections() === 3);
  await sleep(20);

  const drained = dict.drain(60_000);
  await idle!.closed();
  await t.rejects(DictClient.connect(path), 'nobody is accepted any more');
  t.notOk(busy!.socket.closed || midway!.socket.closed);
  answer.resolve(notFound);
  t.match(await reply, { kind: 'notFound' });
  await busy!.closed();
  midway!.sendRaw('v\n');
  t.match(await transaction.commit(), { kind: 'committed' });
  await midway!.closed();
  await drained;
  t.equal(dict.connections(), 0);
});

t.test('draining ends the rest by force, the waiting included', async (t) => {
  const { path, dict } = await start({ lookup: () => new Promise(() => {}) }, { maxConnections: 2 });
  const clients = await Promise.all([1, 2, 3, 4].map(() => DictClient.connect(path)));
  clients[0]!.sendRaw('Lk\n');
  clients[1]!.sendRaw('half a li');
  await until(() => dict.connections() === 4);
  await dict.drain(30);
  t.equal(dict.connections(), 0);
  await Promise.all(clients.map((client) => client.closed()));
});

t.test('an answer that is due is sent whole before a broken connection is closed', async (t) => {
  const value = Buffer.alloc(5_000_000, 'v');
  const { path } = await start({ lookup: () => found(value) });
  const client = await DictClient.connect(path);
  const reply = client.readLine();
  client.sendRaw('Lk\nCx\n');
  t.equal((await reply).length, value.length + 1);
  await client.closed();
});

t.test('nothing is read from a client whose answer is not ready', async (t) => {
  const answer = deferred<LookupReply>();
  const { path } = await start({ lookup: () => answer.promise });
  const client = await DictClient.connect(path);
  const reply = client.lookup('k');
  const megabytes = 8;
  client.sendRaw(Buffer.alloc(megabytes * 1_000_000, 'X\n'));
  await sleep(50);
  t.ok(client.socket.writableLength > (megabytes - 2) * 1_000_000, `${client.socket.writableLength} bytes wait`);
  answer.resolve(notFound);
  t.match(await reply, { kind: 'notFound' });
  await client.close();
});

t.test('a connection that is reset takes nothing else with it', async (t) => {
  const answer = deferred<LookupReply>();
  const { path, dict } = await start({ lookup: ({ key }) => (key.length === 1 ? answer.promise : notFound) });
  const gone = await DictClient.connect(path);
  gone.sendRaw('Lk\nLk\nLk\n');
  await sleep(10);
  await gone.close();
  answer.resolve(found('v'.repeat(1_000_000)));
  const other = await DictClient.connect(path);
  t.match(await other.lookup('other'), { kind: 'notFound' });
  await other.close();
  await until(() => dict.connections() === 0);
  t.equal(dict.connections(), 0);
});
