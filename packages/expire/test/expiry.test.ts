import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DAY, expire, messageName, RULES, Tree } from './tree.ts';

const NOBODY = 65_534;

function withTree(t: Test): Tree {
  const tree = new Tree();
  t.teardown(() => tree.remove());
  return tree;
}

t.test('removes aged messages in all folders and the quota cache, and keeps the rest', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 1);
  const old = messageName(21, 1);
  const kept = messageName(19, 2);
  for (const folder of ['cur', 'new', '.DeltaChat/cur', '.a/.b/cur']) {
    tree.file(`a@x.org/${folder}/${old}`, 0);
    tree.file(`a@x.org/${folder}/${kept}`, 30);
  }
  tree.file('a@x.org/tmp/1.broken', 21);
  tree.file('a@x.org/tmp/2.arriving', 1);
  tree.file('a@x.org/cur/by-hand.eml', 21);
  tree.file('a@x.org/maildirsize', 0);
  tree.file('a@x.org/dovecot-uidlist', 100);

  const { summary, problems } = await expire(tree.root);
  t.same(problems, []);
  t.equal(summary.messagesRemoved.age, 6);
  t.equal(summary.messages, 11);
  t.same(
    tree.paths().filter((path) => !path.endsWith('/')),
    [
      `a@x.org/.DeltaChat/cur/${kept}`,
      `a@x.org/.a/.b/cur/${kept}`,
      `a@x.org/cur/${kept}`,
      'a@x.org/dovecot-uidlist',
      `a@x.org/new/${kept}`,
      'a@x.org/password',
      'a@x.org/tmp/2.arriving',
    ],
  );
});

t.test('space is made in the mailbox, oldest first', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 1);
  for (let age = 0; age < 10; age++) tree.file(`a@x.org/cur/${messageName(age, age, 100)}`, 0);
  tree.file(`a@x.org/.Folder/new/${messageName(12, 12, 100, '')}`, 0);
  tree.file(`a@x.org/cur/${messageName(21, 21, 5000)}`, 0);
  tree.file('a@x.org/maildirsize', 0);
  const rules = { ...RULES, max_mailbox_size: 500 };
  const dry = await expire(tree.root, { rules, isDryRun: true });
  const { summary, removed } = await expire(tree.root, { rules });
  t.same(summary.messagesRemoved, { age: 1, large: 0, quota: 8 }, '350 of 1100 bytes may stay, and age goes first');
  t.same(dry.removed, removed);
  t.same(dry.summary, summary);
  const left = tree.paths().filter((path) => /\/cur\/\d/.test(path));
  t.same(left.length, 3);
  t.ok(
    left.every((path) => /M[012]P/.test(path)),
    'the youngest',
  );
  t.notOk(existsSync(join(tree.root, 'a@x.org/maildirsize')));
});

t.test('removes unused accounts whole and has them forgotten', async (t) => {
  const tree = withTree(t);
  tree.account('old@x.org', 91);
  tree.file('old@x.org/.deep/er/cur/message', 1);
  tree.account('used@x.org', 89);
  const { summary, removed, forgotten } = await expire(tree.root);
  t.same(removed, ['old@x.org unused']);
  t.same(forgotten, ['old@x.org']);
  t.equal(summary.accounts, 2);
  t.equal(summary.accountsRemoved, 1);
  t.same(readdirSync(tree.root), ['used@x.org'], 'nothing is left behind, not even the place where it was set aside');
});

t.test('a dry run tells the same and touches nothing', async (t) => {
  const tree = withTree(t);
  tree.account('old@x.org', 91);
  tree.account('used@x.org', 1);
  tree.file(`used@x.org/cur/${messageName(21, 1)}`, 0);
  tree.file('used@x.org/maildirsize', 0);
  const before = tree.paths();
  const dry = await expire(tree.root, { isDryRun: true });
  t.same(tree.paths(), before);
  t.same(dry.forgotten, []);
  const real = await expire(tree.root);
  t.same(dry.removed, real.removed);
  t.same(dry.summary, real.summary);
  t.not(tree.paths().length, before.length);
  const again = await expire(tree.root);
  t.same(again.removed, [], 'running twice is running once');
});

