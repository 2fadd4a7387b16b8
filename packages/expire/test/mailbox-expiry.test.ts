import { readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { emptyTally, expireMailbox } from '../src/mailbox-expiry.ts';
import { messageName, RULES, Tree } from './tree.ts';

const clock = { nowMs: Date.now(), realNowMs: Date.now() };

t.test('a message that is moved while the mailbox is counted does not count twice', async (t) => {
  const tree = new Tree();
  t.teardown(() => tree.remove());
  const mailbox = tree.account('a@x.org', 1);
  for (let serial = 0; serial < 10; serial++) {
    tree.file(`a@x.org/${serial % 2 ? 'cur' : 'new'}/${messageName(3, serial, 100)}`, 0);
  }
  for (const kind of ['cur', 'new']) tree.file(`a@x.org/${kind}/${messageName(30, 99, 1, '')}`, 0);
  // 1000 bytes are there, 1500 are counted, 1400 may stay.
  const options = { rules: { ...RULES, max_mailbox_size: 2000 }, clock, isDryRun: false };
  const tally = emptyTally();
  let hasMoved = false;
  expireMailbox(mailbox, options, tally, {
    onProblem: () => t.fail('a problem'),
    onRemoval(path) {
      if (hasMoved) return;
      hasMoved = true;
      // Its names have been read, those of the other have not.
      const from = dirname(path);
      const to = join(mailbox, from.endsWith('cur') ? 'new' : 'cur');
      for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
    },
  });
  t.equal(tally.messages, 17, 'five were seen twice');
  t.same(tally.messagesRemoved, { age: 2, large: 0, quota: 0 });
});
