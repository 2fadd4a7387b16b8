import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  emptySetAside,
  findSetAside,
  MessageRemover,
  removeRunDirectories,
  removeSetAside,
  setAside,
} from '../src/apply.ts';
import type { Message } from '../src/plan.ts';
import { walkAgain, walkMailbox } from '../src/scan.ts';
import { expire, messageName, Tree } from './tree.ts';

const NOBODY = 65_534;

function withTree(t: Test): Tree {
  const tree = new Tree();
  t.teardown(() => tree.remove());
  return tree;
}

function namesIn(mailbox: string): string[] {
  const names: string[] = [];
  walkMailbox(mailbox, { onMessage: ({ name }) => names.push(name), onExtra: (name) => names.push(name) }, never);
  return names.filter((name) => name !== 'password');
}

function never(): never {
  throw new Error('reported a problem');
}

t.test('who logs in before the mailbox is moved keeps it', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 100);
  const gone = [...setAside(tree.root, ['a@x.org'], () => false, never)];
  t.same(gone, []);
  t.ok(existsSync(join(tree.root, 'a@x.org/password')));
});

t.test('who logs in while the mailbox is moved gets it back', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 100);
  const answers = [true, false];
  const gone = [...setAside(tree.root, ['a@x.org'], () => answers.shift()!, never)];
  t.same(gone, []);
  t.ok(existsSync(join(tree.root, 'a@x.org/password')));
});

t.test('unless a new account has taken its place: that one stays, whole', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 100);
  const answers = [true, false];
  const isStillUnused = () => {
    if (answers.length === 1) tree.file('a@x.org/password', 0, 'new');
    return answers.shift()!;
  };
  const gone = [...setAside(tree.root, ['a@x.org'], isStillUnused, never)];
  t.equal(gone.length, 1, 'the old one is to be removed');
  t.equal(readFileSync(join(tree.root, 'a@x.org/password'), 'utf8'), 'new');
});

t.test('another run that tidies up meanwhile does not keep any mailbox from being moved', async (t) => {
  const tree = withTree(t);
  const names = Array.from({ length: 8 }, (_, index) => `a${index}@x.org`);
  for (const name of names) tree.account(name, 100);
  const moved: string[] = [];
  for (const gone of setAside(tree.root, [...names, 'vanished@x.org'], () => true, never)) {
    moved.push(gone.name);
    emptySetAside(gone, never);
    removeSetAside([gone], never);
    removeRunDirectories(tree.root, never);
  }
  t.same(moved, names);
  t.same(
    tree.paths().filter((path) => path.includes('@')),
    [],
  );
});

t.test('a file in the place of the directory of mailboxes set aside is reported', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 100);
  const problems: string[] = [];
  writeFileSync(join(tree.root, '.expired'), '');
  t.same(
    [
      ...setAside(
        tree.root,
        ['a@x.org'],
        () => true,
        ({ code }) => problems.push(code),
      ),
    ],
    [],
  );
  t.same(problems, ['ENOTDIR']);
});

t.test('two walks have the same stamp only when nothing happened during them', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 1);
  const [one, two] = [messageName(3, 1), messageName(3, 2)];
  for (const name of [one, two]) tree.file(`a@x.org/cur/${name}`, 0);
  for (const kind of ['cur', 'new', 'tmp']) tree.age(`a@x.org/${kind}`, 1);
  const mailbox = join(tree.root, 'a@x.org');
  const quiet = walkAgain(mailbox, () => {});
  t.equal(
    walkAgain(mailbox, () => {}),
    quiet,
  );
  tree.file('a@x.org/tmp/1.arriving', 0);
  t.equal(
    walkAgain(mailbox, () => {}),
    quiet,
    'what arrives is no message yet',
  );
  const during = walkAgain(mailbox, ({ name }) => {
    if (name === one) renameSync(join(mailbox, 'cur', two), join(mailbox, 'cur', `${two}F`));
  });
  t.not(during, quiet, 'a rename during the walk');
  t.not(
    walkAgain(mailbox, () => {}),
    during,
    'of which the next walk knows nothing',
  );
});

t.test('an account created anew during its deletion is not touched', async (t) => {
  const tree = withTree(t);
  for (const name of ['old', 'b', 'c', 'd']) tree.account(`${name}@x.org`, name === 'old' ? 100 : 1);
  const forget = async () => {
    tree.account('old@x.org', 0);
    tree.file(`old@x.org/new/${messageName(0, 1)}`, 0);
  };
  const { summary } = await expire(tree.root, { forget });
  t.equal(summary.accountsRemoved, 1);
  t.ok(existsSync(join(tree.root, 'old@x.org/password')));
  t.same(namesIn(join(tree.root, 'old@x.org')).length, 1);
});

