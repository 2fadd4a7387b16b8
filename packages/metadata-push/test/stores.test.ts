import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from 'lmdb';
import t from 'tap';
import { ConfigError, type Logger } from '#core';
import { Database } from '../src/database.ts';
import { type PushKey, QueueStore } from '../src/queue-store.ts';
import { newPush, retryPush } from '../src/schedule.ts';
import { TokenStore } from '../src/token-store.ts';
import { addToken, TOKEN_LIFETIME_MS, tokenId } from '../src/tokens.ts';
import { openStores, silent } from './fixtures/store.ts';

const NOW = 1_800_000_000_000;
const DAY = 24 * 60 * 60 * 1000;
const ANNA = 'anna@example.org';
const BOB = 'bob@example.org';
const add =
  (token: string, now = NOW) =>
  (list: Parameters<typeof addToken>[0]) =>
    addToken(list, token, now);

t.test('tokens', async (t) => {
  const { tokens, reopen } = openStores(t);
  const first = tokens.update(ANNA, add('a'));
  t.same(tokens.list(ANNA), [{ token: 'a', setAt: NOW }], 'a write is seen at once');
  const second = tokens.update(ANNA, add('b'));
  t.same(
    tokens.list(ANNA).map(({ token }) => token),
    ['a', 'b'],
    'writes of one moment add up',
  );
  t.same(tokens.get(ANNA, tokenId('b')), { token: 'b', setAt: NOW });
  await Promise.all([first, second, tokens.update(BOB, add('a')), tokens.update('anna@example.orga', add('x'))]);
  t.equal(tokens.count(), 4);
  await tokens.update(ANNA, add('a', NOW + DAY));
  t.equal(tokens.count(), 4, 'a refreshed token is the same record');

  const later = (await reopen()).tokens;
  t.same(new Set(later.list(ANNA).map(({ token }) => token)), new Set(['a', 'b']), 'kept');
  t.equal(later.get(ANNA, tokenId('a'))?.setAt, NOW + DAY);
  await later.update(ANNA, () => []);
  t.same(later.list(ANNA), [], 'none any more');
  t.equal(later.get(ANNA, tokenId('a')), undefined);
  t.equal(later.count(), 2, 'and nobody else lost one');
});

t.test('tokens of accounts nobody uses are removed once a day', async (t) => {
  const { tokens } = openStores(t);
  const writes = Array.from({ length: 1200 }, (_, n) =>
    tokens.update(`u${n}@example.org`, () => [
      { token: 'old', setAt: NOW },
      ...(n % 3 === 0 ? [{ token: 'new', setAt: NOW + DAY }] : []),
    ]),
  );
  await Promise.all(writes);
  await tokens.sweep(NOW + TOKEN_LIFETIME_MS);
  t.equal(tokens.count(), 400);
  t.same(tokens.list('u3@example.org'), [{ token: 'new', setAt: NOW + DAY }]);
  await tokens.sweep(NOW + TOKEN_LIFETIME_MS + DAY - 1);
  t.equal(tokens.count(), 400, 'not again within a day');
  await tokens.sweep(NOW + TOKEN_LIFETIME_MS + DAY);
  t.equal(tokens.count(), 0);
});

t.test('a sweep that is to end leaves the rest to the next', async (t) => {
  const { tokens } = openStores(t);
  const accounts = Array.from({ length: 1200 }, (_, n) => `u${n}@example.org`);
  await Promise.all(accounts.map((account) => tokens.update(account, () => [{ token: 'old', setAt: NOW }])));
  const end = new AbortController();
  const swept = tokens.sweep(NOW + TOKEN_LIFETIME_MS, end.signal);
  end.abort();
  await swept;
  t.equal(tokens.count(), 700);
  await tokens.sweep(NOW + TOKEN_LIFETIME_MS);
  t.equal(tokens.count(), 0, 'which does not wait a day');
});

const keyOf = (token: string, account = ANNA): PushKey => ({ account, tokenId: tokenId(token) });

