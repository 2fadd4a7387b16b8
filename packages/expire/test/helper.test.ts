import { join } from 'node:path';
import t from 'tap';
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
  const removed = new Set<string>();
  const never = () => t.fail('a problem');
  await expireShared(
    mailboxes,
    MANY,
    { rules: RULES, clock, isDryRun: false },
    (mailbox) => {
      here++;
      expireMailbox(mailbox, { rules: RULES, clock, isDryRun: false }, tally, (path) => removed.add(path), never);
    },
    (report) => {
      there += report.mailboxes;
      addTally(tally, report.tally);
      for (const [path] of report.removals) removed.add(path);
      t.same(report.problems, []);
    },
  );
  t.equal(here + there, MAILBOXES);
  t.ok(there > 0, `the helper had its share: ${there}`);
  t.equal(tally.messages, 2 * MAILBOXES);
  t.equal(tally.messagesRemoved.age, MAILBOXES);
  t.equal(removed.size, MAILBOXES, 'none twice');
  t.equal(tree.paths().filter((path) => path.includes('M')).length, MAILBOXES);
});

t.test('the helper failing is our failing', async (t) => {
  const broken = { rules: RULES, clock: undefined as never, isDryRun: true };
  const mailboxes = [join(t.testdirName, 'none@x.org')];
  await t.rejects(
    expireShared(
      mailboxes,
      MANY,
      broken,
      () => t.fail('it had it all'),
      () => {},
    ),
  );
});

t.test('nothing to do', async (t) => {
  const options = { rules: RULES, clock, isDryRun: true };
  await t.resolves(
    expireShared(
      [],
      MANY,
      options,
      () => t.fail('no mailbox'),
      () => {},
    ),
  );
});
