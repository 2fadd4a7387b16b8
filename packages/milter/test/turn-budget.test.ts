/**
 * The budget of a turn, by what happens between two turns of the event loop. Work is measured in spins of 1 ms by the clock: a slow
 * machine makes fewer of them fit, never more, so that the counts below hold on any.
 */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { MilterServer } from '#milter';
import { TestMta } from '#milter/testing';
import type { MilterServerOptions } from '../src/options.ts';
import { TurnBudget } from '../src/turn-budget.ts';

const directory = mkdtempSync(join(tmpdir(), 'milter-turns-'));
t.teardown(() => rmSync(directory, { recursive: true }));

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

t.test('a turn has its time, and whoever comes then waits in line', async (t) => {
  let clock = 0;
  const budget = new TurnBudget(5, () => clock);
  const order: string[] = [];
  t.ok(budget.admits(), 'the first');
  t.ok(budget.admits(), 'another one in the same turn');
  clock += 6;
  t.ok(budget.isSpent());
  t.notOk(budget.admits(), 'the time is over');
  budget.enqueue(() => {
    order.push('first');
    t.ok(budget.admits(), 'called from the queue');
    clock += 6;
    t.ok(budget.admits(), 'even when it comes late');
    budget.enqueue(() => order.push('first again'));
  });
  budget.enqueue(() => order.push('second'));
  await nextTurn();
  t.strictSame(order, [], 'the turn is over');
  await nextTurn();
  t.strictSame(order, ['first'], 'the first took all of the next one');
  t.notOk(budget.admits(), 'nobody goes ahead of those who wait');
  budget.enqueue(() => order.push('newcomer'));
  while (order.length < 4) await nextTurn();
  t.strictSame(order, ['first', 'second', 'first again', 'newcomer']);
  await nextTurn();
  t.ok(budget.admits(), 'nobody waits any more');
});

t.test('what is enqueued outside a turn is called too', async (t) => {
  const budget = new TurnBudget();
  let calls = 0;
  for (let i = 0; i < 3; i++) budget.enqueue(() => calls++);
  await nextTurn();
  await nextTurn();
  t.equal(calls, 3);
});

interface Observed {
  /** Most commands worked off between two turns of the event loop. */
  readonly mostPerTurn: number;
  /** Which connection each command was of, in their order. */
  readonly order: readonly number[];
  readonly errors: readonly unknown[];
}

/** `drainAfter`: the server is to stop when so many commands are worked off, and has read all that was sent by then. */
type ObserveOptions = Partial<MilterServerOptions> & { readonly drainAfter?: number };

/** Sends `count` connections `headers` header fields each at once, every one of which takes the handler 1 ms. */
async function observe(count: number, headers: number, { drainAfter, ...options }: ObserveOptions): Promise<Observed> {
  const order: number[] = [];
  const errors: unknown[] = [];
  let handlers = 0;
  let isOver = false;
  let drained: Promise<void> | undefined;
  const milter: MilterServer = new MilterServer({
    events: { mail: 'notify', header: 'notify', body: 'notify' },
    onError: (error) => errors.push(error),
    handler: () => {
      const number = handlers++;
      const work = () => {
        order.push(number);
        if (order.length === drainAfter) drained = milter.drain(10_000);
        spin(1);
      };
      return { header: work, body: work, endOfMessage: () => ({ verdict: 'accept' }) };
    },
    ...options,
  });
  const path = join(directory, `${Math.random()}.sock`);
  milter.server.listen(path);
  await once(milter.server, 'listening');
  const mtas: TestMta[] = [];
  for (let i = 0; i < count; i++) {
    const mta = await TestMta.connect({ path });
    await mta.negotiate();
    await mta.client();
    mtas.push(mta);
  }
  let mostPerTurn = 0;
  const watch = (async () => {
    for (let before = order.length; !isOver; before = order.length) {
      await nextTurn();
      mostPerTurn = Math.max(mostPerTurn, order.length - before);
    }
  })();
  const fields = { headers: Array.from({ length: headers }, (_, i) => ['Subject', `${i}`] as const) };
  const replies = await Promise.all(mtas.map((mta) => mta.message(fields)));
  isOver = true;
  await watch;
  for (const { reply } of replies) if (reply.type !== 'accept') errors.push(reply);
  if (drained) await drained;
  else await Promise.all(mtas.map((mta) => mta.quit()));
  await milter.drain(1000);
  return { mostPerTurn, order, errors };
}

for (const reading of ['shared', 'plain'] as const) {
  t.test(`connections share a turn: ${reading}`, async (t) => {
    const control = await observe(8, 20, { reading, turnBudget: new TurnBudget(Number.POSITIVE_INFINITY) });
    t.ok(control.mostPerTurn >= 20, `without a budget ${control.mostPerTurn} ms in one turn`);

    const { mostPerTurn, order, errors } = await observe(8, 20, { reading });
    t.strictSame(errors, []);
    t.equal(order.length, 8 * 21);
    // One spin more than the budget.
    t.ok(mostPerTurn <= 5, `${mostPerTurn} ms at most`);
    const firstEnds = order.findIndex((number, at) => !order.slice(at + 1).includes(number));
    t.equal(new Set(order.slice(0, firstEnds)).size, 8, 'all had begun before the first was through');
  });
}

t.test('waiting in line is not the silence of an MTA', async (t) => {
  const { errors, order } = await observe(30, 8, { readTimeoutMs: 150 });
  t.strictSame(errors, []);
  t.equal(order.length, 30 * 9);
});

t.test('a server that stops answers what waits in line', async (t) => {
  const { errors, order } = await observe(20, 8, { drainAfter: 30 });
  t.strictSame(errors, []);
  t.equal(order.length, 20 * 9, 'every message that had been sent');
});
