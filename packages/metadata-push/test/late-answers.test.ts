import t from 'tap';
import { LateAnswers, REMEMBERED_MS, type Sent } from '../src/late-answers.ts';
import type { PushOutcome } from '../src/providers/provider.ts';

const delivered: PushOutcome = { kind: 'delivered' };
const failed: PushOutcome = { kind: 'retry', reason: 'connection' };
const late: PushOutcome = { kind: 'retry', reason: 'timeout' };

/** Pushes that end when the test says so, and are late at once. */
function start() {
  const clock = { now: 0 };
  const options = { now: () => clock.now, patienceMs: 1 };
  const answers = new LateAnswers(options);
  const ends: ((outcome: PushOutcome) => void)[] = [];
  const push = async (name: string) => {
    const send = () => new Promise<Sent>((resolve) => ends.push((outcome) => resolve({ outcome, isShared: false })));
    return (await answers.push(name, send)).outcome;
  };
  const pushNow = async (name: string) =>
    (await answers.push(name, async () => ({ outcome: delivered, isShared: false }))).isShared ? 'late' : 'sent';
  /** Ends everything on the wire, in the order it was sent. */
  const end = async (outcome: PushOutcome) => {
    for (const one of ends.splice(0)) one(outcome);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, options, push, pushNow, end };
}

t.test('the repetition of a push that was delivered late', async (t) => {
  const { clock, push, pushNow, end } = start();
  t.same(await push('a'), late, 'the relay is told to come again');
  await end(delivered);
  t.equal(await pushNow('b'), 'sent', 'another push is sent');
  clock.now = REMEMBERED_MS - 1;
  t.equal(await pushNow('a'), 'late', 'is answered by that');
  t.equal(await pushNow('a'), 'sent', 'once');
});

t.test('repetitions that are sent', async (t) => {
  const { clock, push, pushNow, end } = start();
  await push('failed');
  await end(failed);
  t.equal(await pushNow('failed'), 'sent', 'of a push that failed after all');
  await push('old');
  await end(delivered);
  clock.now = REMEMBERED_MS;
  t.equal(await pushNow('old'), 'sent', 'long after it was delivered');
});

t.test('a relay that heard of the delivery', async (t) => {
  const { options, push, pushNow, end } = start();
  for (const isLateFirst of [true, false]) {
    const name = `a${isLateFirst}`;
    const patient = () => {
      options.patienceMs = 1e9;
      return push(name);
    };
    const hurried = async () => {
      options.patienceMs = 1;
      t.same(await push(name), late);
    };
    let inTime: Promise<PushOutcome>;
    if (isLateFirst) {
      await hurried();
      inTime = patient();
    } else {
      inTime = patient();
      await hurried();
    }
    await end(delivered);
    t.same(await inTime, delivered);
    t.equal(await pushNow(name), 'sent', 'has nothing more to hear: this is another push');
  }
});

t.test('a bug in sending', async (t) => {
  const { options, pushNow } = start();
  const answers = new LateAnswers(options);
  await t.rejects(answers.push('a', () => Promise.reject(new Error('x'))));
  let fail: (error: Error) => void = () => {};
  const hanging = () =>
    new Promise<Sent>((_, reject) => {
      fail = reject;
    });
  t.same((await answers.push('a', hanging)).outcome, late);
  fail(new Error('x'));
  t.equal(await pushNow('a'), 'sent');
});