t.test('too many unused accounts: nothing at all happens', async (t) => {
  const tree = withTree(t);
  for (const name of ['a', 'b', 'c', 'd']) tree.account(`${name}@x.org`, name < 'c' ? 91 : 1);
  tree.file(`d@x.org/cur/${messageName(21, 1)}`, 0);
  const before = tree.paths();
  const { summary } = await expire(tree.root);
  t.equal(summary.isStopped, true);
  t.equal(summary.accountsUnused, 2);
  t.same(tree.paths(), before);
  const rules = { ...RULES, expire_max_accounts_percent: 50 };
  t.equal((await expire(tree.root, { rules })).summary.accountsRemoved, 2, 'unless the operator says so');
});

t.test('an account without a credible date keeps everything', async (t) => {
  const tree = withTree(t);
  tree.account('future@x.org', -2);
  tree.account('odd@x.org', undefined);
  mkdirSync(join(tree.root, 'odd@x.org/password'));
  tree.account('link@x.org', undefined);
  tree.file('elsewhere', 200);
  symlinkSync(join(tree.root, 'elsewhere'), join(tree.root, 'link@x.org/password'));
  for (const name of ['future', 'odd', 'link']) tree.file(`${name}@x.org/cur/${messageName(30, 1)}`, 30);
  const before = tree.paths();
  const { summary, unsure, removed } = await expire(tree.root);
  t.same(unsure, ['future@x.org', 'link@x.org', 'odd@x.org']);
  t.equal(summary.accountsUnsure, 3);
  t.same(removed, []);
  t.same(tree.paths(), before);
});

t.test('links are never followed', async (t) => {
  const tree = withTree(t);
  const outside = withTree(t);
  outside.file('cur/message', 100);
  outside.account('gone@x.org', 100);
  tree.account('a@x.org', 1);
  symlinkSync(join(outside.root, 'cur'), join(tree.root, 'a@x.org/.Folder'));
  mkdirSync(join(tree.root, 'a@x.org/.Other'));
  symlinkSync(join(outside.root, 'cur'), join(tree.root, 'a@x.org/.Other/cur'));
  symlinkSync(join(outside.root, 'cur/message'), join(tree.root, 'a@x.org/cur', messageName(30, 1)));
  symlinkSync(join(outside.root, 'gone@x.org'), join(tree.root, 'b@x.org'));
  tree.account('old@x.org', 100);
  symlinkSync(join(outside.root, 'cur'), join(tree.root, 'old@x.org/.Linked'));
  const before = outside.paths();
  const { removed, problems } = await expire(tree.root);
  t.same(removed, ['old@x.org unused']);
  t.same(problems, []);
  t.same(outside.paths(), before);
  t.ok(existsSync(join(tree.root, 'b@x.org/password')), 'an account that is a link is none of ours');
});

t.test('the directory for what is set aside may not be a link', async (t) => {
  const tree = withTree(t);
  const outside = withTree(t);
  symlinkSync(outside.root, join(tree.root, '.expired'));
  tree.account('a@x.org', 1);
  tree.account('old@x.org', 100);
  const { problems, removed } = await expire(tree.root);
  t.same(problems, ['.expired ENOTDIR']);
  t.same(removed, []);
  t.same(outside.paths(), []);
  t.ok(existsSync(join(tree.root, 'old@x.org/password')));
});

