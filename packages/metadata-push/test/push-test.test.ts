import t from 'tap';
import type { PushOutcome } from '../src/providers/provider.ts';
import { PushTester } from '../src/push-test.ts';
import { addToken } from '../src/tokens.ts';
import { openStores } from './fixtures/store.ts';

const ANNA = 'anna@example.org';

t.test('reports every token by its kind, and no token', async (t) => {
  const { tokens } = openStores(t);
  const answers: Record<string, PushOutcome> = {
    'openpgp:aaaa': { kind: 'delivered' },
    'fcm-chat.delta:x': { kind: 'dead' },
    'ubports-y': { kind: 'retry', reason: 'status-5xx' },
  };
  for (const token of [...Object.keys(answers), 'never-tried']) {
    await tokens.update(ANNA, (list) => addToken(list, token, Date.now()));
  }
  const tester = new PushTester({ tokens, now: Date.now, timeoutMs: 50 });
  const provider = tester.watch({
    name: 'stub',
    prepare: async () => {},
    send: async (token) => answers[token]!,
    close: async () => {},
  });
  const notify = async () => {
    for (const token of Object.keys(answers)) void provider.send(token);
  };
  const report = await tester.test(ANNA, notify);
  t.same(report.map(({ kind, outcome }) => `${kind} ${outcome}`).toSorted(), [
    'fcm dead',
    'openpgp delivered',
    'ubports status-5xx',
    'unknown waiting',
  ]);
  t.notMatch(JSON.stringify(report), /aaaa|chat\.delta|never/);
  t.same(await tester.test('nobody@example.org', async () => {}), [], 'no token, no report');
  await t.rejects(
    tester.test(ANNA, async () => {
      throw new Error('disk full');
    }),
    /disk full/,
  );
  t.same(await provider.send('ubports-y'), answers['ubports-y'], 'afterwards the provider answers as ever');
});
