import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '#core';
import { DISK_STEPS, openAccountStore } from '../src/account-store.ts';

const root = mkdtempSync(join(tmpdir(), 'doveauth-store-'));
t.teardown(() => rmSync(root, { recursive: true }));
let count = 0;
const newDirectory = () => join(root, `mail${++count}`);
const ADDRESS = parseAddress('abcdefghi@[127.0.0.1]')!;
const DAY = 20_000 * 86_400;
const modeOf = (path: string) => statSync(path).mode & 0o777;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Names in the directory of the account. */
function contents(directory: string): string[] {
  return readdirSync(join(directory, ADDRESS.text)).sort();
}

t.test('a new account', async (t) => {
  const directory = newDirectory();
  const store = await openAccountStore(directory);
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  t.equal(await store.readPassword(ADDRESS), undefined);
  t.equal(await store.create(ADDRESS, '{SHA512-CRYPT}$6$x', DAY), true);
  const home = join(directory, ADDRESS.text);
  t.same(contents(directory), ['enforceE2EEincoming', 'password']);
  t.equal(readFileSync(join(home, 'password'), 'utf8'), '{SHA512-CRYPT}$6$x');
  t.equal(readFileSync(join(home, 'enforceE2EEincoming'), 'utf8'), '');
  t.same(
    [modeOf(home), modeOf(join(home, 'password')), modeOf(join(home, 'enforceE2EEincoming'))],
    [0o700, 0o600, 0o600],
  );
  t.equal(await store.readLastLogin(ADDRESS), DAY);
  t.equal(await store.readPassword(ADDRESS), '{SHA512-CRYPT}$6$x');
  t.same(readdirSync(join(directory, '.doveauth')), [], 'nothing is left of the building');
  t.equal(await store.create(ADDRESS, 'another', DAY), false, 'it is not made twice');
  t.equal(await store.readPassword(ADDRESS), '{SHA512-CRYPT}$6$x');
  t.same(readdirSync(join(directory, '.doveauth')), [], 'nothing is left of the second either');
});

t.test('accounts belong to the owner of the mailboxes', async (t) => {
  const directory = newDirectory();
  mkdirSync(directory);
  // Anybody but root can only be that owner.
  const owner =
    process.getuid?.() === 0 ? { uid: 12_345, gid: 12_346 } : { uid: process.getuid!(), gid: process.getgid!() };
  await DISK_STEPS.chown(directory, owner.uid, owner.gid);
  const store = await openAccountStore(directory);
  await store.create(ADDRESS, 'hash', DAY);
  t.same(store.owner, owner);
  for (const name of ['', 'password', 'enforceE2EEincoming']) {
    const { uid, gid } = statSync(join(directory, ADDRESS.text, name));
    t.same({ uid, gid }, owner, `owner of '${name}'`);
  }
});

t.test('without its disk nobody is unknown, and nobody comes into being', async (t) => {
  const directory = newDirectory();
  const store = await openAccountStore(directory);
  await store.create(ADDRESS, 'hash', DAY);
  renameSync(directory, `${directory}.away`);
  const check = async (code: string) => {
    await t.rejects(store.readPassword(ADDRESS), { code });
    await t.rejects(store.readLastLogin(ADDRESS), { code });
    await t.rejects(collect(store.list()), { code });
  };
  await check('ENOENT');
  await t.rejects(store.create(ADDRESS, 'another', DAY), { code: 'ENOENT' });
  t.notOk(existsSync(directory), 'no new tree');
  mkdirSync(directory);
  await check('MAILBOXES_MOVED');
  t.equal(await (await openAccountStore(directory)).readPassword(ADDRESS), undefined, 'a reload takes the new one');
  rmSync(directory, { recursive: true });
  renameSync(`${directory}.away`, directory);
  t.equal(await store.readPassword(ADDRESS), 'hash', 'back again');
  t.equal(await store.readPassword(parseAddress('newcomer0@[127.0.0.1]')!), undefined);
});

t.test('many creators, of several processes: exactly one wins', async (t) => {
  const directory = newDirectory();
  const stores = [await openAccountStore(directory), await openAccountStore(directory)];
  for (const start of ['absent', 'empty', 'leftover']) {
    if (start !== 'absent') mkdirSync(join(directory, ADDRESS.text));
    if (start === 'leftover') mkdirSync(join(directory, ADDRESS.text, 'cur'));
    const hashes = Array.from({ length: 40 }, (_, index) => `hash${index}`);
    const won = await Promise.all(hashes.map((hash, index) => stores[index % 2]!.create(ADDRESS, hash, DAY)));
    t.equal(won.filter(Boolean).length, 1, start);
    t.equal(await stores[0]!.readPassword(ADDRESS), hashes[won.indexOf(true)], start);
    rmSync(join(directory, ADDRESS.text), { recursive: true });
  }
  t.same(readdirSync(join(directory, '.doveauth')), []);
});

