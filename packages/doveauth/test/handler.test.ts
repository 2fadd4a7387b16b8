import t from 'tap';
import { NO_METRICS, parseConfig } from '#core';
import type { DictPeer } from '#dovecot-dict';
import { Accounts } from '../src/accounts.ts';
import { createAuthErrorReply, createAuthHandler, createLastLoginHandler } from '../src/handler.ts';

const PEER: DictPeer = { version: 3, dictName: 'auth' };
const USER = 'abcdefghi@x.org';
const EMPTY = Buffer.alloc(0);
const logged: unknown[][] = [];
const note = (...line: unknown[]) => void logged.push(line);
const log = { debug: note, info: note, warn: note, error: note };
const hashes = new Map([[USER, '{SHA512-CRYPT}$6$salt$digest']]);
const recorded: [string, number][] = [];
let isBroken = false;

const accounts = new Accounts(
  {
    log,
    metrics: NO_METRICS,
    now: () => 30_000 * 86_400_000,
    uptime: () => 0,
    hasher: { hash: async () => 'new hash', verify: async (password) => password[0] === 0x78 },
  },
  {
    config: parseConfig('[params]\nmail_domain = x.org\nmailboxes_dir = /mail'),
    readHost: async () => ({
      load1: undefined,
      availableMemoryBytes: undefined,
      freeDiskBytes: undefined,
      isCreationStopped: false,
    }),
    invitations: {
      take: async () => 'taken',
      takeOperator: async () => false,
      isHandedOut: async () => true,
      forget: async () => {},
    },
    store: {
      owner: { uid: 5000, gid: 5001 },
      async readPassword({ text }) {
        if (isBroken) throw new Error(`disk trouble with ${text}`);
        return hashes.get(text);
      },
      create: async () => true,
      async *list() {
        if (isBroken) throw new Error('disk trouble');
        yield { text: USER, localPart: 'abcdefghi', domain: 'x.org' };
      },
      readLastLogin: async ({ text }) => (hashes.has(text) ? 0 : undefined),
      writeLastLogin: async ({ text }, seconds) => void recorded.push([text, seconds]),
    },
  },
);
const auth = createAuthHandler(accounts, log);
const lookup = async (key: string) => auth.lookup!({ type: 'lookup', key: Buffer.from(key), user: EMPTY }, PEER);

t.test('look-ups', async (t) => {
  const temporary = { kind: 'found', value: '' };
  const userdb = { kind: 'found', value: '{"uid":"5000","gid":"5001","home":"/mail/abcdefghi@x.org"}' };
  const rows: [key: string, broken: boolean, expected: object, reason: string][] = [
    [
      `shared/passdb/secret"${USER}`,
      false,
      { kind: 'found', value: '{"password":"{SHA512-CRYPT}$6$salt$digest"}' },
      'the hash',
    ],
    ['shared/passdb/password1"newcomer0@x.org', false, { kind: 'found', value: '{"password":"new hash"}' }, 'created'],
    [
      `shared/passdb/${'x'.repeat(900)}"${USER}`,
      false,
      { kind: 'found', value: '{"nopassword":"Y"}' },
      'verified here',
    ],
    [`shared/passdb/${'y'.repeat(900)}"${USER}`, false, { kind: 'notFound' }, 'refused here'],
    [`shared/passdb/"${USER}`, false, { kind: 'notFound' }, 'an empty password'],
    ['shared/passdb/password1"abcdefghi@other.org', false, { kind: 'notFound' }, 'not ours'],
    [`shared/passdb/secret"${USER}`, true, temporary, 'trouble shows no password'],
    ['shared/passdb/secret', false, temporary, 'nor does a malformed key'],
    [`shared/userdb/${USER}`, false, userdb, 'uid, gid and home'],
    ['shared/userdb/newcomer0@x.org', false, { kind: 'notFound' }, 'unknown'],
    [`shared/userdb/${USER}`, true, { kind: 'failed' }, 'trouble is not "unknown"'],
    ['shared/else/x', false, { kind: 'failed' }, 'another key'],
  ];
  for (const [key, broken, expected, reason] of rows) {
    isBroken = broken;
    t.match(await lookup(key), expected, reason);
  }
  isBroken = false;
  t.notMatch(JSON.stringify(logged), /@|secret|password1/, 'the log names nobody');
});

t.test('iteration', async (t) => {
  const iterate = (path: string) =>
    auth.iterate!({ type: 'iterate', flags: 0, maxRows: 0, path: Buffer.from(path), user: Buffer.from('*') }, PEER);
  const rows = [];
  for await (const row of (await iterate('shared/userdb/')) as AsyncIterable<object>) rows.push(row);
  t.same(rows, [{ key: `shared/userdb/${USER}`, value: '' }]);
  t.match(await iterate('shared/passdb/'), { kind: 'failed' }, 'another path');
});

t.test('replies when a handler function fails', async (t) => {
  const reply = createAuthErrorReply(log);
  const error = new Error('late');
  const lookupOf = (key: string) => ({ type: 'lookup', key: Buffer.from(key), user: EMPTY }) as const;
  t.match(reply(error, lookupOf('shared/passdb/secret"u')), { kind: 'found', value: '' }, 'passdb: no sign of trouble');
  t.match(reply(error, lookupOf('shared/passdb/secret')), { kind: 'found', value: '' }, 'nor where it is malformed');
  t.match(reply(error, lookupOf('shared/userdb/u')), { kind: 'failed' }, 'userdb');
  const iterate = { type: 'iterate', flags: 0, maxRows: 0, path: EMPTY, user: EMPTY } as const;
  t.equal(reply(error, iterate), undefined, 'iteration: the generic failure');
});

t.test('last logins', async (t) => {
  const handler = createLastLoginHandler(accounts);
  const set = (key: string, value: string) =>
    ({ type: 'set', key: Buffer.from(key), value: Buffer.from(value) }) as const;
  const commit = async (...operations: Parameters<NonNullable<typeof handler.commit>>[0]['operations']) =>
    handler.commit!({ user: EMPTY, operations, expireSecs: 0, hideLogValues: false }, PEER);
  t.match(await commit(set(`shared/last-login/${USER}`, '90000')), { kind: 'committed' });
  t.same(recorded, [[USER, 86_400]], 'to the day');
  t.match(await commit(set(`shared/last-login/${USER}`, 'soon')), { kind: 'committed' }, 'odd values are ignored');
  t.match(await commit(set('shared/last-login/unknown00@x.org', '90000')), { kind: 'committed' }, 'unknown users too');
  t.match(
    await commit(set(`shared/last-login/${USER}`, '180000'), set('shared/other/x', '1')),
    { kind: 'failed' },
    'another key fails all of the transaction',
  );
  t.match(await commit({ type: 'unset', key: Buffer.from(`shared/last-login/${USER}`) }), { kind: 'failed' });
  t.equal(recorded.length, 1, 'nothing more was recorded');
});