t.test('names that are no UTF-8', async (t) => {
  const tree = withTree(t);
  const raw = (...parts: (string | Buffer)[]) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const odd = Buffer.from([0xff, 0x0a, 0xc3]);
  tree.account('a@x.org', 1);
  tree.account('b@x.org', 1);
  tree.account('c@x.org', 1);
  const folder = raw(tree.root, '/a@x.org/.', odd);
  mkdirSync(raw(folder, '/cur'), { recursive: true });
  writeFileSync(raw(folder, '/cur/', messageName(30, 1, 5, ''), odd), 'x');
  writeFileSync(raw(folder, '/cur/', odd), 'x');
  utimesSync(raw(folder, '/cur/', odd), 1, 1);
  const account = raw(tree.root, '/', odd, '@x.org');
  mkdirSync(raw(account, '/cur/', odd), { recursive: true });
  writeFileSync(raw(account, '/password'), 'x');
  utimesSync(raw(account, '/password'), 1, 1);
  const { summary, problems, forgotten } = await expire(tree.root);
  t.same(problems, []);
  t.equal(summary.messagesRemoved.age, 2);
  t.equal(summary.accountsRemoved, 1);
  t.same(forgotten, [], 'it never was an address');
  t.same(readdirSync(raw(folder, '/cur')), []);
  t.same(readdirSync(tree.root).sort(), ['a@x.org', 'b@x.org', 'c@x.org']);
});

t.test('what is no mailbox is left alone', async (t) => {
  const tree = withTree(t);
  for (const path of [
    'notes.txt',
    'file@x.org',
    'pending_notifications/old',
    '.doveauth/half-made/password',
    'backup/cur/m',
  ]) {
    tree.file(path, 300);
  }
  const before = tree.paths();
  const { summary } = await expire(tree.root);
  t.equal(summary.accounts, 0);
  t.same(tree.paths(), before);
});

t.test('a mailboxes directory that does not exist yet holds no accounts', async (t) => {
  const tree = withTree(t);
  const { summary, problems } = await expire(join(tree.root, 'none'));
  t.equal(summary.accounts, 0);
  t.same(problems, []);
});

t.test('directories without an account go when nothing would be lost', async (t) => {
  const tree = withTree(t);
  const rows: [name: string, files: [string, number][], ageDays: number, remains: boolean, why: string][] = [
    ['empty@x.org', [], 2, false, 'nothing in it'],
    [
      'indexes@x.org',
      [
        ['dovecot.index.log', 2],
        ['.a/dovecot-uidlist', 2],
        ['enforceE2EEincoming', 2],
      ],
      2,
      false,
      'indexes',
    ],
    ['young@x.org', [], 0.9, true, 'perhaps being created'],
    ['mail@x.org', [[`cur/${messageName(1, 1)}`, 1]], 2, true, 'a message'],
    [
      'aged@x.org',
      [
        [`cur/${messageName(21, 1)}`, 1],
        ['maildirsize', 1],
      ],
      2,
      false,
      'a message that goes',
    ],
    ['notes@x.org', [['notes.txt', 300]], 2, true, 'a file nobody knows'],
  ];
  for (const [name, files, ageDays] of rows) {
    tree.account(name, undefined);
    for (const [file, fileAgeDays] of files) tree.file(join(name, file), fileAgeDays);
    tree.age(name, ageDays);
  }
  const { summary, forgotten } = await expire(tree.root);
  for (const [name, , , remains, why] of rows) t.equal(existsSync(join(tree.root, name)), remains, why);
  t.equal(summary.leftoversRemoved, 3);
  t.equal(summary.accountsRemoved, 0);
  t.same(forgotten.sort(), ['aged@x.org', 'empty@x.org', 'indexes@x.org']);
  t.same((await expire(tree.root)).removed, []);
});

