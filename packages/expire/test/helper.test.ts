import { join } from 'node:path';
import t from 'tap';
import type { Problem } from '../src/directory.ts';
import { expireShared } from '../src/helper.ts';
import { addTally, emptyTally, expireMailbox } from '../src/mailbox-expiry.ts';
import { messageName, RULES, Tree } from './tree.ts';

const clock = { nowMs: Date.now(), realNowMs: Date.now() };
const MAILBOXES = 300;
/** As if there were enough mailboxes for a helper. */
const MANY = 100_000;

t.test('two threads do the same as one', async (t) => {
  const tree = new Tree();
  t.teardown(() => tree.remove());
  const mailboxes = Array.from({ length: MAILBOXES }, (_, index) => join(tree.root, `user${index}@x.org`));
  for (const [index, mailbox] of mailboxes.entries()) {
    tree.account(`user${index}@x.org`, 1);
    tree.file(join(mailbox.slice(tree.root.length + 1), 'cur', messageName(30, index)), 0);
    tree.file(join(mailbox.slice(tree.root.length + 1), 'new', messageName(1, index)), 0);
  }
  let here = 0;
  let there = 0;
  const tally = emptyTally();
  const options = { rules: RULES, clock, isDryRun: false };
  await expireShared(mailboxes, MANY, options, {
    expireHere(mailbox) {
      here++;
      expireMailbox(mailbox, options, tally, { onRemoval: () => {}, onProblem: () => t.fail('a problem') });
    },
    onReport(report) {
      there += report.mailboxes;
      addTally(tally, report.tally);
      t.equal(report.problems, 0);
    },
    onHelperLost: () => t.fail('no helper'),
  });
  t.equal(here + there, MAILBOXES);
  t.ok(there > 0, `the helper had its share: ${there}`);
  t.equal(tally.messages, 2 * MAILBOXES);
  t.equal(tally.messagesRemoved.age, MAILBOXES);
  t.equal(tree.paths().filter((path) => path.includes('M')).length, MAILBOXES);
});

t.test('a mailbox that fails does not keep the others', async (t) => {
  const broken = { rules: RULES, clock: undefined as never, isDryRun: true };
  const tree = new Tree();
  t.teardown(() => tree.remove());
  const problems: string[] = [];
  const events = { onRemoval: () => {}, onProblem: ({ code }: Problem) => problems.push(code) };
  const rest = expireMailbox(tree.account('a@x.org', 1), broken, emptyTally(), events);
  t.equal(rest.isComplete, false);
  t.same(problems, ['TypeError'], 'what it is, without the path that an error may hold');
});

t.test('what a helper leaves undone is done here', async (t) => {
  const mailboxes = Array.from({ length: MAILBOXES }, (_, index) => `user${index}`);
  const options = { rules: RULES, clock, isDryRun: true };
  const done: string[] = [];
  const lost: Error[] = [];
  const dying = new URL('data:text/javascript,throw new RangeError()');
  const work = {
    expireHere: (mailbox: string) => void done.push(mailbox),
    onReport: () => t.fail('it never reports'),
    onHelperLost: (error: Error) => void lost.push(error),
  };
  await expireShared(mailboxes, MANY, options, work, dying);
  t.same(done.sort(), mailboxes.sort());
  t.equal(lost.length, 1, 'told once');
});

t.test('nothing to do', async (t) => {
  const options = { rules: RULES, clock, isDryRun: true };
  const work = { expireHere: () => t.fail('no mailbox'), onReport: () => {}, onHelperLost: () => t.fail('lost') };
  await t.resolves(expireShared([], MANY, options, work));
});

t.test('a directory that cannot be read on while the helper asks for more is an error, not a crash', async (t) => {
  const options = { rules: RULES, clock, isDryRun: true };
  let hasReported = false;
  const mailboxes = {
    [Symbol.iterator]: () => ({
      next() {
        // The first to ask after a report is whoever feeds the helper.
        if (hasReported) throw Object.assign(new Error(), { code: 'EIO', syscall: 'scandir' });
        return { done: false as const, value: '/nowhere/a@x.org' };
      },
    }),
  };
  const work = {
    expireHere: () => {},
    onReport: () => {
      hasReported = true;
    },
    onHelperLost: () => t.fail('lost'),
  };
  await t.rejects(expireShared(mailboxes, MANY, options, work), { code: 'EIO' });
});
