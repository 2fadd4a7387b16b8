import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseConfig } from '#core';
import { createDictServer, type DictVersion } from '#dovecot-dict';
import { DictClient } from '#dovecot-dict/testing';
import { createMetadataHandler } from '../src/handler.ts';
import type { TokenStore } from '../src/token-store.ts';
import { openStores } from './fixtures/store.ts';

const GUID = '88b5140ddc6d026b1010000083ecc375';
const TOKEN_KEY = `priv/${GUID}/devicetoken`;
const server = (name: string) => `shared/${GUID}/vendor/vendor.dovecot/pvt/server/vendor/deltachat/${name}`;
const ANNA = 'anna@example.org';
const NOW = 1_800_000_000_000;

/** Everything behind the handler that is not the token store: what was asked of it, and how it answers. */
const config = { mail_domain: 'example.org', iroh_relay: 'https://example.org' };
let calls: string[] = [];
const prepared: string[] = [];
let turn: () => Promise<string | undefined> = async () => '1800500000:secret:with:colons';
let appVersions: string | undefined = '{"clients":[]}';
let notify: () => Promise<void> = async () => {};
let now = NOW;

async function connect(t: Test, version: DictVersion, tokens: TokenStore): Promise<DictClient> {
  const handler = createMetadataHandler({
    config: () => config,
    tokens,
    pusher: {
      notify: (account) => {
        calls.push(`notify ${account}`);
        return notify();
      },
      forget: (account) => {
        calls.push(`forget ${account}`);
        return tokens.update(account, () => []);
      },
      prepare: (token) => void prepared.push(token),
    },
    waker: { wake: ({ text }) => void calls.push(`wake ${text}`) },
    testPush: async (account) => [`tested ${account}`],
    pushStats: () => ({ tokens: tokens.count() }),
    turnCredentials: () => turn(),
    appVersions: () => appVersions,
    now: () => now,
  });
  const directory = mkdtempSync(join(tmpdir(), 'metadata-push-'));
  const dict = createDictServer(handler);
  await new Promise<void>((resolve) => dict.server.listen(join(directory, 's'), resolve));
  t.teardown(async () => {
    await dict.drain(0);
    rmSync(directory, { recursive: true });
  });
  return DictClient.connect(join(directory, 's'), { version, dictName: 'metadata' });
}

const found = (value: string) => ({ kind: 'found', values: [Buffer.from(value)] });
const notFound = { kind: 'notFound' };

