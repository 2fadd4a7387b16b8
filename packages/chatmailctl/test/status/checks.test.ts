import t from 'tap';
import { parseConfig } from '#core';
import type { Check } from '../../src/status/check.ts';
import { checkRelay } from '../../src/status/checks.ts';
import type { StatusFacts, UnitFacts } from '../../src/status/facts.ts';
import { reasonOf } from '../../src/status/mail-queue.ts';
import { parseUnits } from '../../src/status/unit-facts.ts';

const NOW = Date.UTC(2026, 10, 25);
const DAY = 86_400_000;
const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
const ipConfig = parseConfig('[params]\nmail_domain = 203.0.113.7\n');

const unit = (name: string, more: Partial<UnitFacts> = {}): UnitFacts => ({
  name,
  isInstalled: true,
  active: 'active',
  sub: 'running',
  result: 'success',
  isEnabled: true,
  ...more,
});
const UNITS = [
  'filtermail-outgoing.socket',
  'filtermail.service',
  'doveauth-auth.socket',
  'doveauth.service',
  'metadata-push.socket',
  'metadata-push.service',
  'chatmail-expire.timer',
  'dovecot.service',
  'postfix@-.service',
  'nginx.service',
];
const units = (changed?: Partial<UnitFacts> & { name: string }) =>
  UNITS.map((name) => unit(name, changed?.name === name ? changed : {}));

const good: StatusFacts = {
  answers: { filtermail: { value: 2 }, doveauth: { value: 3 } },
  units: { value: [...units(), unit('chatmail-expire.service', { active: 'inactive' })] },
  ports: [{ port: 25, service: 'smtp', trouble: undefined }],
  certificate: { value: { expiresMs: NOW + 60 * DAY, matchesName: true, isSelfSigned: false, refusedFor: undefined } },
  dns: { value: { servers: ['ns'], isAuthoritative: true, records: [] } },
  queue: { value: { active: 1, deferred: 0, held: 0, oldestSeconds: 1, reasons: {} } },
  push: {
    value: {
      uptimeSeconds: 1,
      tokens: 3,
      queueDepth: 0,
      queueOldestSeconds: 0,
      isSilent: false,
      lastDeliveredSecondsAgo: 1,
      pushes: {},
      openCircuits: [],
    },
  },
  disks: [
    { value: { what: 'mail', device: 1, freeBytes: 2 ** 34, totalBytes: 2 ** 35, freeInodes: 1e6, totalInodes: 1e6 } },
  ],
  memory: { value: { availableBytes: 2 ** 30, load1: 0.2 } },
  changedFiles: { value: [] },
  isCreationStopped: false,
  versions: { Postfix: '3.7' },
};
const judge = (changed: Partial<StatusFacts> = {}, of = config) => checkRelay(of, { ...good, ...changed }, NOW);
const find = (checks: readonly Check[], name: string) => checks.find((check) => check.name === name)!;

t.test('a relay that is well', async (t) => {
  for (const { name, state } of judge()) t.equal(state, 'ok', name);
  t.match(find(judge({ dns: undefined }, ipConfig), 'dns').text, /not needed/);
});

