/**
 * One client decides how many messages its mailbox holds; whatever their number, the programs of packages/expire need no more
 * memory for it, and the other mailboxes get their turn. Run with a heap that a fraction of these names would fill.
 */

import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { messageName, Tree } from '../../packages/expire/test/tree.ts';

const MESSAGES = 150_000;
/** A file has at most 65,000 names on ext4, and a further name costs less than a further file. */
const NAMES_PER_FILE = 50_000;
const MESSAGE_BYTES = 1000;
/** The programs alone take two thirds of it. */
const HEAP_MEGABYTES = 20;
const MEGABYTE = 1_048_576;

const [mailboxes, etc] = [new Tree(), new Tree()];
t.teardown(() => mailboxes.remove());
t.teardown(() => etc.remove());
const ini = join(etc.root, 'chatmail.ini');
const settings = ['mail_domain = x.org', `mailboxes_dir = ${mailboxes.root}`, `state_dir = ${etc.root}/none`];
writeFileSync(ini, ['[params]', ...settings, 'max_message_size = 1M', 'max_mailbox_size = 100M', ''].join('\n'));

function run(program: string, ...words: string[]) {
  const path = join(import.meta.dirname, '../../packages/expire/src', `${program}.ts`);
  const flags = [`--max-old-space-size=${HEAP_MEGABYTES}`, '--max-semi-space-size=1'];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [...flags, path, ...words], {
    encoding: 'utf8',
    env: { ...process.env, NODE_COMPILE_CACHE: join(etc.root, 'cache') },
  });
  return { status, signal, stdout, stderr };
}

/** Two to 17 days old: one that arrives every nine seconds. */
function fill(folder: string): void {
  mkdirSync(folder, { recursive: true });
  let source = '';
  for (let index = 0; index < MESSAGES; index++) {
    const path = join(folder, messageName(2 + (index * 15) / MESSAGES, index, MESSAGE_BYTES));
    if (index % NAMES_PER_FILE === 0) {
      writeFileSync(path, '');
      source = path;
    } else linkSync(source, path);
  }
}

t.test('a mailbox of many messages', async (t) => {
  for (const name of ['a', 'big', 'c', 'z']) {
    mailboxes.account(`${name}@x.org`, 1);
    mailboxes.file(`${name}@x.org/new/${messageName(30, 1)}`, 0);
  }
  const cur = join(mailboxes.root, 'big@x.org/cur');
  fill(cur);

  const dry = run('main', ini, '--json');
  t.equal(dry.status, 0, dry.stderr.slice(-300));
  const target = Math.floor(0.7 * 100 * MEGABYTE);
  const kept = Math.floor(target / MESSAGE_BYTES);
  t.match(JSON.parse(dry.stdout), { messages: MESSAGES + 4, messagesRemoved: { age: 4, quota: MESSAGES - kept } });

  const report = run('fsreport', '--json', ini);
  t.equal(report.status, 0, report.stderr.slice(-300));
  t.equal(JSON.parse(report.stdout).messages, MESSAGES + 4);

  const removed = run('main', ini, '--remove', '--json');
  t.equal(removed.status, 0, removed.stderr.slice(-300));
  t.same(
    { ...JSON.parse(removed.stdout), dryRun: 0, durationMs: 0 },
    { ...JSON.parse(dry.stdout), dryRun: 0, durationMs: 0 },
  );
  t.equal(readdirSync(cur).length, kept);
  for (const name of ['a', 'big', 'c', 'z']) t.same(readdirSync(join(mailboxes.root, `${name}@x.org/new`)), []);

  const quota = run('quota-expire', '60', join(mailboxes.root, 'big@x.org'));
  t.equal(quota.status, 0, quota.stderr.slice(-300));
  const left = readdirSync(cur);
  t.equal(left.length, Math.floor((60 * MEGABYTE) / MESSAGE_BYTES));
  const numbers = left.map((name) => Number(/\.M(\d+)P/.exec(name)![1]));
  t.equal(Math.max(...numbers), left.length - 1, 'the youngest are left');

  mailboxes.age('big@x.org/password', 100);
  const gone = run('main', ini, '--remove', '--json');
  t.equal(gone.status, 0, gone.stderr.slice(-300));
  t.same(readdirSync(mailboxes.root).sort(), ['a@x.org', 'c@x.org', 'z@x.org'], 'an unused account too');
});
