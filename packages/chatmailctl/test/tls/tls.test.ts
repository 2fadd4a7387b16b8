/** [io] Certificates in a directory that stands for the machine. */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import t from 'tap';
import { EXIT_CONFIG, EXIT_TEMPORARY, parseConfig } from '#core';
import type { Host } from '../../src/apply/host.ts';
import { certificatePaths } from '../../src/production-layout.ts';
import { run } from '../../src/run.ts';
import { certificateNames, issueCertificate, reasonIn } from '../../src/tls/acme.ts';
import { inspectCertificate } from '../../src/tls/certificate.ts';
import { makeSelfSigned } from '../../src/tls/self-signed.ts';
import { checkKeys, ensureCertificate } from '../../src/tls/tls.ts';

const root = mkdtempSync(`${tmpdir()}/tls-`);
t.teardown(() => rmSync(root, { recursive: true }));
const host: Host = {
  root,
  portOwners: async () => [],
  pause: async () => {},
  run: async (program) => {
    throw new Error(`${program} is not to be run here`);
  },
};
mkdirSync(`${root}/etc`);
writeFileSync(`${root}/etc/passwd`, 'vmail:x:999:998::/home/vmail:/bin/false\n');
const pair = { chain: '/tls/chain.pem', key: '/tls/key.pem' };
const read = (path: string) => readFileSync(root + path, 'utf8');
const DAY_MS = 86_400_000;
const NOW = new Date();

/** Makes a certificate for chat.example.org that an authority has signed. */
async function signedByAuthority(chain: string, key: string, days: number): Promise<void> {
  await makeSelfSigned(host, { chain: '/authority/chain', key: '/authority/key' }, 'authority.example');
  for (const path of [chain, key]) mkdirSync(dirname(root + path), { recursive: true });
  const { code, output } = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', String(days)],
    ...['-CA', `${root}/authority/chain`, '-CAkey', `${root}/authority/key`],
    ...['-subj', '/CN=chat.example.org', '-addext', 'subjectAltName=DNS:chat.example.org'],
    ...['-keyout', root + key, '-out', root + chain],
  ]);
  if (code !== 0) throw new Error(output);
}

t.test('a certificate is for exactly its name, and for ten years', async (t) => {
  for (const [name, other] of [
    ['10.1.2.3', '10.1.2.4'],
    ['_relay.example', 'relay.example'],
    [`${'a'.repeat(60)}.example.org`, 'example.org'],
  ] as const) {
    rmSync(`${root}/tls`, { recursive: true, force: true });
    await makeSelfSigned(host, pair, name);
    const info = inspectCertificate(read(pair.chain), read(pair.key), name);
    t.match(info, { matchesName: true, isSelfSigned: true }, name);
    t.match(inspectCertificate(read(pair.chain), read(pair.key), other), { matchesName: false }, other);
    t.ok('expiresMs' in info && info.expiresMs > NOW.getTime() + 3600 * DAY_MS);
    t.equal(statSync(root + pair.key).mode & 0o777, 0o600);
  }
});

t.test('a pair that does not belong together is refused with a reason', async (t) => {
  await makeSelfSigned(host, { chain: '/other/chain.pem', key: '/other/key.pem' }, '10.1.2.3');
  t.match(inspectCertificate(read(pair.chain), read('/other/key.pem'), 'x'), { problem: 'does not belong to the key' });
  t.match(inspectCertificate('nonsense', read(pair.key), 'x'), { problem: 'is no certificate in PEM' });
  t.match(inspectCertificate(read(pair.chain), 'nonsense', 'x'), { problem: /no private key/ });
});

t.test('self-signed: renewed near its end with the same key', async (t) => {
  const config = parseConfig('[params]\nmail_domain = 10.9.8.7\n');
  const lines: string[] = [];
  const ensure = async (now: Date) =>
    await ensureCertificate({ host, config, now, note: (line) => void lines.push(line) });
  t.match(await ensure(NOW), { isNew: true, isPlaceholder: false });
  const key = read('/etc/chatmail/tls/self-signed.key');
  t.match(await ensure(NOW), { isNew: false });
  t.match(await ensure(new Date(NOW.getTime() + 3630 * DAY_MS)), { isNew: true }, 'twenty days before its end');
  t.equal(read('/etc/chatmail/tls/self-signed.key'), key, 'who remembers the key is not surprised');
  t.equal(lines.length, 2);
});

