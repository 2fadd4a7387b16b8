import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { messageName, Tree } from '../../packages/expire/test/tree.ts';

// Three of four parts of a short program's time is compiling it.
const cache = new Tree();
t.teardown(() => cache.remove());
const env = { ...process.env, NODE_COMPILE_CACHE: cache.root };

function run(program: string, ...words: string[]) {
  const path = join(import.meta.dirname, '../../packages/expire/src', `${program}.ts`);
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...words], { encoding: 'utf8', env });
  return { status, stdout, stderr };
}

function makeRelay(t: Test, settings = ''): { mailboxes: Tree; etc: Tree; ini: string; stateDir: string } {
  const [mailboxes, etc] = [new Tree(), new Tree()];
  t.teardown(() => mailboxes.remove());
  t.teardown(() => etc.remove());
  const stateDir = join(etc.root, 'state');
  const ini = join(etc.root, 'chatmail.ini');
  const lines = ['[params]', 'mail_domain = x.org', `mailboxes_dir = ${mailboxes.root}`, `state_dir = ${stateDir}`];
  writeFileSync(ini, `${[...lines, settings].join('\n')}\n`);
  return { mailboxes, etc, ini, stateDir };
}

t.test('chatmail-expire', async (t) => {
  const { mailboxes, ini } = makeRelay(t);
  for (const name of ['a', 'b', 'c', 'old']) mailboxes.account(`${name}@x.org`, name === 'old' ? 100 : 1);
  mailboxes.file(`a@x.org/cur/${messageName(30, 1, 2_000_000)}`, 0);
  const socket = ['--metadata-socket', join(mailboxes.root, 'none')];

  const dry = run('main', ini);
  t.equal(dry.status, 0);
  t.match(dry.stdout, /^would remove 1 of 4 accounts and 1 of 1 messages in the others \(2\.0 MB\) in [\d.]+ s; /);
  t.equal(dry.stderr, '', 'quiet, and no progress bar outside a terminal');

  const verbose = run('main', '-v', ini);
  t.match(verbose.stderr, /would remove .*old@x\.org \(unused\)/);
  t.match(verbose.stderr, /would remove .*a@x\.org\/cur\/.* \(age\)/);

  const removed = run('main', ini, '--remove', '--json', ...socket);
  t.equal(removed.status, 0);
  t.match(JSON.parse(removed.stdout), { dryRun: false, accountsRemoved: 1, messagesRemoved: { age: 1 }, problems: 0 });
  t.notMatch(removed.stdout + removed.stderr + dry.stdout, /@/, 'no address without -v');
  t.notOk(existsSync(join(mailboxes.root, 'old@x.org')));
  t.ok(existsSync(join(mailboxes.root, 'a@x.org/password')));
});

t.test('what an earlier run has left is finished, and told', async (t) => {
  const { mailboxes, ini } = makeRelay(t);
  mailboxes.account('a@x.org', 1);
  mailboxes.file('.expired/run-1/old@x.org/cur/message', 1);
  const dry = run('main', ini, '-v');
  t.match(dry.stdout, /, and 1 mailboxes that had been set aside earlier in /);
  t.match(dry.stderr, /^would remove .*\.expired\/run-1\/old@x\.org \(set aside earlier\)$/m);
  const { status, stdout } = run('main', ini, '--remove', '--json');
  t.equal(status, 0);
  t.match(JSON.parse(stdout), { mailboxesFinished: 1, accountsRemoved: 0 });
  t.notOk(existsSync(join(mailboxes.root, '.expired')));
});

t.test('chatmail-expire stops before a mass deletion', async (t) => {
  const { mailboxes, ini } = makeRelay(t, 'expire_max_accounts_percent = 40');
  for (const name of ['a', 'b', 'c', 'd']) mailboxes.account(`${name}@x.org`, name < 'c' ? 0 : 20_000);
  const before = mailboxes.paths();
  const stopped = run('main', ini, '--remove');
  t.equal(stopped.status, 75);
  t.match(stopped.stderr, /expire_max_accounts_percent = 100/, 'says how to go on');
  t.same(mailboxes.paths(), before);
  t.equal(run('main', ini).status, 75, 'a dry run tells the same');
  const halfAYearAgo = run('main', ini, '--remove', '--days', '19950');
  t.equal(halfAYearAgo.status, 0, '--days moves the day');
});

