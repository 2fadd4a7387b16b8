/** The key store over real sockets, against a DNS server of ours that shares no code with it; and against Node's own resolver. */

import { Resolver } from 'node:dns/promises';
import t from 'tap';
import { ConfigError } from '#core';
import { DnsStub } from '../../../../test/support/dns-stub.ts';
import { lookUpTxt, systemDnsServers } from '../../src/dkim/dns-client.ts';
import { parseDnsServer } from '../../src/dkim/dns-server.ts';
import { createKeyStore, DnsKeyStore } from '../../src/dkim/key-store.ts';

const stub = await DnsStub.start();
t.teardown(() => stub.stop());
const server = { address: '127.0.0.1', port: stub.port };
/** Enough on a busy machine where an answer comes. */
const PATIENT = [5000, 5000];
/** Where none comes. */
const QUICK = [100, 100];
const LONG = 'k'.repeat(700);

stub.zone.set('one.example', { txt: ['v=DKIM1; p=a'], ttl: 120 });
stub.zone.set('long.example', { txt: [LONG, 'two'] });
stub.zone.set('chased.example', { cname: 'one.example', ttl: 10, isChased: true });
stub.zone.set('alias.example', { cname: 'one.example', ttl: 10 });
stub.zone.set('far.example', { cname: 'alias.example', ttl: 500 });
stub.zone.set('loop.example', { cname: 'loop2.example' });
stub.zone.set('loop2.example', { cname: 'loop.example' });
stub.zone.set('dangling.example', { cname: 'nothing.example' });
stub.zone.set('empty.example', { txt: [] });
stub.zone.set('servfail.example', { rcode: 2 });
stub.zone.set('refused.example', { rcode: 5 });
stub.zone.set('garbage.example', { raw: () => Buffer.from('garbage') });

t.test('look-ups', async (t) => {
  const found = (texts: string[], ttlSeconds: number) => ({ status: 'found', texts, ttlSeconds });
  const rows: readonly [name: string, result: object, why: string][] = [
    ['one.example', found(['v=DKIM1; p=a'], 120), 'a record'],
    ['long.example', found([LONG, 'two'], 300), 'several, one of several strings'],
    ['chased.example', found(['v=DKIM1; p=a'], 10), 'an alias, with what is there'],
    ['alias.example', found(['v=DKIM1; p=a'], 10), 'an alias the server does not follow'],
    ['far.example', found(['v=DKIM1; p=a'], 10), 'two of them'],
    ['loop.example', { status: 'temporary' }, 'aliases in a circle say nothing about a key'],
    ['dangling.example', { status: 'missing' }, 'an alias to nowhere'],
    ['none.example', { status: 'missing' }, 'no such name'],
    ['empty.example', { status: 'missing' }, 'a name without such records'],
    ['a..b', { status: 'missing' }, 'no name at all'],
    ['servfail.example', { status: 'temporary' }, 'a server in trouble'],
    ['refused.example', { status: 'temporary' }, 'a server that does not want to'],
    ['garbage.example', { status: 'temporary' }, 'a server that talks nonsense'],
  ];
  for (const [name, result, why] of rows) {
    const isAnswered = !('status' in result && result.status === 'temporary');
    t.same(await lookUpTxt([server], name, isAnswered ? PATIENT : QUICK), result, why);
  }
});

t.test('the stub speaks DNS', async (t) => {
  const resolver = new Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([stub.address]);
  t.same(await resolver.resolveTxt('one.example'), [['v=DKIM1; p=a']]);
  t.same((await resolver.resolveTxt('chased.example')).flat(), ['v=DKIM1; p=a']);
  t.same(
    (await resolver.resolveTxt('long.example')).map((strings) => strings.join('')),
    [LONG, 'two'],
  );
  await t.rejects(resolver.resolveTxt('none.example'), { code: 'ENOTFOUND' });
});

t.test('long answers come by TCP', async (t) => {
  stub.isTruncating = true;
  stub.queries.length = 0;
  t.match(await lookUpTxt([server], 'long.example', [5000]), { status: 'found', texts: [LONG, 'two'] });
  t.same(stub.queries, ['udp long.example', 'tcp long.example']);
  stub.isTruncating = false;
});

t.test('another server is asked, and a second time', async (t) => {
  const closed = { address: '127.0.0.1', port: 1 };
  t.match(await lookUpTxt([closed, server], 'one.example', PATIENT), { status: 'found' }, 'the first is not there');
  t.match(await lookUpTxt([closed], 'one.example', QUICK), { status: 'temporary' }, 'none is there');
  t.match(await lookUpTxt([], 'one.example', QUICK), { status: 'temporary' }, 'there are none');
  stub.isSilent = true;
  stub.queries.length = 0;
  const began = performance.now();
  t.match(await lookUpTxt([server], 'one.example', QUICK), { status: 'temporary' }, 'no answer');
  t.ok(performance.now() - began < 5000);
  t.equal(stub.queries.length, 2);
  setTimeout(() => {
    stub.isSilent = false;
  }, 150);
  t.match(
    await lookUpTxt([server], 'one.example', [300, 10_000]),
    { status: 'found' },
    'an answer to the second query',
  );
});

t.test('servers that cannot be reached at all', async (t) => {
  // No route, no permission, no interface: errors of connecting, which must not end the daemon.
  for (const address of ['255.255.255.255', 'fe80::1%nosuch0', '2001:db8::1']) {
    const servers = [{ address, port: 53 }, server];
    t.match(await lookUpTxt(servers, 'one.example', [500, 5000]), { status: 'found' }, address);
  }
});

