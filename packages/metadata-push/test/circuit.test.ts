import t from 'tap';
import { Circuit, FIRST_PAUSE_MS, MAX_FAILURES, MAX_PAUSE_MS } from '../src/circuit.ts';
import type { PushOutcome, RetryReason } from '../src/providers/provider.ts';

const NOW = 1_800_000_000_000;
const failed = (reason: RetryReason, afterMs?: number): PushOutcome => ({
  kind: 'retry',
  reason,
  ...(afterMs !== undefined && { afterMs }),
});

function open(circuit: Circuit, last: PushOutcome = failed('timeout')): void {
  for (let n = 1; n < MAX_FAILURES; n++) circuit.ended(failed('connection'), circuit.started(), NOW);
  circuit.ended(last, circuit.started(), NOW);
}

t.test('a row of failures opens it, one success closes it', async (t) => {
  const circuit = new Circuit();
  for (let n = 1; n < MAX_FAILURES; n++)
    t.equal(circuit.ended(failed('status-5xx'), circuit.started(), NOW), undefined);
  t.ok(circuit.mayStart(NOW), 'not yet');
  t.equal(circuit.ended(failed('status-5xx'), circuit.started(), NOW), 'opened');
  t.notOk(circuit.mayStart(NOW));
  t.equal(circuit.retryAt(), NOW + FIRST_PAUSE_MS);

  const later = NOW + FIRST_PAUSE_MS;
  t.ok(circuit.mayStart(later));
  t.ok(circuit.started(), 'the probe');
  t.notOk(circuit.mayStart(later), 'one at a time');
  t.equal(circuit.retryAt(), undefined, 'its answer decides');
  t.equal(circuit.ended({ kind: 'delivered' }, true, later), 'closed');
  t.ok(circuit.mayStart(later));
  t.notOk(circuit.isOpen());
});

t.test('the pauses grow', async (t) => {
  const circuit = new Circuit();
  open(circuit);
  let now = NOW;
  const pauses: number[] = [];
  for (let n = 0; n < 6; n++) {
    const at = circuit.retryAt()!;
    pauses.push(at - now);
    now = at;
    t.equal(circuit.ended(failed('timeout'), circuit.started(), now), undefined);
  }
  t.same(pauses, [5000, 10_000, 20_000, 40_000, MAX_PAUSE_MS, MAX_PAUSE_MS]);
});

t.test('what counts', async (t) => {
  for (const reason of ['malformed', 'not-configured', 'undecrypted', 'busy', 'error'] as const) {
    const circuit = new Circuit();
    for (let n = 0; n < 100; n++) circuit.ended(failed(reason), circuit.started(), NOW);
    t.notOk(circuit.isOpen(), `${reason} says nothing about the service`);
  }
  const circuit = new Circuit();
  for (let n = 0; n < 1000; n++) {
    circuit.ended(n % 10 === 0 ? { kind: 'dead' } : failed('status-5xx'), circuit.started(), NOW);
  }
  t.notOk(circuit.isOpen(), 'a service that confirms dead tokens is alive');
});

t.test('Retry-After', async (t) => {
  const circuit = new Circuit();
  open(circuit, failed('rate-limited', 120_000));
  t.equal(circuit.retryAt(), NOW + 120_000);
  const endless = new Circuit();
  open(endless, failed('rate-limited', 1e9));
  t.equal(endless.retryAt(), NOW + 600_000, 'not for days');
});

t.test('pushes that were on the wire when it opened', async (t) => {
  const circuit = new Circuit();
  const earlier = circuit.started();
  open(circuit);
  t.equal(circuit.ended(failed('timeout'), earlier, NOW + 100_000), undefined);
  t.equal(circuit.retryAt(), NOW + FIRST_PAUSE_MS, 'a late failure makes no longer pause');
  t.ok(circuit.started(), 'the probe');
  circuit.ended(failed('timeout'), false, NOW);
  t.notOk(circuit.mayStart(NOW + 100_000), 'and does not end the probe');
  circuit.ended(undefined, true, NOW);
  t.ok(circuit.mayStart(NOW + 100_000), 'a probe that was not sent makes room for another');
  t.equal(circuit.ended({ kind: 'delivered' }, false, NOW), 'closed', 'but a late success tells that it is back');
});