t.test('the push queue', async (t) => {
  const { queue, reopen } = openStores(t);
  const never = () => false;
  queue.put(keyOf('a'), newPush(NOW));
  t.same(queue.get(keyOf('a')), newPush(NOW), 'seen at once');
  t.same(queue.due(NOW, 10, never), [], 'but not given out before it is on disk');
  await queue.put(keyOf('b'), newPush(NOW - 1000));
  await queue.put(keyOf('c', BOB), newPush(NOW + 1000));
  t.equal(queue.depth(), 3);
  t.equal(queue.oldestQueuedAt(), NOW - 1000);
  t.same(
    queue.due(NOW, 10, never).map(({ key }) => key),
    [keyOf('b'), keyOf('a')],
    'the longest due first',
  );
  t.same(
    queue.due(NOW, 1, never).map(({ key }) => key),
    [keyOf('b')],
    'no more than asked for',
  );
  t.same(
    queue.due(NOW, 1, (text) => text.endsWith(tokenId('b'))).map(({ key }) => key),
    [keyOf('a')],
    'not those skipped',
  );
  t.equal(queue.nextDueAt(NOW), NOW + 1000);
  t.same(queue.keysOf(ANNA).length, 2);

  const retried = retryPush(newPush(NOW - 1000), NOW, () => 0, undefined)!;
  const isWritten = queue.put(keyOf('b'), retried);
  t.same(
    queue.due(NOW, 10, never).map(({ key }) => key),
    [keyOf('a')],
    'one put off in this moment is not given out',
  );
  queue.remove(keyOf('a'));
  t.same(queue.due(NOW, 10, never), [], 'nor is one removed');
  await isWritten;
  await queue.durable();
  t.equal(queue.depth(), 2);

  const later = (await reopen()).queue;
  t.same(later.get(keyOf('b')), retried, 'attempts are kept');
  t.equal(later.oldestQueuedAt(), NOW - 1000);
  t.same(
    later.due(NOW + DAY, 10, never).map(({ key }) => key),
    [keyOf('c', BOB), keyOf('b')],
  );
  await Promise.all([later.remove(keyOf('b')), later.remove(keyOf('c', BOB)), later.remove(keyOf('none'))]);
  t.equal(later.depth(), 0);
  t.equal(later.oldestQueuedAt(), undefined);
  t.equal(later.nextDueAt(0), undefined, 'the indexes are empty too');
});

t.test('a push of the older form is sent, and a record that is none stops no other', async (t) => {
  const { queue, database } = openStores(t);
  const items = database.table<unknown, [string, string]>('queue');
  const put = (token: string, record: unknown) => items.put([ANNA, tokenId(token)], record);
  const names = ['older', 'null', 'text', 'short', 'nan', 'b'];
  await Promise.all(names.map((token, n) => queue.put(keyOf(token), newPush(NOW - 1000 + n))));
  const older = { ...newPush(NOW - 1000), attempts: 2 };
  await Promise.all([
    put('older', older),
    put('null', null),
    put('text', 'x'),
    put('short', [NOW]),
    put('nan', { dueAt: 'x' }),
  ]);
  const due = queue.due(NOW, 10, () => false);
  t.same(due, [
    { key: keyOf('older'), item: older },
    { key: keyOf('b'), item: newPush(NOW - 995) },
  ]);
  await queue.durable();
  t.equal(queue.depth(), 2, 'the others are gone');
  await Promise.all(due.map(({ key }) => queue.remove(key)));
  t.equal(queue.oldestQueuedAt(), undefined, 'from the indexes too');
  t.equal(queue.nextDueAt(0), undefined);

  await queue.put(keyOf('a'), newPush(NOW));
  await database.table<unknown, [string, string]>('queue').put([ANNA, tokenId('a')], null);
  await queue.put(keyOf('a'), newPush(NOW + 1));
  t.same(queue.get(keyOf('a')), newPush(NOW + 1), 'a new message takes the place of one');
  t.equal(queue.oldestQueuedAt(), NOW + 1);
  await items.put([ANNA, tokenId('a')], null);
  await queue.remove(keyOf('a'));
  t.equal(queue.depth(), 0, 'forgetting the account removes one');
});

t.test('a record that is no JSON is dropped', async (t) => {
  const { queue, database, directory } = openStores(t);
  await queue.put(keyOf('a'), newPush(NOW));
  await queue.put(keyOf('b'), newPush(NOW));
  await database.close();
  const raw = open({ path: join(directory, 'push.mdb'), noSubdir: true, maxDbs: 8 });
  await raw
    .openDB<Buffer, [string, string]>('queue', { encoding: 'binary' })
    .put([ANNA, tokenId('a')], Buffer.from('{'));
  await raw.close();
  const later = openStores(t, directory).queue;
  t.same(
    later.due(NOW, 10, () => false).map(({ key }) => key),
    [keyOf('b')],
  );
  await later.durable();
  t.equal(later.depth(), 1);
});

