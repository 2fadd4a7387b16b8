import t from 'tap';
import { Circuit, FIRST_PAUSE_MS, MAX_FAILURES, MAX_PAUSE_MS, MIN_FAILING } from '../src/circuit.ts';
import type { PushOutcome, RetryReason } from '../src/providers/provider.ts';

const NOW = 1_800_000_000_000;
const failed = (reason: RetryReason, afterMs?: number): PushOutcome => ({
  kind: 'retry',
  reason,
  ...(afterMs !== undefined && { afterMs }),
});

/** Failures of as many accounts. */
function open(circuit: Circuit, ...outcomes: PushOutcome[]): void {
  const fallback = outcomes[0] ?? failed('connection');
  for (let n = 0; n < MAX_FAILURES; n++)
    circuit.ended(outcomes[n % outcomes.length] ?? fallback, circuit.started(), NOW, `u${n}`);
}

t.test('a row of failures opens it, one success closes it', async (t) => {
  const circuit = new Circuit();
  for (let n = 1; n < MAX_FAILURES; n++)
    t.equal(circuit.ended(failed('status-5xx'), circuit.started(), NOW, `u${n}`), undefined);
  t.ok(circuit.mayStart(NOW), 'not yet');
  t.equal(circuit.ended(failed('status-5xx'), circuit.started(), NOW, 'u'), 'opened');
  t.notOk(circuit.mayStart(NOW));
  t.equal(circuit.retryAt(), NOW + FIRST_PAUSE_MS);

  const later = NOW + FIRST_PAUSE_MS;
  t.ok(circuit.mayStart(later));
  t.ok(circuit.started(), 'the probe');
  t.notOk(circuit.mayStart(later), 'one at a time');
  t.equal(circuit.retryAt(), undefined, 'its answer decides');
  t.equal(circuit.ended({ kind: 'delivered' }, true, later, 'u'), 'closed');
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
    t.equal(circuit.ended(failed('timeout'), circuit.started(), now, 'u'), undefined);
  }
  t.same(pauses, [5000, 10_000, 20_000, 40_000, MAX_PAUSE_MS, MAX_PAUSE_MS]);
});

t.test('what counts', async (t) => {
  for (const reason of ['malformed', 'not-configured', 'undecrypted', 'busy', 'paused', 'error'] as const) {
    const circuit = new Circuit();
    for (let n = 0; n < 100; n++) circuit.ended(failed(reason), circuit.started(), NOW, `u${n}`);
    t.notOk(circuit.isOpen(), `${reason} says nothing about the service`);
  }
  const circuit = new Circuit();
  for (let n = 0; n < 1000; n++) {
    circuit.ended(n % 10 === 0 ? { kind: 'dead' } : failed('status-5xx'), circuit.started(), NOW, `u${n}`);
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
  const mixed = new Circuit();
  open(mixed, failed('rate-limited', 120_000), failed('status-5xx'));
  t.equal(mixed.retryAt(), NOW + FIRST_PAUSE_MS, 'only what all of them asked for: one answer may be about its token');
});

t.test('nobody stops a service alone', async (t) => {
  const few = new Circuit();
  for (let n = 0; n < 1000; n++) few.ended(failed('timeout'), few.started(), NOW, `u${n % (MIN_FAILING - 1)}`);
  t.notOk(few.isOpen(), 'whose tokens all fail');
  t.equal(
    few.ended(failed('timeout'), few.started(), NOW, 'anna'),
    'opened',
    'when others fail too, it is the service',
  );
  t.ok(few.hasFailed('anna'));
  t.notOk(few.hasFailed('bob'));

  const tokens = new Circuit();
  const aboutToken: PushOutcome = { kind: 'retry', reason: 'rate-limited', afterMs: 86_400_000, scope: 'token' };
  for (let n = 0; n < 1000; n++) tokens.ended(aboutToken, tokens.started(), NOW, `u${n}`);
  t.notOk(tokens.isOpen(), 'what is said of one token does not count, however many');
  open(tokens);
  t.equal(tokens.ended(aboutToken, tokens.started(), NOW, 'u'), 'closed', 'whoever judges a token is there');
  t.notOk(tokens.hasFailed('u1'), 'and nobody has failed any more');
});

t.test('pushes that were on the wire when it opened', async (t) => {
  const circuit = new Circuit();
  const earlier = circuit.started();
  open(circuit);
  t.equal(circuit.ended(failed('timeout'), earlier, NOW + 100_000, 'u'), undefined);
  t.equal(circuit.retryAt(), NOW + FIRST_PAUSE_MS, 'a late failure makes no longer pause');
  t.ok(circuit.started(), 'the probe');
  circuit.ended(failed('timeout'), false, NOW, 'u');
  t.notOk(circuit.mayStart(NOW + 100_000), 'and does not end the probe');
  circuit.ended(undefined, true, NOW, 'u');
  t.ok(circuit.mayStart(NOW + 100_000), 'a probe that was not sent makes room for another');
  t.equal(circuit.ended({ kind: 'delivered' }, false, NOW, 'u'), 'closed', 'but a late success tells that it is back');
});