t.test('what could not be forgotten is remembered and tried again', async (t) => {
  const { mailboxes, etc, ini } = makeRelay(t);
  for (const name of ['a', 'b', 'c', 'old']) mailboxes.account(`${name}@x.org`, name === 'old' ? 100 : 1);
  mailboxes.file('old@x.org/cur/message', 1);
  etc.file('state/data.mdb', 1);
  const socket = ['--metadata-socket', join(etc.root, 'none')];
  const failed = run('main', ini, '--remove', ...socket);
  t.equal(failed.status, 75, 'there is a store, and nobody answers for it');
  t.notMatch(failed.stderr, /@/);
  t.notOk(existsSync(join(mailboxes.root, 'old@x.org')), 'the account is gone');
  t.notOk(
    mailboxes.paths().some((path) => path.endsWith('message')),
    'and so is its mail',
  );
  t.ok(
    mailboxes.paths().some((path) => path.endsWith('old@x.org/')),
    'the note what to forget remains',
  );
  t.equal(run('main', ini, '--remove', ...socket).status, 75, 'until it is forgotten');
  etc.remove();
  const { ini: other } = makeRelay(t);
  writeFileSync(other, readFileSync(other, 'utf8').replace(/mailboxes_dir = .*/, `mailboxes_dir = ${mailboxes.root}`));
  t.equal(run('main', other, '--remove', ...socket).status, 0, 'with no store there is nothing to forget');
  t.notOk(mailboxes.paths().some((path) => path.includes('.expired')));
});

t.test('chatmail-quota-expire', async (t) => {
  const { mailboxes } = makeRelay(t);
  const mailbox = mailboxes.account('a@x.org', 1);
  const sizes = [600_000, 500_000, 400_000, 300_000];
  for (const [age, bytes] of sizes.entries()) mailboxes.file(`a@x.org/cur/${messageName(age, age, bytes)}`, 0);
  mailboxes.file('a@x.org/maildirsize', 0);
  t.equal(run('quota-expire', '2', mailbox).status, 0);
  t.ok(existsSync(join(mailbox, 'maildirsize')), 'nothing to do, nothing touched');
  const { status, stderr } = run('quota-expire', '1', `${mailbox}/`);
  t.equal(status, 0);
  t.notMatch(stderr, /@/);
  const left = mailboxes.paths().filter((path) => path.includes('/cur/1'));
  t.same(
    left.map((path) => /S=(\d+)/.exec(path)?.[1]).sort(),
    ['600000'],
    'all but the one of today, since 1.1 MB are more than 1 MiB',
  );
  t.notOk(existsSync(join(mailbox, 'maildirsize')));

  symlinkSync(mailbox, join(mailboxes.root, 'link@x.org'));
  for (const words of [
    ['1'],
    ['x', mailbox],
    ['0', mailbox],
    ['1', mailbox, mailbox],
    ['1', mailboxes.root],
    ['1', '/nowhere'],
    ['-1', mailbox],
  ]) {
    t.equal(run('quota-expire', ...words).status, 64, words.join(' '));
  }
  t.equal(run('quota-expire', '1', join(mailboxes.root, 'link@x.org')).status, 64, 'a link is no mailbox');
});

