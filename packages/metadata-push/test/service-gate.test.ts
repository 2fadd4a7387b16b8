import t from 'tap';
import { MAX_FAILURES } from '../src/circuit.ts';
import type { PushOutcome, ServiceName } from '../src/providers/provider.ts';
import { type Sent, ServiceGate, type ServiceGateOptions } from '../src/service-gate.ts';

const delivered: PushOutcome = { kind: 'delivered' };
const failed: PushOutcome = { kind: 'retry', reason: 'status-5xx' };

function gateOf(service: ServiceName, options: Partial<ServiceGateOptions> = {}) {
  const changes: string[] = [];
  const clock = { now: 0 };
  const gate = new ServiceGate(service, {
    now: () => clock.now,
    onChange: (change) => void changes.push(change),
    patienceMs: 1e9,
    ...options,
  });
  let calls = 0;
  const push = async (outcome: PushOutcome, id = `device${calls}`) => {
    calls++;
    return (await gate.push(id, async () => ({ outcome, isShared: false }))).outcome;
  };
  return { gate, push, changes, clock };
}

t.test('a service that fails is left alone, and asked by one push at a time', async (t) => {
  const { gate, push, changes, clock } = gateOf('apns');
  for (let n = 0; n < MAX_FAILURES; n++) t.same(await push(failed), failed);
  t.same(changes, ['opened']);
  t.ok(gate.isOpen());
  clock.now = 1000;
  t.same(await push(delivered), { kind: 'retry', reason: 'paused', afterMs: 4000 }, 'the relay is told how long');
  clock.now = 5000;
  let end: (sent: Sent) => void = () => {};
  const probe = gate.push('probe', () => {
    const { promise, resolve } = Promise.withResolvers<Sent>();
    end = resolve;
    return promise;
  });
  t.match(await push(delivered), { reason: 'paused' });
  end({ outcome: delivered, isShared: false });
  t.same((await probe).outcome, delivered);
  t.same(changes, ['opened', 'closed']);
  t.same(await push(delivered), delivered);
});

t.test('failures that open nothing', async (t) => {
  const { push, changes } = gateOf('fcm');
  for (let n = 0; n < 100; n++) await push({ ...failed, scope: 'token' });
  t.same(changes, [], 'of tokens');
  for (let n = 0; n < 100; n++) await push(failed, 'one');
  t.same(changes, [], 'of one device');
  const web = gateOf('webpush');
  for (let n = 0; n < 100; n++) await web.push(failed);
  t.same(web.changes, [], 'of endpoints');
});

t.test('so many at once', async (t) => {
  const { gate, push } = gateOf('apns', { maxOnTheWire: 2 });
  const ends: ((sent: Sent) => void)[] = [];
  const hang = (id: string) => gate.push(id, () => new Promise((resolve) => void ends.push(resolve)));
  const both = [hang('a'), hang('b')];
  t.same(await push(delivered), { kind: 'retry', reason: 'busy' });
  ends[0]!({ outcome: delivered, isShared: true });
  t.same(await both[0], { outcome: delivered, isShared: true });
  t.same(await push(delivered), delivered);
  ends[1]!({ outcome: failed, isShared: false });
  t.same((await both[1])?.outcome, failed);
});

t.test('a late service', async (t) => {
  const { gate, push, changes } = gateOf('apns', { patienceMs: 1 });
  const ends: ((sent: Sent) => void)[] = [];
  const late = Array.from({ length: MAX_FAILURES }, (_, n) =>
    gate.push(`d${n}`, () => new Promise((resolve) => void ends.push(resolve))),
  );
  for (const sent of await Promise.all(late)) t.same(sent.outcome, { kind: 'retry', reason: 'timeout' });
  t.same(changes, ['opened']);
  ends[0]!({ outcome: failed, isShared: false });
  t.match(await push(delivered), { reason: 'paused' });
  ends[1]!({ outcome: delivered, isShared: false });
  await new Promise((resolve) => setImmediate(resolve));
  t.same(changes, ['opened', 'closed'], 'that answers after all is there');
});

t.test('a bug in sending gives its place back', async (t) => {
  const { gate, push } = gateOf('apns', { maxOnTheWire: 1 });
  await t.rejects(gate.push('a', () => Promise.reject(new Error('x'))));
  t.same(await push(delivered), delivered);
});