t.test('external: checked before anything is written', async (t) => {
  const config = parseConfig(
    '[params]\nmail_domain = chat.example.org\ntls_external_cert_and_key = /ext/chain.pem /ext/key.pem\n',
  );
  mkdirSync(`${root}/etc/dkimkeys`, { recursive: true });
  const check = async (now = NOW) => await checkKeys({ host, config, now, note: () => {} }, true);
  await t.rejects(check(), { exitCode: EXIT_CONFIG, message: /no DKIM key.*chatmailctl init/ });
  writeFileSync(`${root}/etc/dkimkeys/opendkim.private`, 'key');
  await t.rejects(check(), {
    exitCode: EXIT_CONFIG,
    message: /no \/etc\/ssl\/certs\/ca-certificates\.crt.*apt-get install ca-certificates/,
  });
  mkdirSync(`${root}/etc/ssl/certs`, { recursive: true });
  writeFileSync(`${root}/etc/ssl/certs/ca-certificates.crt`, '');
  await t.rejects(check(), { exitCode: EXIT_CONFIG, message: /no file \/ext\/chain\.pem/ });
  await makeSelfSigned(host, { chain: '/ext/chain.pem', key: '/ext/key.pem' }, 'other.example.org');
  await t.rejects(check(), { message: /is not for chat\.example\.org/ });
  await makeSelfSigned(host, { chain: '/ext/chain.pem', key: '/ext/key.pem' }, 'chat.example.org', 5);
  await check();
  await t.rejects(check(new Date(NOW.getTime() + 6 * DAY_MS)), { message: /expired on 20/ });
  t.match(await ensureCertificate({ host, config, now: NOW, note: () => {} }), { isNew: false, isPlaceholder: false });
  chmodSync(`${root}/ext/key.pem`, 0o600);
});

t.test('from an authority: something to start with, and a web server', async (t) => {
  const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
  const input = { host, config, now: NOW, note: () => {} };
  await t.rejects(checkKeys(input, false), { exitCode: EXIT_CONFIG, message: /apt-get install nginx/ });
  await t.rejects(checkKeys(input, true), { exitCode: EXIT_CONFIG, message: /apt-get install dehydrated/ });
  mkdirSync(`${root}/usr/bin`, { recursive: true });
  writeFileSync(`${root}/usr/bin/dehydrated`, '');
  await checkKeys(input, true);
  t.match(await ensureCertificate(input), { isNew: true, isPlaceholder: true });
  t.match(await ensureCertificate(input), { isNew: false, isPlaceholder: true }, 'still none of an authority');
});

t.test('from an authority: apply renews what is near its end, and goes on when it cannot', async (t) => {
  const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
  const { chain, key } = certificatePaths(config);
  const made = '/var/lib/chatmail/acme/dehydrated/certs/chat.example.org';
  const ran: string[] = [];
  let output = '';
  const dehydrated: Host = {
    ...host,
    run: async (program, args) => {
      ran.push([program, ...args].join(' '));
      return output === '' ? { code: 0, output } : { code: 1, output };
    },
  };
  await signedByAuthority(chain, key, 90);
  await signedByAuthority(`${made}/fullchain.pem`, `${made}/privkey.pem`, 90);
  const ensure = async (days: number) => {
    const lines: string[] = [];
    const now = new Date(NOW.getTime() + days * DAY_MS);
    const state = await ensureCertificate({ host: dehydrated, config, now, note: (line) => void lines.push(line) });
    return { ...state, text: lines.join('\n') };
  };
  t.match(await ensure(1), { isNew: false, isPlaceholder: false, text: '' }, 'fresh');
  t.match(
    await ensure(91),
    { isNew: false, text: /warning: the certificate ended on .*chatmailctl tls/ },
    'not applied',
  );
  t.same(ran, []);
  mkdirSync(`${root}/etc/chatmail`, { recursive: true });
  writeFileSync(`${root}/etc/chatmail/acme.conf`, '');
  output = 'ERROR: Problem connecting to server\n';
  t.match(await ensure(91), { isNew: false, isPlaceholder: false, text: /warning: .*Problem connecting to server/ });
  output = '';
  t.match(await ensure(70), { isNew: true, isPlaceholder: false, text: /ends on/ });
  t.equal(read(chain), read(`${made}/fullchain.pem`));
  t.ok(ran.some((line) => line.includes('--cron --domain chat.example.org')));
});

