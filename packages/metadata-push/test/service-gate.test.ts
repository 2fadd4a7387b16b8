import t from 'tap';
import { MAX_FAILURES } from '../src/circuit.ts';
import type { LaneName, PushOutcome } from '../src/providers/provider.ts';
import { ServiceGate, type ServiceGateOptions } from '../src/service-gate.ts';

const delivered: PushOutcome = { kind: 'delivered' };
const failed: PushOutcome = { kind: 'retry', reason: 'status-5xx' };

function gateOf(service: LaneName, options: Partial<ServiceGateOptions> = {}) {
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
    return gate.push(id, async () => outcome);
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
  const { promise, resolve: end } = Promise.withResolvers<PushOutcome>();
  const probe = gate.push('probe', () => promise);
  t.match(await push(delivered), { reason: 'paused' });
  end(delivered);
  t.same(await probe, delivered);
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
  const ends: ((outcome: PushOutcome) => void)[] = [];
  const hang = (id: string) => gate.push(id, () => new Promise((resolve) => void ends.push(resolve)));
  const both = [hang('a'), hang('b')];
  t.same(await push(delivered), { kind: 'retry', reason: 'busy' });
  ends[0]!(delivered);
  t.same(await both[0], delivered);
  t.same(await push(delivered), delivered);
  ends[1]!(failed);
  t.same(await both[1], failed);
});

t.test('a late service', async (t) => {
  const opened = Promise.withResolvers<void>();
  const { gate, push, changes } = gateOf('apns', {
    patienceMs: 1,
    onChange: (change) => {
      changes.push(change);
      opened.resolve();
    },
  });
  const ends: ((outcome: PushOutcome) => void)[] = [];
  const late = Array.from({ length: MAX_FAILURES }, (_, n) =>
    gate.push(`d${n}`, () => new Promise((resolve) => void ends.push(resolve))),
  );
  await opened.promise;
  t.same(changes, ['opened'], 'has failed for now');
  ends[0]!(failed);
  t.same(await late[0], failed, 'what comes of a push is told all the same');
  t.match(await push(delivered), { reason: 'paused' });
  ends[1]!(delivered);
  t.same(await late[1], delivered);
  t.same(changes, ['opened', 'closed'], 'that answers after all is there');
});

t.test('a device that has not failed asks first whether the service is back', async (t) => {
  const { push, changes, clock } = gateOf('apns');
  for (let n = 0; n < MAX_FAILURES; n++) await push(failed);
  clock.now = 5000;
  t.same(
    await push(delivered, 'device0'),
    { kind: 'retry', reason: 'paused', afterMs: 5000 },
    'one that has failed is told to come later',
  );
  clock.now = 9999;
  t.match(await push(delivered, 'device0'), { reason: 'paused' });
  clock.now = 10_000;
  t.same(await push(delivered, 'device0'), delivered, 'and does it when no other has come');
  t.same(changes, ['opened', 'closed']);
  for (let n = 0; n < MAX_FAILURES; n++) await push(failed, `device${n}`);
  clock.now = 15_000;
  t.same(await push(delivered, 'other'), delivered);
});

t.test('a bug in sending gives its place back', async (t) => {
  const { gate, push } = gateOf('apns', { maxOnTheWire: 1 });
  await t.rejects(gate.push('a', () => Promise.reject(new Error('x'))));
  t.same(await push(delivered), delivered);
});
