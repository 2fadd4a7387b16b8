/** Damage below the first pages of the database: it ends a process, and the next one finds it and begins anew. */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Logger } from '#core';
import { Database } from '../src/database.ts';
import { META, readNewestMeta } from '../src/database-meta.ts';
import { openRoot } from '../src/database-root.ts';
import { checkDatabase } from '../src/database-use.ts';
import { QueueStore } from '../src/queue-store.ts';
import { newPush } from '../src/schedule.ts';
import { TokenStore } from '../src/token-store.ts';
import { tokenId } from '../src/tokens.ts';
import { openStores, silent } from './fixtures/store.ts';
import { directory as daemonDirectory } from './support/certificates.ts';
import { startDaemon } from './support/daemon.ts';

const NOW = 1_800_000_000_000;
const PAGE_BYTES = 4096;
const TOKENS = 1000;
const accountOf = (n: number) => `u${n}@example.org`;
const tokenOf = (n: number) => `secret-${n}-${'x'.repeat(n % 97 === 0 ? 4000 : 900)}`;

/** A database as a process of its own would have left it that was killed, and what it held. */
async function leftOpen(t: Test) {
  const { directory, database, tokens, queue } = openStores(t);
  for (let n = 0; n < TOKENS; n++) {
    void tokens.update(accountOf(n), () => [{ token: tokenOf(n), setAt: NOW }]);
    void queue.put({ account: accountOf(n), tokenId: tokenId(tokenOf(n)) }, newPush(NOW + n));
  }
  // One transaction, so that every run has the same pages; the next makes some free.
  await tokens.update('gone@example.org', () => [{ token: 'gone', setAt: NOW }]);
  await tokens.update('gone@example.org', () => []);
  await database.close();
  const path = join(directory, 'push.mdb');
  writeFileSync(`${path}.open`, '0\n');
  return { directory, path };
}

function record() {
  const lines: { readonly level: string; readonly text: string }[] = [];
  const at = (level: string) => (message: string, fields?: object) =>
    void lines.push({ level, text: message + JSON.stringify(fields ?? {}) });
  const log = { ...silent, info: at('info'), warn: at('warn'), error: at('error') } as Logger;
  return { log, lines };
}