t.test('what an interrupted run has set aside is finished and forgotten by the next', async (t) => {
  const tree = withTree(t);
  tree.file('.expired/run-1/old@x.org/cur/message', 1);
  mkdirSync(join(tree.root, '.expired/run-2/gone@x.org'), { recursive: true });
  mkdirSync(join(tree.root, '.expired/run-3'));
  tree.account('old@x.org', 1);
  t.equal([...findSetAside(tree.root, never)].length, 2);
  const dry = await expire(tree.root, { isDryRun: true });
  t.same(dry.forgotten, []);
  t.equal(dry.summary.mailboxesFinished, 2, 'a dry run tells of it');
  const { forgotten, problems, removed, summary } = await expire(tree.root);
  t.same(removed, dry.removed);
  t.same(removed, ['.expired/run-1/old@x.org begun', '.expired/run-2/gone@x.org begun']);
  t.equal(summary.mailboxesFinished, 2);
  t.same(forgotten.sort(), ['gone@x.org', 'old@x.org']);
  t.same(problems, []);
  t.notOk(existsSync(join(tree.root, '.expired')));
  t.ok(existsSync(join(tree.root, 'old@x.org/password')), 'the new account of that name stays');
});

t.test('when nobody can be told to forget, mail goes and the name waits', async (t) => {
  const tree = withTree(t);
  for (const name of ['old', 'b', 'c', 'd']) tree.account(`${name}@x.org`, name === 'old' ? 100 : 1);
  tree.file('old@x.org/cur/message', 1);
  const failed = await expire(tree.root, { forget: () => Promise.reject(new Error('no daemon')) });
  t.equal(failed.summary.problems, 1);
  t.notOk(tree.paths().some((path) => path.endsWith('message')));
  const again = await expire(tree.root, { forget: () => Promise.reject(new Error('no daemon')) });
  t.equal(again.summary.mailboxesFinished, 0, 'not finished yet');
  const { forgotten, summary } = await expire(tree.root);
  t.same(forgotten, ['old@x.org']);
  t.equal(summary.mailboxesFinished, 1);
  t.notOk(existsSync(join(tree.root, '.expired')));
});

t.test('files that vanish in mid-walk are no problem', async (t) => {
  const tree = withTree(t);
  tree.account('a@x.org', 1);
  t.same(namesIn(join(tree.root, 'none@x.org')), []);
  const folder = { path: join(tree.root, 'a@x.org/cur'), kind: 'cur' } as const;
  const message: Message = { folder, name: 'vanished', arrivedAtMs: 0, bytes: 1 };
  for (const name of ['a@x.org', 'none@x.org']) {
    const remover = new MessageRemover(join(tree.root, name), false, never);
    t.equal(remover.remove(message), false);
    remover.end();
  }
});

t.test('what may not be read or removed is told, and the rest is done', async (t) => {
  const tree = withTree(t);
  const old = messageName(30, 1);
  for (const name of ['closed', 'open', 'locked', 'foreign']) {
    tree.account(`${name}@x.org`, 1);
    tree.file(`${name}@x.org/cur/${old}`, 0);
  }
  tree.account('unused@x.org', 100);
  mkdirSync(join(tree.root, 'unused@x.org/.kept'));
  writeFileSync(join(tree.root, 'unused@x.org/.kept/file'), 'x');
  tree.giveTo(NOBODY);
  chmodSync(join(tree.root, 'closed@x.org/cur'), 0);
  chmodSync(join(tree.root, 'locked@x.org/cur'), 0o500);
  chmodSync(join(tree.root, 'foreign@x.org'), 0);
  chmodSync(join(tree.root, 'unused@x.org/.kept'), 0o500);

  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  const result = await expire(tree.root).finally(() => isRoot && process.seteuid?.(0));
  t.same(
    result.problems.map((problem) => problem.replace(/run-\w+/, 'RUN')),
    [
      '.expired/RUN/unused@x.org/.kept/file EACCES',
      'closed@x.org/cur EACCES',
      'foreign@x.org/password EACCES',
      `locked@x.org/cur/${old} EACCES`,
    ],
  );
  t.same(result.unsure, ['foreign@x.org'], 'no date, no deletion');
  t.same(result.removed, [`open@x.org/cur/${old} age`, 'unused@x.org unused']);
  t.notOk(existsSync(join(tree.root, 'unused@x.org')));
  for (const path of ['closed@x.org/cur', 'foreign@x.org', 'locked@x.org/cur']) chmodSync(join(tree.root, path), 0o700);
  const [setAsideMailbox] = findSetAside(tree.root, never);
  chmodSync(`${setAsideMailbox?.path}/.kept`, 0o700);
  const again = await expire(tree.root);
  t.equal(again.summary.messagesRemoved.age, 3, 'once they may be, they are');
  t.notOk(existsSync(join(tree.root, '.expired')));
});