t.test('what stands in the way of a creation', async (t) => {
  type Prepare = (home: string) => void;
  const rows: [prepare: Prepare, created: boolean | string, reason: string][] = [
    [(home) => mkdirSync(home), true, 'an empty directory'],
    [(home) => mkdirSync(join(home, 'new'), { recursive: true }), true, 'a maildir without a password file'],
    [(home) => symlinkSync(mkdtempSync(join(root, 'elsewhere')), home), true, 'a mailbox moved to another place'],
    [(home) => writeFileSync(home, ''), 'ENOTDIR', 'a file'],
    [(home) => symlinkSync('/nonexistent', home), 'ENOENT', 'a link to nowhere'],
    [
      (home) => {
        mkdirSync(home);
        writeFileSync(join(home, 'password'), '');
      },
      false,
      'a blocked account',
    ],
  ];
  for (const [prepare, created, reason] of rows) {
    const directory = newDirectory();
    const store = await openAccountStore(directory);
    prepare(join(directory, ADDRESS.text));
    t.equal(await store.create(ADDRESS, 'hash', DAY).catch((error) => error.code), created, reason);
    t.same(readdirSync(join(directory, '.doveauth')), [], `nothing is left after ${reason}`);
    if (created === true) {
      t.match(contents(directory), /enforceE2EEincoming(,new)?,password/, reason);
      t.equal(await store.readPassword(ADDRESS), 'hash', reason);
    }
  }
});

t.test('an account whose owner takes clear-text mail stays that way', async (t) => {
  const directory = newDirectory();
  const store = await openAccountStore(directory);
  await store.create(ADDRESS, 'hash', DAY);
  rmSync(join(directory, ADDRESS.text, 'enforceE2EEincoming'));
  t.equal(await store.create(ADDRESS, 'another', DAY), false);
  t.same(contents(directory), ['password']);
});

t.test('a step that fails leaves nothing behind', async (t) => {
  for (const name of ['writeNewFile', 'utimes', 'syncDirectory', 'rename'] as const) {
    const directory = newDirectory();
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const store = await openAccountStore(directory, { ...DISK_STEPS, [name]: () => Promise.reject(full) });
    await t.rejects(store.create(ADDRESS, 'hash', DAY), { code: 'ENOSPC' }, name);
    t.same(readdirSync(join(directory, '.doveauth')), [], name);
    t.notOk(existsSync(join(directory, ADDRESS.text)), name);
  }
});

t.test('reading passwords', async (t) => {
  const directory = newDirectory();
  const store = await openAccountStore(directory);
  const home = join(directory, ADDRESS.text);
  mkdirSync(home);
  t.equal(await store.readPassword(ADDRESS), undefined, 'a directory is no account');
  writeFileSync(join(home, 'password'), '');
  t.equal(await store.readPassword(ADDRESS), '', 'blocked');
  writeFileSync(join(home, 'password'), ' \n');
  t.equal(await store.readPassword(ADDRESS), '', 'blocked with an editor');
  writeFileSync(join(home, 'password'), 'hash\n');
  t.equal(await store.readPassword(ADDRESS), 'hash', 'written with an editor');
  rmSync(join(home, 'password'));
  mkdirSync(join(home, 'password'));
  await t.rejects(store.readPassword(ADDRESS), { code: 'EISDIR' }, 'anything else is trouble, not absence');
});

t.test('last login', async (t) => {
  const store = await openAccountStore(newDirectory());
  t.equal(await store.readLastLogin(ADDRESS), undefined);
  await store.writeLastLogin(ADDRESS, DAY);
  t.equal(await store.readPassword(ADDRESS), undefined, 'recording a login makes no account');
  await store.create(ADDRESS, 'hash', DAY);
  await store.writeLastLogin(ADDRESS, DAY + 86_400);
  t.equal(await store.readLastLogin(ADDRESS), DAY + 86_400);
});

t.test('listing', async (t) => {
  const directory = newDirectory();
  const store = await openAccountStore(directory);
  const names = Array.from({ length: 150 }, (_, index) => `user${String(index).padStart(5, '0')}@x.org`);
  for (const name of [...names, 'blocked00@x.org', '.hidden', 'not-an-address', 'UPPERCASE@x.org']) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'password'), name.startsWith('blocked') ? '' : 'hash');
  }
  mkdirSync(join(directory, 'leftover0@x.org'));
  writeFileSync(join(directory, 'file00000@x.org'), 'hash');
  t.same((await collect(store.list())).map(({ text }) => text).sort(), names);
});

t.test('a mailboxes directory that cannot be', async (t) => {
  const file = join(root, 'file');
  writeFileSync(file, '');
  await t.rejects(openAccountStore(join(file, 'mail')), { name: 'ConfigError' }, 'below a file');
  t.ok((await openAccountStore(join(root, 'a/b/c'))).owner.uid >= 0, 'a missing one is created');
  t.equal(modeOf(join(root, 'a/b/c')), 0o700);
});