t.test('what cannot be read or written is told in one sentence', async (t) => {
  const { mailboxes, etc, ini } = makeRelay(t);
  mailboxes.account('a@x.org', 1);
  etc.file('file', 0);
  // Errors that root gets as well.
  const loop = join(etc.root, 'loop');
  symlinkSync(loop, loop);
  const longName = join(mailboxes.root, `${'a'.repeat(300)}@x.org`);
  const iniFor = (directory: string) => {
    const path = join(etc.root, `${directory}.ini`);
    writeFileSync(path, `[params]\nmail_domain = x.org\nmailboxes_dir = ${join(etc.root, directory)}\n`);
    return path;
  };
  const missing = join(etc.root, 'missing/file');
  const rows: [program: string, words: string[], status: number, text: RegExp][] = [
    ['main', [iniFor('file')], 78, /^chatmail-expire: mailboxes_dir: \S+\/file is not a directory$/],
    ['main', [iniFor('loop')], 75, /^chatmail-expire: mailboxes_dir \S+\/loop cannot be read \(ELOOP\); /],
    ['fsreport', [iniFor('file')], 78, /^chatmail-fsreport: mailboxes_dir: \S+ is not a directory$/],
    ['fsreport', [iniFor('loop')], 75, /^chatmail-fsreport: mailboxes_dir \S+ cannot be read \(ELOOP\); /],
    ['fsreport', [ini, '--textfile', missing], 78, /: --textfile \S+ cannot be written \(ENOENT\): make its directory/],
    ['fsreport', [ini, '--textfile', `${ini}/x`], 78, /: --textfile \S+ cannot be written \(ENOTDIR\): make its/],
    ['fsreport', [ini, '--textfile', `${loop}/x`], 75, /: --textfile \S+ cannot be written \(ELOOP\)/],
    ['fsreport', [ini, '--legacy-metrics', missing], 78, /: --legacy-metrics \S+ cannot be written \(ENOENT\)/],
    ['fsreport', [ini, '--legacy-metrics', etc.root], 78, /: --legacy-metrics \S+ cannot be written \(EISDIR\)/],
    ['quota-expire', ['1', longName], 75, /^chatmail-quota-expire: MAILBOX_PATH cannot be read \(ENAMETOOLONG\); /],
  ];
  for (const [program, words, status, text] of rows) {
    const result = run(program, ...words);
    t.equal(result.status, status, words.join(' ').slice(0, 100));
    t.match(result.stderr, new RegExp(`${text.source}.*\n$`, 'm'));
    t.equal(result.stderr.split('\n').length, 2, 'one line');
    t.notMatch(result.stderr, /@/, 'no address');
  }
});

t.test('chatmail-fsreport', async (t) => {
  const { mailboxes, etc, ini } = makeRelay(t);
  mailboxes.account('ci-a@x.org', 1);
  mailboxes.file(`ci-a@x.org/cur/${messageName(1, 1, 9999)}`, 0, 'x'.repeat(50));
  t.match(run('fsreport', ini).stdout, /messages +50 B {2}1 messages/, 'bytes on disk, whatever the name says');
  const [textfile, legacy] = [join(etc.root, 'fsreport.prom'), join(etc.root, 'metrics')];
  const written = run('fsreport', ini, '--textfile', etc.root, '--legacy-metrics', legacy);
  t.equal(written.status, 0);
  t.equal(written.stdout, '');
  t.match(readFileSync(textfile, 'utf8'), /^chatmail_accounts\{kind="ci"\} 1$/m);
  t.match(readFileSync(legacy, 'utf8'), /^ci_accounts 1$/m);
  t.equal(JSON.parse(run('fsreport', '--json', ini).stdout).accounts, 1);
});

t.test('exit codes', async (t) => {
  const { ini } = makeRelay(t);
  const rows: [program: string, words: string[], status: number, why: string][] = [
    ['main', ['--help'], 0, 'help'],
    ['fsreport', ['--version'], 0, 'version'],
    ['main', ['--days', '-1', ini], 64, 'no number of days'],
    ['main', ['--maxnum', '1.5', ini], 64, 'no number of mailboxes'],
    ['main', ['--delete', ini], 64, 'an option nobody knows'],
    ['main', [ini, ini], 64, 'two files'],
    ['main', ['/nowhere/chatmail.ini'], 78, 'no configuration'],
    ['fsreport', ['--mdir', 'old', ini], 64, 'no folder'],
    ['quota-expire', ['--remove', '1', '/x'], 64, 'an option nobody knows'],
  ];
  for (const [program, words, status, why] of rows) t.equal(run(program, ...words).status, status, why);
});
