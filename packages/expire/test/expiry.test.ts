import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DAY, expire, messageName, RULES, Tree } from './tree.ts';

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
