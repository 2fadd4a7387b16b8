/**
 * Certificates from a real ACME server (pebble, of Debian) through the real dehydrated, as `chatmailctl apply` and its timer get
 * them: issued, kept, issued anew when the names change, and refused with a reason. All on loopback, in a temporary directory.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { EXIT_CONFIG, EXIT_TEMPORARY, parseConfig } from '#core';
import { accountFiles } from '../../packages/chatmailctl/src/adopt/adopt.ts';
import type { Host } from '../../packages/chatmailctl/src/apply/host.ts';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import { holdPorts } from '../../packages/chatmailctl/src/demo/ports.ts';
import { connectsTo } from '../../packages/chatmailctl/src/demo/wait.ts';
import { ACME_CHALLENGES, certificatePaths } from '../../packages/chatmailctl/src/production-layout.ts';
import { ACME_CONFIG, ACME_STATE, renderAcme } from '../../packages/chatmailctl/src/render/tls.ts';
import { run } from '../../packages/chatmailctl/src/run.ts';
import { issueCertificate } from '../../packages/chatmailctl/src/tls/acme.ts';
import { inspectCertificate } from '../../packages/chatmailctl/src/tls/certificate.ts';
import { makeSelfSigned } from '../../packages/chatmailctl/src/tls/self-signed.ts';
import { DnsStub } from '../support/dns-stub.ts';
import { aptInstall } from './debian13.ts';

const NAME = 'chat.example.org';
t.setTimeout(300_000);

for (const [program, name] of [
  ['/usr/bin/pebble', 'pebble'],
  ['/usr/bin/dehydrated', 'dehydrated'],
] as const) {
  if (!statSync(program, { throwIfNoEntry: false })) await aptInstall(name);
}

const root = mkdtempSync(`${tmpdir()}/acme-pebble-`);
const guard = new Guard(root);
const dns = await DnsStub.start();
dns.zone.set(NAME, { a: '127.0.0.1' });
for (const label of ['www', 'mta-sts']) dns.zone.set(`${label}.${NAME}`, { a: '127.0.0.1' });

// As nginx does it; that the rendered nginx serves the directory is tested with nginx.
const asked: string[] = [];
let answersChallenges = true;
const web = createServer((request, response) => {
  asked.push(`${request.headers.host} ${request.url}`);
  const token = request.url?.replace('/.well-known/acme-challenge/', '') ?? '';
  if (!answersChallenges) return response.writeHead(404).end();
  readFile(`${root}${ACME_CHALLENGES}/${token}`).then(
    (data) => response.end(data),
    () => response.writeHead(404).end(),
  );
});

const held = await holdPorts(3);
const [acmePort, managementPort, webPort] = held.ports as [number, number, number];
const portOwners = async () => [];
const here: Host = { root, run, portOwners, pause: sleep };
await makeSelfSigned(here, { chain: '/authority.pem', key: '/authority.key' }, '127.0.0.1');
writeFileSync(
  `${root}/pebble.json`,
  JSON.stringify({
    pebble: {
      listenAddress: `127.0.0.1:${acmePort}`,
      managementListenAddress: `127.0.0.1:${managementPort}`,
      certificate: `${root}/authority.pem`,
      privateKey: `${root}/authority.key`,
      httpPort: webPort,
      tlsPort: 0,
    },
  }),
);
await held.release();
web.listen(webPort, '127.0.0.1');
const pebble = new ManagedProcess(
  {
    name: 'pebble',
    command: '/usr/bin/pebble',
    args: ['-config', `${root}/pebble.json`, '-dnsserver', `127.0.0.1:${dns.port}`],
    logFile: `${root}/pebble.log`,
    // No pauses; but one request in a hundred is refused for its nonce, as authorities may.
    env: { PATH: process.env.PATH, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '1' },
  },
  guard,
);
t.teardown(async () => {
  await pebble.stop();
  web.close();
  web.closeAllConnections();
  await dns.stop();
  await guard.finish();
});
await pebble.during(connectsTo({ port: acmePort }));

const config = parseConfig(
  `[params]\nmail_domain = ${NAME}\nacme_email = it's@example.org\nacme_directory_url = https://127.0.0.1:${acmePort}/dir\n`,
);
const paths = certificatePaths(config);
const host: Host = {
  root,
  portOwners,
  pause: sleep,
  run: (program, args) => run(program, args, { env: { ...process.env, CURL_CA_BUNDLE: `${root}/authority.pem` } }),
};
mkdirSync(`${root}/etc/chatmail`, { recursive: true });
for (const [path, text] of Object.entries(renderAcme(config, root))) writeFileSync(root + path, text);

const resolves =
  (...names: string[]) =>
  async (name: string) => {
    if (name !== NAME && !names.includes(name)) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
    return ['127.0.0.1'];
  };
const read = (path: string) => readFileSync(root + path, 'utf8');
const isFor = (name: string) => {
  const info = inspectCertificate(read(paths.chain), read(paths.key), name);
  return 'problem' in info ? info.problem : info.matchesName;
};

t.test('without dehydrated there is a sentence about it', async (t) => {
  await t.rejects(issueCertificate(host, config, paths), {
    exitCode: EXIT_CONFIG,
    message: /apt-get install dehydrated/,
  });
  mkdirSync(`${root}/usr/bin`, { recursive: true });
  symlinkSync('/usr/bin/dehydrated', `${root}/usr/bin/dehydrated`);
});

t.test('an authority that does not reach us is quoted', async (t) => {
  answersChallenges = false;
  await t.rejects(issueCertificate(host, config, paths, resolves()), {
    exitCode: EXIT_TEMPORARY,
    message: /chat\.example\.org: .*(?:Non-200|404|unauthorized).*port 80/s,
  });
  answersChallenges = true;
});

t.test('a certificate for the names that exist', async (t) => {
  t.equal(await issueCertificate(host, config, paths, resolves(`mta-sts.${NAME}`)), true);
  t.equal(isFor(NAME), true);
  t.equal(isFor(`mta-sts.${NAME}`), true);
  t.equal(isFor(`www.${NAME}`), false);
  t.equal(statSync(root + paths.key).mode & 0o777, 0o600, 'the key is nobody else’s');
  t.ok(asked.some((line) => line.startsWith(`${NAME}`) && line.includes('/.well-known/acme-challenge/')));
});

t.test('one that is fresh is kept, also when the resolver is in trouble', async (t) => {
  const before = read(paths.chain);
  t.equal(await issueCertificate(host, config, paths, resolves(`mta-sts.${NAME}`)), false);
  const inTrouble = async () => {
    throw Object.assign(new Error('try again'), { code: 'EAI_AGAIN' });
  };
  t.equal(await issueCertificate(host, config, paths, inTrouble), false);
  t.equal(read(paths.chain), before);
});

t.test('another name, another certificate', async (t) => {
  t.equal(await issueCertificate(host, config, paths, resolves(`mta-sts.${NAME}`, `www.${NAME}`)), true);
  t.equal(isFor(`www.${NAME}`), true);
});

t.test('the key of an account is enough to go on with the account', async (t) => {
  const [keyPath] = Object.keys(accountFiles(config.acme_directory_url, '')) as [string];
  const id = keyPath.replace('account_key.pem', 'account_id.json');
  const [key, idText] = [read(keyPath), read(id)];
  rmSync(`${root}${ACME_STATE}`, { recursive: true });
  mkdirSync(`${root}${dirname(keyPath)}`, { recursive: true });
  for (const [path, text] of Object.entries(accountFiles(config.acme_directory_url, key))) {
    writeFileSync(root + path, text, { mode: 0o600 });
  }
  t.equal(await issueCertificate(host, config, paths, resolves()), true);
  t.equal(read(id), idText, 'the URI a CAA record may name');
});

t.test('a pair that does not belong together is made anew', async (t) => {
  const key = `${root}${ACME_STATE}/certs/${NAME}/privkey.pem`;
  rmSync(key);
  await makeSelfSigned(here, { chain: '/other.pem', key: key.slice(root.length) }, NAME);
  t.equal(await issueCertificate(host, config, paths, resolves()), true);
  t.equal(isFor(NAME), true);
});

t.test('one near its end is renewed', async (t) => {
  const before = read(paths.chain);
  writeFileSync(root + ACME_CONFIG, read(ACME_CONFIG).replace("RENEW_DAYS='30'", "RENEW_DAYS='4000'"));
  t.equal(await issueCertificate(host, config, paths, resolves(`mta-sts.${NAME}`, `www.${NAME}`)), true);
  t.not(read(paths.chain), before);
  t.equal(isFor(NAME), true);
});
