import { randomBytes } from 'node:crypto';
import t from 'tap';
import { type Address, NO_METRICS, parseConfig } from '#core';
import type { AccountSettings } from '../src/accounts.ts';
import type { TakeResult } from '../src/invitation.ts';
import { Newcomers } from '../src/newcomers.ts';

const IDLE = { load1: 0, availableMemoryBytes: 2 ** 40, freeDiskBytes: 2 ** 40, isCreationStopped: false };

function setUp(lines = '', { host = IDLE, domain = 'x.org', result = 'taken' as TakeResult, taken = '' } = {}) {
  const clock = { now: 0 };
  const logged: unknown[][] = [];
  const note = (...line: unknown[]) => void logged.push(line);
  const takes: unknown[][] = [];
  const settings = (lines: string) =>
    ({
      config: parseConfig(`[params]\nmail_domain = ${domain}\n${lines}`),
      readHost: async () => host,
      store: { readPassword: async ({ text }: Address) => (new RegExp(taken || '^$').test(text) ? 'hash' : undefined) },
      invitations: {
        take: async (token: string, { text }: Address, password: Buffer) => {
          takes.push([token, text, String(password)]);
          if (token === 'broken') throw new Error('disk trouble');
          return result;
        },
      },
    }) as unknown as AccountSettings;
  const newcomers = new Newcomers(
    {
      log: { debug: note, info: note, warn: note, error: note },
      metrics: NO_METRICS,
      now: () => 0,
      uptime: () => clock.now,
      randomness: async () => ({ bytes: randomBytes, pseudonym: (text) => `p${text}` }),
    },
    settings(lines),
  );
  return { newcomers, clock, logged, takes, settings };
}

const refused = (reason: string) => ({ kind: 'refused', reason });

t.test('what is offered', async (t) => {
  const offer = await setUp().newcomers.offer(['a'], undefined);
  t.match(offer, { kind: 'offered', credentials: { email: /^[a-z0-9]{9}@x\.org$/, password: /^\w{22}$/ } });
  t.equal(offer.kind === 'offered' && offer.credentials.dcloginUrl, undefined, 'a certificate that can be checked');
  const selfSigned: [domain: string, email: RegExp, url: RegExp][] = [
    ['_x.org', /@_x\.org$/, /^dclogin:\w{9}@_x\.org\?p=\w{22}&v=1&ic=3$/],
    [
      '10.0.0.1',
      /@\[10\.0\.0\.1\]$/,
      /^dclogin:\w{9}@\[10\.0\.0\.1\]\?p=\w{22}&v=1&ih=10\.0\.0\.1&sh=10\.0\.0\.1&ic=3$/,
    ],
  ];
  for (const [domain, email, dcloginUrl] of selfSigned) {
    const { newcomers } = setUp('', { domain });
    t.match(await newcomers.offer(['a'], undefined), { credentials: { email, dcloginUrl } }, domain);
  }
});

t.test('refusals', async (t) => {
  const rows: [lines: string, options: Parameters<typeof setUp>[1], token: string | undefined, reason: string][] = [
    ['registration = closed', {}, undefined, 'registration-closed'],
    ['registration = token', {}, undefined, 'invitation-missing'],
    ['registration = token', {}, '', 'invitation-missing'],
    ['registration = token', { result: 'invitation-expired' }, 't', 'invitation-expired'],
    ['', { host: { ...IDLE, isCreationStopped: true } }, undefined, 'creation-stopped'],
    ['', { host: { ...IDLE, load1: 99 } }, undefined, 'high-load'],
  ];
  for (const [lines, options, token, reason] of rows) {
    const { newcomers, logged } = setUp(lines, options);
    t.match(await newcomers.offer(['a'], token), refused(reason));
    t.same(logged, [['no account offered', { reason }]], 'logged by reason');
  }
});

t.test('invitations', async (t) => {
  const { newcomers, takes } = setUp('registration = token');
  const offer = await newcomers.offer(['a'], 'secret');
  t.ok(offer.kind === 'offered');
  if (offer.kind === 'offered') t.same(takes, [['secret', offer.credentials.email, offer.credentials.password]]);
  t.same(await newcomers.offer(['a'], 'broken'), { kind: 'temporary' }, 'trouble of ours');
  t.same(await setUp('registration = token', { result: 'too-many' }).newcomers.offer(['a'], 't'), {
    kind: 'temporary',
  });
  const open = setUp();
  await open.newcomers.offer(['a'], 'secret');
  t.same(open.takes, [], 'an open relay does not ask for the token it is given');
});

t.test('rates', async (t) => {
  const limits = 'new_accounts_per_minute = 5\nnew_accounts_per_minute_per_client = 2';
  const { newcomers, clock, settings } = setUp(limits);
  const ask = async (...networks: string[]) => (await newcomers.offer(networks, undefined)).kind;
  t.same([await ask('a'), await ask('a'), await ask('a')], ['offered', 'offered', 'refused'], 'two of one client');
  t.match(await newcomers.offer(['a'], undefined), { reason: 'rate-limit', retryAfterSeconds: 30 });
  t.equal(await ask('invented', 'a'), 'refused', 'an invented address does not help');
  t.same(
    [await ask('b'), await ask('c'), await ask('d'), await ask('e')],
    ['offered', 'offered', 'offered', 'refused'],
  );
  clock.now = 60_000;
  t.equal(await ask('a'), 'offered', 'a minute later');
  newcomers.configure(settings(`${limits}\nregistration = open`));
  t.same([await ask('a'), await ask('a')], ['offered', 'refused'], 'a reload does not forget');
  newcomers.configure(settings('new_accounts_per_minute = 50\nnew_accounts_per_minute_per_client = 1'));
  t.same([await ask('a'), await ask('a')], ['offered', 'refused'], 'unless the limit is another');
});

t.test('a web server that names nobody', async (t) => {
  const { newcomers, logged } = setUp('new_accounts_per_minute_per_client = 1');
  const kinds = [(await newcomers.offer([], undefined)).kind, (await newcomers.offer([], undefined)).kind];
  t.same(kinds, ['offered', 'refused'], 'all share one limit');
  t.equal(logged.filter(([message]) => /X-Forwarded-For/.test(String(message))).length, 1, 'said once');
});

t.test('a name that is taken is not offered', async (t) => {
  const short = 'username_min_length = 1\nusername_max_length = 1\nnew_accounts_per_minute_per_client = 1000';
  const { newcomers } = setUp(short, { taken: '^[^a-m]@' });
  for (let count = 0; count < 10; count++) {
    const offer = await newcomers.offer(['a'], undefined);
    if (offer.kind === 'offered') t.match(offer.credentials.email, /^[a-m]@/);
  }
  t.same(await setUp(short, { taken: '@' }).newcomers.offer(['a'], undefined), { kind: 'temporary' }, 'all are');
});