t.test('a look-up ends in time, however many servers and aliases there are', async (t) => {
  stub.isSilent = true;
  const began = performance.now();
  t.match(await lookUpTxt([server, server, server], 'one.example', [2000, 2000], 500), { status: 'temporary' });
  t.ok(performance.now() - began < 5000);
  stub.isSilent = false;
});

t.test('what a hostile zone cannot do', async (t) => {
  const never = new DnsKeyStore({ now: () => 0, lookUpTxt: () => new Promise(() => {}) });
  for (let i = 0; i < 1000; i++) void never.lookUp(`${i}.example`, false);
  t.same(await never.lookUp('more.example', false), { status: 'temporary' }, 'no more look-ups at once than may be');

  const texts = ['v=DKIM1; p=a', 'x'.repeat(60_000)];
  const full = new DnsKeyStore({ now: () => 0, lookUpTxt: async () => ({ status: 'found', texts, ttlSeconds: 9999 }) });
  t.match(await full.lookUp('a.example', false), { texts, isCached: false });
  t.equal(full.size, 0, 'what fills memory is used, and not remembered');
});

t.test('what is remembered', async (t) => {
  let nowMs = 1000;
  let answer: Awaited<ReturnType<typeof lookUpTxt>> = { status: 'found', texts: ['key'], ttlSeconds: 60 };
  let asked = 0;
  const store = new DnsKeyStore({
    now: () => nowMs,
    maxCachedNames: 3,
    lookUpTxt: async () => {
      asked++;
      return answer;
    },
  });
  const fresh = { status: 'found', texts: ['key'], isCached: false };
  const cached = { ...fresh, isCached: true };
  t.same(await store.lookUp('a', false), fresh);
  t.same(await store.lookUp('a', false), cached);
  t.same(await store.lookUp('a', true), fresh, 'asked for');
  nowMs += 59_999;
  t.same(await store.lookUp('a', false), cached, 'as long as it lives');
  nowMs += 1;
  answer = { status: 'found', texts: ['new'], ttlSeconds: 0 };
  t.same(await store.lookUp('a', false), { ...fresh, texts: ['new'] }, 'no longer');
  t.same(await store.lookUp('a', false), { ...fresh, texts: ['new'] }, 'not at all with no time to live');

  for (const status of ['missing', 'temporary'] as const) {
    asked = 0;
    answer = { status };
    t.same(await store.lookUp(status, false), { status });
    t.same(await store.lookUp(status, false), { status });
    t.equal(asked, 2, `${status} is not remembered`);
  }

  answer = { status: 'found', texts: ['key'], ttlSeconds: 60 };
  await store.lookUp('b', false);
  answer = { status: 'temporary' };
  t.same(await store.lookUp('b', true), { status: 'temporary' });
  t.same(await store.lookUp('b', false), cached, 'trouble does not take away what was found');
  answer = { status: 'missing' };
  t.same(await store.lookUp('b', true), { status: 'missing' });
  t.same(await store.lookUp('b', false), { status: 'missing' }, 'a key that is gone is forgotten');

  answer = { status: 'found', texts: ['key'], ttlSeconds: 10_000_000 };
  for (const name of ['c', 'd', 'e', 'f']) await store.lookUp(name, false);
  t.equal(store.size, 3, 'no more names than may be');
  t.match(await store.lookUp('f', false), { isCached: true });
  t.match(await store.lookUp('c', false), { isCached: false }, 'the one remembered longest went first');
  nowMs += 86_400_000;
  t.match(await store.lookUp('f', false), { isCached: false }, 'a day is the longest');
});

t.test('look-ups of one name at the same time are one', async (t) => {
  stub.queries.length = 0;
  const store = createKeyStore([stub.address], () => 0);
  const answers = await Promise.all(Array.from({ length: 50 }, () => store.lookUp('one.example', false)));
  t.equal(stub.queries.length, 1);
  t.ok(answers.every(({ status }) => status === 'found'));
});

t.test('who waited for the same answer goes on one after another', async (t) => {
  let turn = 0;
  const count = () => {
    turn++;
    if (turn < 1000) setImmediate(count);
  };
  const store = new DnsKeyStore({
    now: () => 0,
    lookUpTxt: async () => ({ status: 'found', texts: [], ttlSeconds: 0 }),
  });
  count();
  const turns = await Promise.all(Array.from({ length: 20 }, () => store.lookUp('a', false).then(() => turn)));
  t.equal(new Set(turns).size, 20, 'no two without a turn of the event loop between');
});

t.test('addresses of servers', async (t) => {
  for (const [text, parsed] of [
    ['127.0.0.1', { address: '127.0.0.1', port: 53 }],
    ['127.0.0.1:5353', { address: '127.0.0.1', port: 5353 }],
    ['::1', { address: '::1', port: 53 }],
    ['[::1]:5353', { address: '::1', port: 5353 }],
    ['fe80::1%eth0', { address: 'fe80::1%eth0', port: 53 }],
    ['localhost', undefined],
    ['127.0.0.1:0', undefined],
    ['127.0.0.1:65536', undefined],
    ['127.0.0.1:', undefined],
    ['', undefined],
  ] as const) {
    t.same(parseDnsServer(text), parsed, text);
  }
  t.throws(() => createKeyStore(['resolver.example'], () => 0), ConfigError);
  t.ok(Array.isArray(systemDnsServers()));
});
