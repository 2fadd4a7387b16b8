import t from 'tap';
import { deliveryTime, hasChangedSince, MERGE_MS, WAKE_AFTER_MS } from '../src/wake-rule.ts';

const NOW = 1_800_000_000_400;

t.test('when a message was delivered', async (t) => {
  const rows: [changedAt: number | undefined, deliveredAt: number, reason: string][] = [
    [NOW - 12, NOW - 12, 'the hook runs a little later'],
    [NOW, NOW, 'at once'],
    [undefined, NOW, 'no maildir'],
    [NOW + 30, NOW, 'a clock that was set back'],
    [NOW - 1001, NOW, 'changed by something else: this message is not in new/'],
    [NOW - 400, NOW, 'a file system that keeps whole seconds'],
  ];
  for (const [changedAt, deliveredAt, reason] of rows) t.equal(deliveryTime(NOW, changedAt), deliveredAt, reason);
});

t.test('whether a mailbox has changed after the time in which a message can be lost', async (t) => {
  const delivered = NOW - WAKE_AFTER_MS;
  const rows: [changes: number[], expected: boolean, reason: string][] = [
    [[delivered, delivered - 5000], false, 'nothing since'],
    [[delivered + 20, delivered + 20], false, 'a hibernated session was quick; another may hibernate after that'],
    [[delivered + 20, delivered + 515], true, 'a session that was not hibernated moved it'],
    [[delivered + 505, delivered], false, 'perhaps just before the end of that time'],
    [[NOW, delivered], true, 'a change just now'],
    [[NOW + 5000, delivered], false, 'the clock was set back'],
    [[Math.ceil(delivered / 1000) * 1000, delivered], false, 'whole seconds say nothing'],
    [[], false, 'no directories'],
  ];
  for (const [changes, expected, reason] of rows) t.equal(hasChangedSince(delivered, changes, NOW), expected, reason);
});

t.test('the times fit together', async (t) => {
  t.ok(WAKE_AFTER_MS - MERGE_MS > 500 + 10, 'a change is late enough for every message it is for');
});