t.test('a directory without an account stays when something in it could not be read or is unknown', async (t) => {
  const tree = withTree(t);
  const isRoot = process.geteuid?.() === 0;
  const rows: [name: string, make: (path: string) => void, isUnknown: boolean, why: string][] = [
    ['closed@x.org', (path) => chmodSync(join(path, 'cur'), 0), false, 'messages that cannot be read'],
    ['folder@x.org', (path) => mkdirSync(join(path, '.Folder'), { mode: 0 }), false, 'a folder that cannot be read'],
    ['link@x.org', (path) => symlinkSync('/nowhere', join(path, 'dovecot.index')), true, 'a link, whatever its name'],
    ['linked@x.org', (path) => symlinkSync('/nowhere', join(path, 'cur/message')), true, 'a link among the messages'],
    ['fifo@x.org', (path) => execFileSync('mkfifo', [join(path, 'subscriptions')]), true, 'a pipe'],
    ['fifo2@x.org', (path) => execFileSync('mkfifo', [join(path, 'new/1.M1P1.mx')]), true, 'a pipe among the messages'],
    [
      'nested@x.org',
      (path) => tree.file(`${path.slice(tree.root.length)}/new/more/mail`, 1),
      true,
      'a directory there',
    ],
    ['notes@x.org', (path) => tree.file(`${path.slice(tree.root.length)}/notes.txt`, 300), true, 'a file nobody knows'],
  ];
  for (const [name, make] of rows) {
    tree.account(name, undefined);
    make(join(tree.root, name));
  }
  tree.account('empty@x.org', undefined);
  // The unreadable ones belong to somebody else than whoever looks.
  if (isRoot) chownSync(tree.root, NOBODY, NOBODY);
  for (const name of ['empty', ...rows.map(([each]) => each.slice(0, -6))]) {
    if (isRoot) chownSync(join(tree.root, `${name}@x.org`), NOBODY, NOBODY);
    tree.age(`${name}@x.org`, 3);
  }
  if (isRoot) process.seteuid?.(NOBODY);
  const dry = await expire(tree.root, { isDryRun: true });
  const result = await expire(tree.root).finally(() => isRoot && process.seteuid?.(0));
  for (const path of ['closed@x.org/cur', 'folder@x.org/.Folder']) chmodSync(join(tree.root, path), 0o700);
  for (const [name, , , why] of rows) t.ok(existsSync(join(tree.root, name)), why);
  t.same(
    result.unknown,
    rows
      .filter(([, , isUnknown]) => isUnknown)
      .map(([name]) => name)
      .sort(),
  );
  t.equal(result.summary.leftoversKept, 6);
  t.same(result.problems, ['closed@x.org/cur EACCES', 'folder@x.org/.Folder EACCES']);
  t.same(result.removed, ['empty@x.org leftover']);
  t.same(dry.summary, result.summary);
});

t.test('accounts whose names begin with dots are accounts, and .expired is none', async (t) => {
  const tree = withTree(t);
  const [old, used] = ['.........@[127.0.0.1]', '.expired@[127.0.0.1]'];
  tree.account(old, 100);
  tree.account(used, 1);
  tree.file(`${used}/cur/${messageName(21, 1)}`, 0);
  tree.file('.expired/password', 300);
  tree.age('.expired', 300);
  const { summary, removed, forgotten, problems } = await expire(tree.root);
  t.equal(summary.accounts, 2);
  t.same(removed, [`${old} unused`, `${used}/cur/${messageName(21, 1)} age`].sort());
  t.same(forgotten, [old]);
  t.same(problems, []);
  t.ok(existsSync(join(tree.root, used, 'password')));
});

t.test('--maxnum works on so many mailboxes and no more', async (t) => {
  const tree = withTree(t);
  for (let index = 0; index < 8; index++) tree.account(`old${index}@x.org`, index < 2 ? 91 : 1);
  for (let index = 0; index < 8; index++) tree.file(`old${index}@x.org/cur/${messageName(30, 1)}`, 0);
  const { summary } = await expire(tree.root, { maxMailboxes: 3 });
  t.equal(summary.accountsRemoved + summary.messages, 3);
  t.equal(summary.accounts, 8, 'the guard compares with all of them');
});

t.test('messages from the future are kept and counted', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 1);
  tree.file(`a@x.org/cur/${messageName(-3, 1)}`, 30);
  const { summary } = await expire(tree.root, { clock: { nowMs: Date.now() - DAY, realNowMs: Date.now() } });
  t.equal(summary.messagesInFuture, 1);
  t.equal(summary.messagesRemoved.age, 0);
});
