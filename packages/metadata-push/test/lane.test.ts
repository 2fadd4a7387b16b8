import t from 'tap';
import { MAX_FAILURES } from '../src/circuit.ts';
import { Lane, MAX_PER_ACCOUNT, type Waiting } from '../src/lane.ts';

const NOW = 1_800_000_000_000;
const push = (account: string): Waiting => ({ key: { account } });

/** Takes what there is to take. */
function takeAll(lane: Lane<Waiting>): Waiting[] {
  const taken: Waiting[] = [];
  for (let next = lane.next(NOW); next; next = lane.next(NOW)) taken.push(next);
  return taken;
}
const accounts = (pushes: readonly Waiting[]) => pushes.map(({ key }) => key.account).join('');

t.test('accounts take turns', async (t) => {
  const lane = new Lane<Waiting>('x', 100, true);
  for (const account of 'aaaabbc') lane.add(push(account));
  t.equal(lane.waiting, 7);
  t.equal(accounts(takeAll(lane)), 'abcabaa');
  t.equal(lane.waiting, 0);
  t.equal(lane.onTheWire, 7);
});

t.test('no account has more than its places', async (t) => {
  const lane = new Lane<Waiting>('x', 100, true);
  for (let n = 0; n < 20; n++) lane.add(push('a'));
  lane.add(push('b'));
  const taken = takeAll(lane);
  t.equal(taken.length, MAX_PER_ACCOUNT + 1, 'b does not wait for the many of a');
  t.equal(lane.waiting, 20 - MAX_PER_ACCOUNT);
  lane.ended(taken.find(({ key }) => key.account === 'a')!, { kind: 'delivered' }, NOW);
  t.equal(accounts(takeAll(lane)), 'a', 'each answer makes room for one');
});

t.test('the limit holds for all together', async (t) => {
  const lane = new Lane<Waiting>('x', 3, true);
  for (const account of 'abcdef') lane.add(push(account));
  const taken = takeAll(lane);
  t.equal(accounts(taken), 'abc');
  t.notOk(lane.isFree(NOW));
  for (const one of taken) lane.ended(one, { kind: 'delivered' }, NOW);
  t.equal(accounts(takeAll(lane)), 'def');
});

t.test('an open circuit', async (t) => {
  const lane = new Lane<Waiting>('x', 100, true);
  const fail = (one: Waiting) => lane.ended(one, { kind: 'retry', reason: 'timeout' }, NOW);
  for (let n = 0; n < MAX_FAILURES; n++) lane.add(push(`${n}`));
  const changes = takeAll(lane).map(fail);
  t.equal(changes.at(-1), 'opened');
  lane.add(push('a'));
  lane.add(push('b'));
  t.equal(lane.next(NOW), undefined, 'nothing goes out');
  t.notOk(lane.isFree(NOW));
  const later = lane.circuit!.retryAt()!;
  const probe = lane.next(later)!;
  t.equal(probe.key.account, 'a', 'one asks');
  t.equal(lane.next(later), undefined);
  t.equal(lane.ended(probe, { kind: 'delivered' }, later), 'closed');
  t.equal(lane.next(later)?.key.account, 'b');
  lane.add(push('c'));
  t.equal(accounts(lane.clear()), 'c');
  t.equal(lane.waiting, 0);
});

t.test('who asks whether a service is back', async (t) => {
  const lane = new Lane<Waiting>('x', 100, true);
  const fail = (one: Waiting) => lane.ended(one, { kind: 'retry', reason: 'timeout' }, NOW);
  for (let n = 0; n < MAX_FAILURES; n++) lane.add(push(`${n}`));
  takeAll(lane).forEach(fail);
  for (const account of ['1', '2', 'anna', '3']) lane.add(push(account));
  const later = lane.circuit!.retryAt()!;
  const probe = lane.next(later)!;
  t.equal(probe.key.account, 'anna', 'one who has not failed, before those whose tokens may always fail');
  lane.ended(probe, undefined, later);
  t.equal(lane.next(later)!.key.account, '1', 'else whoever there is');
});

t.test('a lane without a circuit', async (t) => {
  const lane = new Lane<Waiting>('webpush', 1, false);
  for (let n = 0; n < 100; n++) {
    lane.add(push('a'));
    lane.ended(lane.next(NOW)!, { kind: 'retry', reason: 'timeout' }, NOW);
  }
  t.ok(lane.isFree(NOW), 'goes on whatever happens');
});