t.test('a token record that is none is dropped, and stops no other', async (t) => {
  const { database, tokens, directory } = openStores(t);
  const names = ['good', 'damaged', 'null', 'text', 'undated', 'moved'];
  await Promise.all(names.map((name) => tokens.update(ANNA, add(name))));
  await tokens.update(BOB, add('damaged'));
  await database.close();
  const raw = open({ path: join(directory, 'push.mdb'), noSubdir: true, maxDbs: 8 });
  const records = raw.openDB<Buffer, [string, string]>('tokens', { encoding: 'binary' });
  const put = (account: string, name: string, text: string) => records.put([account, tokenId(name)], Buffer.from(text));
  await put(ANNA, 'damaged', '{"token":');
  await put(ANNA, 'null', 'null');
  await put(ANNA, 'text', '"x"');
  await put(ANNA, 'undated', '{"token":"undated"}');
  await put(ANNA, 'moved', JSON.stringify({ token: 'goop', setAt: NOW }));
  await put(BOB, 'damaged', '\0');
  await raw.close();

  const lines: unknown[] = [];
  const later = Database.open(directory, silent);
  const log = { ...silent, error: (message: string, fields?: object) => void lines.push([message, fields]) } as Logger;
  const store = new TokenStore(later, log);
  t.same(store.list(ANNA), [{ token: 'good', setAt: NOW }]);
  t.same(store.list(ANNA), [{ token: 'good', setAt: NOW }]);
  t.equal(store.get(BOB, tokenId('damaged')), undefined);
  t.same(
    lines,
    [
      ['unreadable device tokens removed', { count: 5 }],
      ['unreadable device tokens removed', { count: 1 }],
    ],
    'counted once, without content',
  );
  await later.durable();
  t.equal(store.count(), 1);
  await Promise.all([store.update(ANNA, add('damaged')), store.update(BOB, add('damaged'))]);
  t.same(store.list(BOB), [{ token: 'damaged', setAt: NOW }], 'the account can set it again');
  t.equal(store.list(ANNA).length, 2);
  await later.table<unknown, [string, string]>('tokens').put([BOB, tokenId('damaged')], null);
  await store.sweep(NOW + TOKEN_LIFETIME_MS - 1);
  await later.durable();
  t.equal(store.count(), 2, 'the sweep removes one too');
  await later.table<unknown, [string, string]>('tokens').put([ANNA, tokenId('good')], null);
  await store.update(ANNA, () => []);
  t.equal(store.count(), 0, 'and the account can be forgotten');
  await later.close();
});

t.test('tokens set in the future are dated anew by the sweep', async (t) => {
  const { tokens } = openStores(t);
  await tokens.update(ANNA, () => [
    { token: 'future', setAt: NOW + 1000 * DAY },
    { token: 'now', setAt: NOW },
  ]);
  await tokens.sweep(NOW);
  t.same(tokens.get(ANNA, tokenId('future')), { token: 'future', setAt: NOW });
  t.equal(tokens.count(), 2);
  await tokens.sweep(NOW + TOKEN_LIFETIME_MS);
  t.equal(tokens.count(), 0, 'so they age');
});

t.test('pushes queued in the future are dated anew', async (t) => {
  const { queue } = openStores(t);
  await queue.put(keyOf('a'), newPush(NOW + DAY));
  await queue.put(keyOf('b'), newPush(NOW));
  await queue.rebase(NOW);
  t.same(queue.get(keyOf('a')), newPush(NOW));
  t.equal(queue.due(NOW, 10, () => false).length, 2);
  t.equal(queue.oldestQueuedAt(), NOW);
});

t.test('writes of one turn of the event loop happen together', async (t) => {
  const { tokens, queue, database } = openStores(t);
  const promises = [tokens.update(ANNA, add('a')), queue.put(keyOf('a'), newPush(NOW)), tokens.update(BOB, add('b'))];
  t.equal(new Set(promises).size, 1, 'one transaction, one sync');
  t.equal(database.durable(), promises[0]);
  await promises[0];
  t.not(tokens.update(BOB, add('c')), promises[0], 'a later one is another');
  await database.durable();
});