for (const version of [3, 4] as const) {
  t.test(`protocol version ${version}`, async (t) => {
    const { tokens } = openStores(t);
    const client = await connect(t, version, tokens);
    const set = (key: string, value: string, user = ANNA) => client.begin(user).set(key, value).commit();
    const lookup = (key: string, user = ANNA) => client.lookup(key, user);
    /** The tokens a lookup shows, whatever their order. */
    const tokensOf = async (user: string) => {
      const reply = await lookup(TOKEN_KEY, user);
      return reply.kind === 'found' ? reply.values[0]!.toString().split(' ').toSorted() : reply;
    };
    const both = ['fcm-chat.delta:b', 'openpgp:a='];
    calls = [];
    prepared.length = 0;
    now = NOW;

    t.same(await lookup(TOKEN_KEY), notFound, 'no token yet');
    t.match(await set(TOKEN_KEY, 'openpgp:a='), { kind: 'committed' });
    t.match(await set(TOKEN_KEY, 'fcm-chat.delta:b'), { kind: 'committed' });
    t.same(await tokensOf(ANNA), both, 'all tokens, separated by a blank');
    t.same(prepared, ['openpgp:a=', 'fcm-chat.delta:b'], 'what each needs is loaded');
    t.same(await lookup(TOKEN_KEY, 'bob@example.org'), notFound, 'nobody else sees them');

    for (const [value, reason] of [
      ['', 'empty'],
      ['a b', 'a blank'],
      ['a\nb', 'a line feed'],
      ['ä', 'not ASCII'],
      ['x'.repeat(4097), 'too long'],
    ] as const) {
      t.match(await set(TOKEN_KEY, value), { kind: 'failed' }, reason);
    }
    t.match(await set(TOKEN_KEY, 'c', 'nobody'), { kind: 'failed' }, 'a user that is no address');
    t.match(await set(TOKEN_KEY, 'c', '../x@example.org'), { kind: 'failed' }, 'nor is this');
    t.match(await set(`priv/${GUID}/comment`, 'hello'), { kind: 'failed' }, 'an entry we do not have');
    t.match(await set(server('irohrelay'), 'https://evil.example'), { kind: 'failed' }, 'read-only');
    t.match(await set('priv/account', 'x'), { kind: 'failed' });
    t.match(await client.begin(ANNA).increment(TOKEN_KEY, 1n).commit(), { kind: 'failed' }, 'not a number');
    t.match(
      await client.begin(ANNA).set(TOKEN_KEY, 'c').set(`priv/${GUID}/comment`, 'x').commit(),
      { kind: 'failed' },
      'half a transaction is none',
    );
    t.same(await tokensOf(ANNA), both, 'and nothing of all that happened');

    t.match(await set(`priv/${GUID}/messagenew`, ''), { kind: 'committed' });
    t.same(calls, [`wake ${ANNA}`, `notify ${ANNA}`]);
    t.match(await set(`priv/${GUID}/messagewake`, ''), { kind: 'committed' });
    t.same(calls.slice(2), [`wake ${ANNA}`], 'announced, not pushed');
    t.same(await lookup(`priv/${GUID}/messagewake`), notFound);
    t.same(await lookup(`priv/${GUID}/messagenew`), notFound);

    t.same(await client.iterate(`priv/${GUID}/`, { user: ANNA }), { kind: 'rows', rows: [] }, 'DELETE of a folder');
    t.match(await client.begin(ANNA).unset(`priv/${GUID}/comment`).commit(), { kind: 'committed' }, 'asks for this');
    t.same(await tokensOf(ANNA), both, 'and takes no token');

    now = NOW + 90 * 24 * 60 * 60 * 1000;
    t.same(await lookup(TOKEN_KEY), notFound, '90 days later they are gone');
    now = NOW;
    t.match(await client.begin(ANNA).unset(TOKEN_KEY).commit(), { kind: 'committed' });
    t.same(await lookup(TOKEN_KEY), notFound, 'unset');
    t.same(await lookup('priv/account/push/test'), found(`["tested ${ANNA}"]`), 'for chatmailctl');
    t.same(await lookup('priv/account/push/test', 'nobody'), notFound, 'a user that is no address');
    t.same(await lookup('shared/push/stats', ''), found('{"tokens":0}'));
    t.match(await set('priv/account/push/test', ''), { kind: 'failed' }, 'to be looked up only');
    await set(TOKEN_KEY, 'd');
    t.match(await client.begin(ANNA).unset('priv/account').commit(), { kind: 'committed' });
    t.same(calls.slice(3), [`forget ${ANNA}`, `forget ${ANNA}`]);
    t.equal(tokens.count(), 0, 'a deleted account leaves no token');
    await client.close();
  });
}

t.test('server entries', async (t) => {
  const client = await connect(t, 3, openStores(t).tokens);
  const lookup = (name: string) => client.lookup(server(name), ANNA);
  t.same(await lookup('maxsmtprecipients'), found('1000'));
  t.same(await lookup('irohrelay'), found('https://example.org'));
  t.same(await lookup('turn'), found('example.org:3478:1800500000:secret:with:colons'));
  t.same(await lookup('appversions'), found('{"clients":[]}'));
  appVersions = undefined;
  t.same(await lookup('appversions'), notFound, 'no list');
  t.same(await client.lookup('shared/nonsense', ANNA), notFound);
  turn = async () => undefined;
  t.same(await lookup('turn'), notFound, 'no TURN service');
  turn = async () => {
    throw new Error('a bug');
  };
  t.same(await lookup('turn'), notFound, 'the other entries of the same GETMETADATA must not fail with it');
  config.iroh_relay = parseConfig('[params]\nmail_domain = example.org\n').iroh_relay;
  t.same(await lookup('irohrelay'), notFound, 'configuration of the moment: none, unless one is given');
  config.iroh_relay = 'https://example.org';
  await client.close();
});

t.test('what is not on disk is not acknowledged', async (t) => {
  const client = await connect(t, 3, openStores(t).tokens);
  let written = () => {};
  notify = () =>
    new Promise((resolve) => {
      written = resolve;
    });
  let isAcknowledged = false;
  const reply = client.begin(ANNA).set(`priv/${GUID}/messagenew`, '').commit();
  reply.then(() => {
    isAcknowledged = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.notOk(isAcknowledged);
  written();
  t.match(await reply, { kind: 'committed' });
  notify = async () => {
    throw new Error('disk full');
  };
  t.match(await client.begin(ANNA).set(`priv/${GUID}/messagenew`, '').commit(), { kind: 'failed' });
  await client.close();
});