/** Pseudo-random numbers, the same in each run. */
function numbers(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Damage = (file: Buffer) => void;
const inPages =
  (work: (page: Buffer) => void): Damage =>
  (file) => {
    const first = Math.floor(file.length / PAGE_BYTES / 10);
    for (let n = first; n < first + 4; n++) work(file.subarray(n * PAGE_BYTES, (n + 1) * PAGE_BYTES));
  };
const next = numbers(5);
const DAMAGES: readonly [name: string, damage: Damage][] = [
  ['zeros', inPages((page) => page.fill(0))],
  ['noise', inPages((page) => void page.set(Array.from(page, () => next(256))))],
  [
    'flipped bits',
    (file) => {
      for (let n = 0; n < 64; n++) {
        const page = 2 + next(file.length / PAGE_BYTES - 2);
        file[page * PAGE_BYTES + next(64)]! ^= 1 << next(8);
      }
    },
  ],
];

t.test('a damaged database is set aside by the process after the one it ended', async (t) => {
  for (const [name, damage] of DAMAGES) {
    await t.test(name, async (t) => {
      const { directory, path } = await leftOpen(t);
      const file = readFileSync(path);
      damage(file);
      writeFileSync(path, file);
      writeFileSync(`${path}.corrupt`, 'an earlier one');
      const { log, lines } = record();
      const database = Database.open(directory, log);
      t.ok(readFileSync(`${path}.corrupt`).equals(file), 'kept as it was, in the place of an earlier one');
      t.equal(readdirSync(directory).filter((entry) => entry.includes('corrupt')).length, 1);
      t.equal(lines.length, 1, 'said once');
      t.match(lines[0], { level: 'error', text: /unreadable.*push\.mdb\.corrupt/ });
      t.notMatch(lines[0]!.text, /secret|@/, 'without anything that was in it');
      const tokens = new TokenStore(database, log);
      t.equal(tokens.count(), 0);
      await tokens.update(accountOf(1), () => [{ token: 'a', setAt: NOW }]);
      t.equal(tokens.count(), 1, 'the new one works');
      await database.close();
      t.notOk(existsSync(`${path}.open`), 'a proper end');
    });
  }
});

t.test('a sound one keeps everything after an abnormal end', async (t) => {
  const { directory, path } = await leftOpen(t);
  const { log, lines } = record();
  const database = Database.open(directory, log);
  t.match(lines, [{ level: 'info', text: /sound/ }]);
  t.equal(readFileSync(`${path}.open`, 'utf8'), `${process.pid}\n`, 'in use by this process');
  const tokens = new TokenStore(database, log);
  const queue = new QueueStore(database, log);
  t.equal(tokens.count(), TOKENS);
  t.equal(queue.depth(), TOKENS);
  t.ok(Array.from({ length: TOKENS }, (_, n) => n).every((n) => tokens.list(accountOf(n))[0]?.token === tokenOf(n)));
  await database.close();
});

t.test('one that another process uses is left to it', async (t) => {
  const { directory, path } = await leftOpen(t);
  writeFileSync(`${path}.open`, `${process.ppid}\n`);
  const { log, lines } = record();
  await Database.open(directory, log).close();
  t.same(lines, [], 'not checked');
  t.equal(readFileSync(`${path}.open`, 'utf8'), `${process.ppid}\n`);
});

t.test('what is checked', async (t) => {
  const { path } = await leftOpen(t);
  const sound = readFileSync(path);
  t.same(checkDatabase(path), { kind: 'sound' });
  const fd = openSync(path, 'r');
  const meta = readNewestMeta(fd)!;
  closeSync(fd);
  const rootOf = (tree: 'freeRoot' | 'mainRoot') => Number(meta.readBigUint64LE(META[tree])) * PAGE_BYTES;
  const rows: [name: string, damage: Damage][] = [
    // Records are at the end of a page.
    ['the list of free pages', (file) => file.fill(0xee, rootOf('freeRoot') + 4000, rootOf('freeRoot') + PAGE_BYTES)],
    ['the list of tables', (file) => file.fill(0xee, rootOf('mainRoot') + 4000, rootOf('mainRoot') + PAGE_BYTES)],
    ['that a page is the one asked for', (file) => file.writeUint32LE(1, rootOf('mainRoot'))],
  ];
  for (const [name, damage] of rows) {
    const file = Buffer.from(sound);
    damage(file);
    writeFileSync(path, file);
    t.match(checkDatabase(path), { kind: 'damaged' }, name);
  }
  writeFileSync(path, sound);
  const root = openRoot(path);
  await root.openDB<number, string>('queue-by-due', { encoding: 'json' }).put('text', 1);
  await root.close();
  t.same(checkDatabase(path), { kind: 'damaged', reason: 'a key in queue-by-due' });
  t.match(checkDatabase(join(path, 'nothing')), { kind: 'unknown' }, 'a file that cannot be opened is not damaged');
});

t.test('the daemon gets over it', async (t) => {
  const { directory, path } = await leftOpen(t);
  const file = readFileSync(path);
  DAMAGES[0]![1](file);
  writeFileSync(path, file);
  const ini = join(daemonDirectory, 'chatmail.ini');
  writeFileSync(
    ini,
    `[params]\nmail_domain = example.org\nmailboxes_dir = ${directory}\nstate_dir = ${directory}\nturn_socket_path =\n`,
  );
  // As a daemon that is killed by the damage leaves it: whether it is depends on what it reads.
  const daemon = await startDaemon('metadata-push', ini, `metadata=unix:${directory}/metadata.sock`);
  t.match(daemon.output(), /the database was unreadable/);
  t.notMatch(daemon.output(), /secret/);
  t.ok(existsSync(`${path}.corrupt`));
});