t.test("an authority's reason is found in what dehydrated prints", async (t) => {
  const rows: [string, string, string][] = [
    [
      '  + ERROR: An error occurred\n["error","detail"]\t"10.0.0.1: Invalid response: 404"\n',
      '10.0.0.1: Invalid response: 404',
      'dehydrated 0.7, challenges',
    ],
    ['Details:\n{"type":"x","detail":"JWS has \\"no\\" nonce"}\n', 'JWS has "no" nonce', 'other requests'],
    ['# INFO: Using\n + x\nERROR: Problem connecting to server\n', 'ERROR: Problem connecting to server', 'no answer'],
    ['', 'dehydrated gave no reason', 'silence'],
  ];
  for (const [output, reason, why] of rows) t.equal(reasonIn(output), reason, why);
});

t.test('names beside the relay’s own are certified when they lead to it', async (t) => {
  const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
  const [own, www, sts] = ['chat.example.org', 'www.chat.example.org', 'mta-sts.chat.example.org'];
  await makeSelfSigned(host, pair, www);
  const before = read(pair.chain);
  const here = ['192.0.2.1', '2001:db8::1'];
  const rows: [zone: Record<string, string[] | string>, names: string[], why: string][] = [
    [{ [own]: here, [www]: here, [sts]: ['2001:db8::1'] }, [own, www, sts], 'one address is enough'],
    [{ [own]: here, [www]: ['198.51.100.9'], [sts]: 'ENOTFOUND' }, [own], 'elsewhere, nowhere'],
    [{ [own]: here, [www]: 'ETIMEOUT', [sts]: 'ETIMEOUT' }, [own, www], 'what is certified stays so'],
    [{ [own]: 'ESERVFAIL', [www]: here, [sts]: here }, [own, www], 'nobody says where the relay is'],
    [{ [own]: 'ESERVFAIL', [www]: 'ENODATA', [sts]: 'ENOTFOUND' }, [own], 'gone for sure'],
  ];
  for (const [zone, names, why] of rows) {
    const lookUp = async (name: string) => {
      const found = zone[name]!;
      if (typeof found === 'string') throw Object.assign(new Error(found), { code: found });
      return found;
    };
    t.same(await certificateNames(config, before, lookUp), names, why);
  }
});

t.test('a lock that dehydrated has left behind', async (t) => {
  const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
  // As dehydrated 0.7 prints it.
  const output =
    "# INFO: Using main config file /etc/chatmail/acme.conf\nERROR: Lock file '/acme/lock' present, aborting.\n";
  const locked: Host = { ...host, run: async () => ({ code: 1, output }) };
  await t.rejects(
    issueCertificate(locked, config, certificatePaths(config), async () => []),
    { exitCode: EXIT_TEMPORARY, message: /Lock file '\/acme\/lock' present.*rm \/acme\/lock, then chatmailctl tls$/ },
  );
});

t.test('a nonce that is refused is asked for again, in another second', async (t) => {
  const config = parseConfig('[params]\nmail_domain = chat.example.org\n');
  const output = '{"type":"urn:ietf:params:acme:error:badNonce","detail":"JWS has an invalid anti-replay nonce: x"}\n';
  let refusals = 0;
  const steps: (string | number)[] = [];
  const busy: Host = {
    ...host,
    pause: async (ms) => void steps.push(ms),
    run: async (_program, args) => {
      steps.push(args.at(-1)!);
      return refusals-- > 0 ? { code: 1, output } : { code: 0, output: '' };
    },
  };
  const issue = (count: number) => {
    steps.length = 0;
    refusals = count;
    return issueCertificate(busy, config, certificatePaths(config), async () => []);
  };
  await issue(2);
  t.equal(steps.filter((step) => typeof step === 'number' && step > 1000).length, 2);
  t.match(steps.slice(0, 3), ['--accept-terms', Number, '--accept-terms']);
  await t.rejects(issue(9), { exitCode: EXIT_TEMPORARY, message: /anti-replay nonce/ }, 'not for ever');
});
