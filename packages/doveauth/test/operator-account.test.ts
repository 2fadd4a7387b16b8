import { randomBytes } from 'node:crypto';
import t from 'tap';
import { type Address, NO_METRICS, parseConfig } from '#core';
import { type AccountSettings, Accounts } from '../src/accounts.ts';
import { createOperatorAccount, type OperatorAccountContext } from '../src/operator-account.ts';
import type { HostState } from '../src/registration.ts';

const RICH: HostState = { load1: 0, availableMemoryBytes: 2 ** 40, freeDiskBytes: 2 ** 40, isCreationStopped: false };

function setUp(host = RICH) {
  const logged: unknown[][] = [];
  const note = (...line: unknown[]) => void logged.push(line);
  const log = { debug: note, info: note, warn: note, error: note };
  const counted: string[] = [];
  const metrics = {
    ...NO_METRICS,
    counter: (name: string) => ({
      inc: (labels: Readonly<Record<string, string>> = {}) =>
        void counted.push([name, ...Object.values(labels)].join(' ')),
    }),
  };
  const created: string[] = [];
  const settings = {
    config: parseConfig('[params]\nmail_domain = x.org\nregistration = closed'),
    readHost: async () => host,
    store: {
      readPassword: async () => undefined,
      create: async ({ text }: Address, hash: string) => created.push(`${text} ${hash}`) > 0,
    },
    invitations: {
      async takeOperator(token: string) {
        if (token === 'broken') throw new Error('disk trouble');
        return token === 'secret';
      },
    },
  } as unknown as AccountSettings;
  const hasher = { hash: async () => 'hash', verify: async () => false };
  const clocks = { now: () => 0, uptime: () => 0 };
  const context: OperatorAccountContext = {
    accounts: new Accounts({ hasher, log, metrics, ...clocks }, settings),
    hasher,
    log,
    now: clocks.now,
    randomness: async () => ({ bytes: randomBytes, pseudonym: (text) => text }),
    settings: () => settings,
  };
  return { context, logged, counted, created };
}

t.test('an account is made, whatever `registration` says, and counted as all others', async (t) => {
  const { context, logged, counted, created } = setUp();
  const outcome = await createOperatorAccount(context, 'secret');
  t.match(outcome, { kind: 'created', credentials: { email: /^\w{9}@x\.org$/, dcloginUrl: /^dclogin:/ } });
  t.equal(created.length, 1);
  t.same(counted, ['doveauth_accounts_created_total']);
  t.match(logged, [['account created']]);
  t.notMatch(JSON.stringify(logged), /@/);
});

t.test('refusals are logged and counted by reason', async (t) => {
  const rows: [token: string, host: HostState, reason: string][] = [
    ['zzz', RICH, 'not-the-operator'],
    ['', RICH, 'not-the-operator'],
    ['secret', { ...RICH, isCreationStopped: true }, 'creation-stopped'],
    ['secret', { ...RICH, load1: 1000 }, 'high-load'],
  ];
  for (const [token, host, reason] of rows) {
    const { context, logged, counted, created } = setUp(host);
    t.same(await createOperatorAccount(context, token), { kind: 'refused', reason });
    t.same(counted, [`doveauth_refusals_total ${reason}`], reason);
    t.same(logged, [['no account made for the operator', { reason }]]);
    t.same(created, []);
  }
});

t.test('trouble of ours is temporary', async (t) => {
  const { context, logged, counted } = setUp();
  t.same(await createOperatorAccount(context, 'broken'), { kind: 'temporary' });
  t.match(logged, [['no account could be created for now']]);
  t.same(counted, []);
});
