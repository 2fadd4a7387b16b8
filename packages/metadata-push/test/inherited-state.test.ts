import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { importInheritedState } from '../src/inherited-state.ts';
import { addToken, tokenId } from '../src/tokens.ts';
import { openStores, silent } from './fixtures/store.ts';

const NOW = 1_800_000_000_000;
const SECONDS = NOW / 1000;
const ANNA = 'anna@example.org';
const BOB = 'bob@example.org';

function relay(t: Test, files: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'inherited-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(directory, path, '..'), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  return directory;
}

t.test('tokens and waiting pushes of an existing relay', async (t) => {
  const mailboxesDir = relay(t, {
    [`${ANNA}/metadata.json`]: '{"devicetoken":["a1","a2"]}',
    [`${BOB}/metadata.json`]: `{"devicetoken":{"b1":${SECONDS - 3600},"gone":${SECONDS - 9e6}}}`,
    'carol@example.org/metadata.json': 'not json',
    'dave@example.org/password': '',
    'not-an-account/metadata.json': '{"devicetoken":["x"]}',
    'pending_notifications/1': `${ANNA}\n${SECONDS - 100}\na1`,
    'pending_notifications/2': `${ANNA}\n${SECONDS - 6 * 3600}\na2`,
    'pending_notifications/3': `${BOB}\n${SECONDS + 999_999}\nb1`,
    'pending_notifications/4': `${BOB}\n${SECONDS}\nunknown`,
    'pending_notifications/5.tmp': `${ANNA}\n${SECONDS}\na2`,
    'pending_notifications/6': `${ANNA}\n`,
  });
  const stores = openStores(t);
  const warnings: unknown[] = [];
  const log = { ...silent, warn: (...words: unknown[]) => void warnings.push(words) };
  const run = (stores: ReturnType<typeof openStores>, now: number) =>
    importInheritedState({ ...stores, mailboxesDir, log, now });
  // Set at the new relay already, and newer than what the file says.
  await stores.tokens.update(BOB, (list) => addToken(list, 'b2', NOW - 5));
  await run(stores, NOW);

  const names = (account: string) => stores.tokens.list(account).map(({ token }) => token);
  t.same(names(ANNA).toSorted(), ['a1', 'a2']);
  t.same(names(BOB).toSorted(), ['b1', 'b2'], 'beside those set since; the one that aged out is not taken over');
  t.match(stores.tokens.get(BOB, tokenId('b1')), { setAt: NOW - 3600_000 }, 'with its age');
  t.equal(stores.tokens.count(), 4);
  t.match(stores.queue.get({ account: ANNA, tokenId: tokenId('a1') }), { queuedAt: NOW - 100_000, attempts: 0 });
  t.match(stores.queue.get({ account: BOB, tokenId: tokenId('b1') }), { queuedAt: NOW }, 'a wrong clock');
  t.equal(stores.queue.depth(), 2, 'no push that is too old, half written or for an unknown token');
  t.same(warnings, [['token files were not understood', { count: 1 }]], 'without a name');

  await stores.tokens.update(ANNA, () => []);
  const later = await stores.reopen();
  await run(later, NOW + 1000);
  t.equal(later.tokens.list(ANNA).length, 0, 'once: what was forgotten since does not come back');
});

t.test('a new relay', async (t) => {
  const stores = openStores(t);
  const mailboxesDir = join(relay(t, {}), 'not-made-yet');
  await importInheritedState({ ...stores, mailboxesDir, log: silent, now: NOW });
  t.equal(stores.tokens.count(), 0);
});

t.test('what cannot be read holds up nobody', async (t) => {
  const stores = openStores(t);
  const mailboxesDir = relay(t, { [`${ANNA}/metadata.json`]: '{"devicetoken":["a1"]}' });
  mkdirSync(join(mailboxesDir, `${BOB}/metadata.json`), { recursive: true });
  mkdirSync(join(mailboxesDir, 'pending_notifications/directory'), { recursive: true });
  writeFileSync(join(mailboxesDir, 'pending_notifications/large'), Buffer.alloc(2 ** 20 + 1));
  const warnings: unknown[] = [];
  const log = { ...silent, warn: (...words: unknown[]) => void warnings.push(words) };
  await importInheritedState({ ...stores, mailboxesDir, log, now: NOW });
  t.equal(stores.tokens.count(), 1);
  t.same(warnings, [['token files were not understood', { count: 1 }]]);
});