t.test('kill -9 in the middle of writing loses nothing that was acknowledged', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'metadata-push-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  for (const run of [1, 2]) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/write-tokens.ts'), directory, `${run}`]);
    t.teardown(() => child.kill('SIGKILL'));
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.length > 4000 * run) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const acknowledged = text.split('\n').slice(0, -1);
    t.ok(acknowledged.length > 100, `run ${run} wrote`);
    const database = Database.open(directory, silent);
    const queue = new QueueStore(database, silent);
    const lost = acknowledged.filter((token) => {
      const account = `${/writer\d/.exec(token)![0]}@example.org`;
      return queue.get(keyOf(token, account)) === undefined;
    });
    t.same(lost, [], 'every acknowledged push is there');
    const due = queue.due(Date.now() + DAY, Number.MAX_SAFE_INTEGER, () => false);
    t.equal(due.length, queue.depth(), 'and the index knows each of them');
    await database.close();
  }
});

t.test('a full disk fails writes, and nothing else', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'metadata-push-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  // A limit of 300 KiB on files stands for the disk; the kernel refuses what goes beyond it.
  const script = `trap '' XFSZ; ulimit -f 600; exec "$0" "$@"`;
  const fixture = join(import.meta.dirname, 'fixtures/fill-disk.ts');
  const child = spawn('sh', ['-c', script, process.execPath, fixture, directory], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, 'close');
  t.equal(code, 0, 'the process goes on');
  const { written, errors, afterwards } = JSON.parse(text);
  t.ok(written > 50);
  t.same(errors, Array(5).fill('commit-failed'));
  t.equal(afterwards, 'written', 'and writes again when there is room');
  const { tokens } = openStores(t, directory);
  t.equal(tokens.count(), written + 1 - 10, 'exactly what was acknowledged is there');
});

t.test('opening', async (t) => {
  t.test('a database of a newer version is left alone', async (t) => {
    const { database, directory } = openStores(t);
    await database.table<number, string>('meta').put('format', 2);
    await database.close();
    t.throws(() => Database.open(directory, silent), ConfigError);
  });

  t.test('an unreadable database is set aside', async (t) => {
    for (const garbage of [Buffer.alloc(40_960, 'x'), Buffer.from('short'), Buffer.alloc(8192)]) {
      const directory = mkdtempSync(join(tmpdir(), 'metadata-push-'));
      t.teardown(() => rmSync(directory, { recursive: true, force: true }));
      writeFileSync(join(directory, 'push.mdb'), garbage);
      const database = Database.open(directory, silent);
      const queue = new QueueStore(database, silent);
      await queue.put(keyOf('a'), newPush(NOW));
      t.equal(queue.depth(), 1, 'and the new one works');
      t.same(readFileSync(join(directory, 'push.mdb.corrupt')), garbage);
      await database.close();
    }
  });

  t.test('so is one that lost its end', async (t) => {
    const { tokens, reopen, directory } = openStores(t);
    await Promise.all(Array.from({ length: 500 }, (_, n) => tokens.update(`u${n}@example.org`, add('x'.repeat(900)))));
    await (await reopen()).database.close();
    truncateSync(join(directory, 'push.mdb'), 16_384);
    const database = Database.open(directory, silent);
    t.ok(existsSync(join(directory, 'push.mdb.corrupt')));
    await database.close();
  });

  t.test('nobody else can read the tokens', async (t) => {
    const { directory } = openStores(t);
    t.equal(statSync(join(directory, 'push.mdb')).mode & 0o777, 0o600);
  });

  t.test('a state_dir that cannot be used', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'metadata-push-'));
    t.teardown(() => rmSync(directory, { recursive: true, force: true }));
    const file = join(directory, 'file');
    writeFileSync(file, '');
    t.throws(() => Database.open(file, silent), ConfigError, 'a file');
    t.throws(() => Database.open(join(file, 'state'), silent), ConfigError, 'below a file');
    Database.open(join(directory, 'a/b'), silent).close();
    t.ok(existsSync(join(directory, 'a/b/push.mdb')), 'directories are made');
    if (process.getuid?.() !== 0) {
      chmodSync(directory, 0o500);
      t.throws(() => Database.open(directory, silent), ConfigError, 'not ours to write to');
      chmodSync(directory, 0o700);
    }
  });
});