t.test('what can be wrong', async (t) => {
  const certificate = (more: object): object => ({
    certificate: { value: { ...(good.certificate as { value: object }).value, ...more } },
  });
  const disk = (more: object) => ({ disks: [{ value: { ...(good.disks[0] as { value: object }).value, ...more } }] });
  const queue = (more: object) => ({ queue: { value: { ...(good.queue as { value: object }).value, ...more } } });
  const push = (more: object) => ({ push: { value: { ...(good.push as { value: object }).value, ...more } } });
  const withUnit = (name: string, more: Partial<UnitFacts>) => ({ units: { value: units({ name, ...more }) } });
  const record = (more: object) => ({
    dns: {
      value: {
        servers: [],
        isAuthoritative: true,
        records: [
          {
            name: 'chat.example.org',
            type: 'MX',
            value: 'x',
            level: 'required',
            why: '',
            state: 'missing',
            found: [],
            ...more,
          },
        ],
      },
    },
  });
  const rows: [changed: object, name: string, state: Check['state'], text: RegExp][] = [
    [withUnit('doveauth.service', { active: 'inactive' }), 'doveauth', 'ok', /asleep/],
    [withUnit('doveauth-auth.socket', { active: 'inactive' }), 'doveauth', 'fail', /doveauth-auth\.socket is inactive/],
    [
      withUnit('filtermail.service', { active: 'failed', result: 'oom-kill' }),
      'filtermail',
      'fail',
      /failed \(oom-kill\)/,
    ],
    [withUnit('postfix@-.service', { active: 'inactive' }), 'postfix', 'fail', /inactive/],
    [withUnit('nginx.service', { isInstalled: false }), 'nginx', 'fail', /not installed/],
    [withUnit('chatmail-expire.timer', { active: 'inactive' }), 'timers', 'fail', /chatmail-expire\.timer/],
    [
      { units: { value: [...units(), unit('chatmail-expire.service', { result: 'exit-code' })] } },
      'timers',
      'warn',
      /badly/,
    ],
    [{ units: { unknown: 'no systemd' } }, 'units', 'fail', /no systemd/],
    [
      { ports: [{ port: 465, service: 'submissions', trouble: 'nobody listens' }] },
      'ports',
      'fail',
      /^nobody listens: 465 \(submissions\)$/,
    ],
    [certificate({ expiresMs: NOW - DAY }), 'certificate', 'fail', /expired on 2026-11-24/],
    [certificate({ expiresMs: NOW + 2.5 * DAY }), 'certificate', 'fail', /2 days/],
    [certificate({ expiresMs: NOW + 10 * DAY }), 'certificate', 'warn', /10 days/],
    [certificate({ matchesName: false }), 'certificate', 'fail', /not for chat\.example\.org/],
    [certificate({ refusedFor: 'CERT_UNTRUSTED' }), 'certificate', 'fail', /CERT_UNTRUSTED/],
    [record({}), 'dns', 'fail', /MX chat\.example\.org missing/],
    [record({ level: 'recommended' }), 'dns', 'warn', /recommended/],
    [record({ state: 'unknown' }), 'dns', 'warn', /no name server/],
    [record({ name: 'opendkim._domainkey.chat.example.org', type: 'TXT', state: 'wrong' }), 'dkim', 'fail', /wrong/],
    [queue({ deferred: 3, oldestSeconds: 300, reasons: { 'no answer': 3 } }), 'queue', 'ok', /5 min \(3 no answer\)/],
    [queue({ deferred: 1, oldestSeconds: 30_000 }), 'queue', 'warn', /8 h/],
    [push({ openCircuits: ['apns'] }), 'push', 'warn', /apns/],
    [push({ isSilent: true }), 'push', 'warn', /for a day/],
    [push({ queueDepth: 9, queueOldestSeconds: 3600 }), 'push', 'warn', /60 min/],
    [{ push: { unknown: 'no socket' } }, 'push', 'fail', /no socket/],
    [{ push: { unknown: 'no socket', isForbidden: true } }, 'push', 'warn', /only root/],
    [{ queue: { unknown: 'postqueue does not answer' } }, 'queue', 'fail', /postqueue/],
    [{ certificate: { unknown: 'no TLS' } }, 'certificate', 'fail', /no TLS/],
    [{ dns: { unknown: 'no answer within 25 s' } }, 'dns', 'warn', /no answer/],
    [{ answers: { doveauth: { unknown: 'nothing within 5 s' } } }, 'doveauth', 'fail', /does not answer \(nothing/],
    [{ answers: { doveauth: { unknown: 'x', isForbidden: true } } }, 'doveauth', 'ok', /running/],
    [withUnit('doveauth-auth.socket', { isEnabled: false }), 'doveauth', 'warn', /not after the next reboot/],
    [withUnit('doveauth.service', { isEnabled: false }), 'doveauth', 'ok', /running/],
    [withUnit('postfix@-.service', { isEnabled: false }), 'postfix', 'ok', /running/],
    [withUnit('dovecot.service', { isEnabled: false }), 'dovecot', 'warn', /not after the next reboot/],
    [withUnit('chatmail-expire.timer', { isEnabled: false }), 'timers', 'warn', /chatmail-expire\.timer/],
    [{}, 'limits', 'ok', /mailbox 500 MB, .* mail kept 20 days/],
    [disk({ freeBytes: 2 ** 20 }), 'disk', 'fail', /1 MB free/],
    [disk({ freeBytes: 2 ** 29 }), 'disk', 'warn', /no new accounts/],
    [disk({ freeInodes: 10 }), 'disk', 'fail', /inodes/],
    [{ memory: { value: { availableBytes: 2 ** 20, load1: 0 } } }, 'memory', 'warn', /no new accounts/],
    [{ isCreationStopped: true }, 'accounts', 'warn', /stopped/],
    [{ changedFiles: { value: ['/a', '/b', '/c', '/d'] } }, 'configuration', 'warn', /\/a, \/b, \/c and 1 more/],
  ];
  for (const [changed, name, state, text] of rows) {
    const check = find(judge(changed), name);
    t.match(check, { state, text }, `${name}: ${text}`);
    if (state !== 'ok') t.ok(check.fix, 'says what to do');
  }
  t.equal(find(judge(certificate({ refusedFor: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), ipConfig), 'certificate').state, 'ok');
});

t.test('what systemd says', async (t) => {
  const block = (id: string, state: string) =>
    `Id=${id}\nLoadState=loaded\nActiveState=${state}\nSubState=x\nResult=success\nUnitFileState=enabled\n`;
  const parsed = parseUnits(
    ['a.service', 'b.service'],
    `${block('a.service', 'active')}\n${block('b.service', 'failed')}`,
  );
  t.match(parsed, [
    { name: 'a.service', active: 'active', isEnabled: true },
    { name: 'b.service', active: 'failed' },
  ]);
});

t.test('reasons name nobody', async (t) => {
  const rows: [text: string, kind: string][] = [
    ['connect to mx.example.net[192.0.2.1]:25: Connection timed out', 'no answer'],
    ['connect to mx.example.net[192.0.2.1]:25: Connection refused', 'connection refused'],
    ['Host or domain name not found. Name service error for name=x.example type=MX', 'name not found'],
    ['Server certificate not trusted', 'no TLS that can be trusted'],
    ['host mx.example.net[192.0.2.1] said: 450 4.2.0 greylisted', 'put off by the other server'],
    ['host relay[private/dovecot-lmtp] said: 452 4.2.2 Quota exceeded', 'Dovecot does not take it'],
    ['something new', 'other reasons'],
  ];
  for (const [text, kind] of rows) t.equal(reasonOf(text), kind);
});

t.test('a certificate that is not renewed: who renews it, and why it failed', async (t) => {
  const ended = {
    certificate: { value: { expiresMs: NOW - DAY, matchesName: true, isSelfSigned: false, refusedFor: undefined } },
  };
  const external = parseConfig('[params]\nmail_domain = chat.example.org\ntls_external_cert_and_key = /c.pem /k.pem\n');
  for (const relay of [config, ipConfig])
    t.equal(find(judge(ended, relay), 'certificate').fix, 'chatmailctl tls; journalctl -u chatmail-tls');
  t.match(find(judge(ended, external), 'certificate').fix, /^whoever keeps the two files/);
  const job = (more: Partial<UnitFacts>) =>
    find(
      judge({ units: { value: [...units(), unit('chatmail-tls.service', { active: 'inactive', ...more })] } }),
      'timers',
    );
  t.match(job({ active: 'failed', result: 'exit-code' }), {
    state: 'warn',
    text: /chatmail-tls\.service/,
    fix: /journalctl -u chatmail-tls/,
  });
  t.equal(job({ isInstalled: false, result: 'exit-code' }).state, 'ok', 'not rendered yet');
});
