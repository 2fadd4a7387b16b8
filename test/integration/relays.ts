/**
 * Two relays with names, a relay without one, and other mail servers, in one network of their own (relays.test.ts makes it): mail
 * both ways with DKIM as Postfix carries it, bounces, what TLS each server must have, and what is lost while a part is away.
 */

import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import t from 'tap';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { SmtpClient, type SmtpReply } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { findMailUser, findPostfixUser } from '../../packages/chatmailctl/src/demo/accounts.ts';
import { startDaemon } from '../../packages/chatmailctl/src/demo/daemons.ts';
import { startDovecot } from '../../packages/chatmailctl/src/demo/dovecot-instance.ts';
import {
  type Credentials,
  inventCredentials,
  type Relay,
  startRelay,
} from '../../packages/chatmailctl/src/demo/relay.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';
import { ChatAccount } from '../e2e/chat-account.ts';
import { DnsStub } from '../support/dns-stub.ts';
import { SmtpSink } from '../support/smtp-sink.ts';
import { run } from './dict-dovecot.ts';

const PORTS = { smtp: 25, submissions: 465, submission: 587, imaps: 993 };
const ALPHA = '10.77.0.1';
const BETA = '10.77.0.2';
const LITERAL = '10.77.0.3';

t.setTimeout(900_000);
const directory = mkdtempSync('/tmp/relays-');
chmodSync(directory, 0o755);
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const mailUser = await findMailUser();
await run('ip', ['link', 'set', 'lo', 'up']);
for (let last = 1; last <= 20; last++) await run('ip', ['addr', 'add', `10.77.0.${last}/32`, 'dev', 'lo']);

// The machine's own names and authorities are those of this test.
writeFileSync(`${directory}/resolv.conf`, 'nameserver 127.0.0.1\noptions timeout:1 attempts:2\n');
await run('mount', ['--bind', `${directory}/resolv.conf`, '/etc/resolv.conf']);
const dns = await DnsStub.start(53);
t.teardown(() => dns.stop());
await openssl('req -x509 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem');
await run('mount', ['--bind', `${directory}/ca.pem`, '/etc/ssl/certs/ca-certificates.crt']);

async function openssl(words: string): Promise<void> {
  await run('openssl', words.split(' '), { cwd: directory });
}

/** A certificate for a name, by the authority or by itself. */
async function certificateFor(name: string, by: 'authority' | 'itself') {
  const request = `-nodes -days 2 -subj /CN=x -addext subjectAltName=DNS:${name} -keyout ${name}.key -out ${name}.pem`;
  await openssl(`req -x509 ${request}${by === 'authority' ? ' -CA ca.pem -CAkey ca.key' : ''}`);
  return { chain: `${directory}/${name}.pem`, key: `${directory}/${name}.key` };
}

function hasHost(domain: string, address: string, mx = domain): void {
  dns.zone.set(domain, mx === domain ? { a: address, mx } : { mx });
  if (mx !== domain) dns.zone.set(mx, { a: address });
}

interface TestRelay extends Relay {
  readonly address: string;
  readonly dkimRecord: string;
}

async function startNamed(domain: string, address: string): Promise<TestRelay> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keyPath = `${directory}/${domain}.dkim`;
  writeFileSync(keyPath, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  chownSync(keyPath, mailUser.uid, mailUser.gid);
  const dkimRecord = `v=DKIM1;k=rsa;p=${publicKey.export({ format: 'der', type: 'spki' }).toString('base64')};s=email;t=s`;
  dns.zone.set(`opendkim._domainkey.${domain}`, { txt: [dkimRecord] });
  hasHost(domain, address);
  const certificate = await certificateFor(domain, 'authority');
  const ini = `dkim_key = ${keyPath}\n`;
  const place = { address, addressDomain: domain, hostname: domain, ports: PORTS, certificate, ini };
  return { ...(await startRelay({ gatewayUrl: 'http://127.0.0.1:9/notify', place })), address, dkimRecord };
}

async function startLiteral(address: string): Promise<TestRelay> {
  const hostname = `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const place = { address, addressDomain: `[${address}]`, hostname, ports: PORTS };
  return { ...(await startRelay({ gatewayUrl: 'http://127.0.0.1:9/notify', place })), address, dkimRecord: '' };
}

const [alpha, beta, literal] = await Promise.all([
  startNamed('alpha.test', ALPHA),
  startNamed('beta.test', BETA),
  startLiteral(LITERAL),
]);
t.teardown(async () => {
  for (const relay of [alpha, beta, literal]) await relay.stop();
});

/** An account, made as clients make it: by logging in. */
async function join(relay: TestRelay): Promise<Credentials> {
  const account = inventCredentials(relay.layout);
  (await ImapClient.open(993, account, relay.address)).close();
  return account;
}

async function send(relay: TestRelay, login: Credentials, to: string[], more = ''): Promise<SmtpReply> {
  const client = await SmtpClient.open({ host: relay.address, port: 465, tls: 'implicit', login });
  const content = more + encryptedMessage({ from: login.user, to: to[0]! });
  const reply = await client.send({ from: login.user, to }, content);
  client.close();
  return reply;
}

/** The newest message of an inbox, as soon as there are `count`. */
async function message(relay: TestRelay, login: Credentials, count: number): Promise<string> {
  const imap = await ImapClient.open(993, login, relay.address);
  await until(async () => (await imap.mustSucceed('EXAMINE INBOX')).untagged.includes(`${count} EXISTS`), 120_000);
  const { untagged } = await imap.mustSucceed(`FETCH ${count} BODY.PEEK[]`);
  imap.close();
  return untagged.join('\r\n');
}

interface QueueEntry {
  readonly recipients: { readonly address: string; readonly delay_reason?: string }[];
}

async function queue(relay: TestRelay): Promise<QueueEntry[]> {
  const { stdout } = await run('postqueue', ['-c', relay.layout.directories.postfixConfig, '-j']);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as QueueEntry);
}

async function flush(relay: TestRelay): Promise<void> {
  await run('postqueue', ['-c', relay.layout.directories.postfixConfig, '-f']);
}

/**
 * What waits at a relay arrives once it is sent again. The first try may meet a session that was open while the other side was away,
 * and be put off once more. Postfix keeps such a session for 10 s after its last use: the next try is later than that.
 */
async function arrivesAgain(from: TestRelay, relay: TestRelay, login: Credentials): Promise<string> {
  await flush(from);
  return await arrives(relay, login, 12_000);
}

/** Why a recipient's mail still waits. */
async function delayReason(relay: TestRelay, address: string): Promise<string> {
  let reason: string | undefined;
  await until(async () => {
    const recipients = (await queue(relay)).flatMap((entry) => entry.recipients);
    reason = recipients.find((recipient) => recipient.address === address)?.delay_reason;
    return reason !== undefined;
  }, 30_000);
  return reason!;
}

const [alice, bob, lee] = [await join(alpha), await join(beta), await join(literal)];
const received = new Map<Credentials, number>();
/** What a busy machine put off is tried again every `flushMs`, instead of after minutes. */
async function arrives(relay: TestRelay, login: Credentials, flushMs = 20_000): Promise<string> {
  const count = (received.get(login) ?? 0) + 1;
  received.set(login, count);
  const again = setInterval(() => {
    for (const each of [alpha, beta, literal]) flush(each).catch(() => {});
  }, flushMs);
  try {
    return await message(relay, login, count);
  } finally {
    clearInterval(again);
  }
}

t.test('between relays with names', async (t) => {
  t.equal((await send(alpha, alice, [bob.user])).code, 250);
  t.match(await arrives(beta, bob), '-----BEGIN PGP MESSAGE-----', 'signed by one, verified by the other');
  t.equal((await send(beta, bob, [alice.user])).code, 250);
  t.match(await arrives(alpha, alice), `From: <${bob.user}>`, 'and back');

  dns.zone.set('opendkim._domainkey.gamma.test', { txt: [alpha.dkimRecord] });
  const client = await SmtpClient.open({ host: BETA, port: 25, tls: 'starttls' });
  const unsigned = await client.send(
    { from: alice.user, to: [bob.user] },
    encryptedMessage({ from: alice.user, to: bob.user }),
  );
  t.equal(`${unsigned.code} ${unsigned.text}`, '554 5.7.1 No DKIM signature found', 'what alpha did not sign');
  client.close();
});

t.test('Delta Chat', async (t) => {
  const people = [
    ['Ada', alpha],
    ['Bert', beta],
    ['Lea', literal],
  ] as const;
  const accounts = await Promise.all(people.map(([name, relay]) => ChatAccount.start(name, relay)));
  const [ada, bert, lea] = accounts as [ChatAccount, ChatAccount, ChatAccount];
  // Each invites once and joins once: an account's events do not tell one meeting from another.
  for (const [one, other] of [
    [ada, bert],
    [lea, ada],
    [bert, lea],
  ] as const) {
    const [ours, theirs] = await one.meet(other);
    await one.send(ours, { text: `from ${one.id} to ${other.credentials.user}` });
    const { showPadlock } = await other.receive(({ text }) => text === `from ${one.id} to ${other.credentials.user}`);
    await other.send(theirs, { text: `back to ${one.credentials.user}` });
    const back = await one.receive(({ text }) => text === `back to ${one.credentials.user}`);
    t.ok(showPadlock && back.showPadlock, `${one.credentials.user} and ${other.credentials.user}`);
  }
  for (const [, relay] of people) await Promise.all(relay.clients.map((client) => client.stop()));
});

t.test('an address without a mailbox', async (t) => {
  const reply = await send(alpha, alice, ['nobodyhas@beta.test']);
  t.equal(reply.code, 250);
  const bounce = await arrives(alpha, alice);
  t.match(bounce, /^From: .*MAILER-DAEMON@beta\.test/m, 'beta says so in a bounce, signed: alpha took it');
  t.match(bounce, /nobodyhas@beta\.test/);

  const own = await send(alpha, alice, ['nobodyhas@alpha.test']);
  t.equal(own.code, 250, 'no different at home');
  t.match(await arrives(alpha, alice), /^From: .*MAILER-DAEMON@alpha\.test/m);
});

t.test('with a relay without a name', async (t) => {
  t.equal((await send(alpha, alice, [lee.user])).code, 250);
  t.match(await arrives(literal, lee), `From: <${alice.user}>`, 'encrypted for a certificate nobody can verify');
  t.equal((await send(literal, lee, [alice.user])).code, 250);
  t.match(await arrives(alpha, alice), `From: <${lee.user}>`, 'and back, unsigned');
  t.equal((await send(literal, lee, ['nobodyhas@beta.test'])).code, 250);
  t.match(await arrives(literal, lee), /^From: .*MAILER-DAEMON@beta\.test/m, 'a bounce of a relay with a name');
});

async function context(name: string, by: 'authority' | 'itself') {
  const { chain, key } = await certificateFor(name, by);
  return { cert: readFileSync(chain), key: readFileSync(key) };
}

t.test('TLS of other servers', async (t) => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
  const rows: [domain: string, tls: ConstructorParameters<typeof Object>[0], expected: RegExp, reason: string][] = [
    ['good.test', await context('mx.good.test', 'authority'), /^TLSv1\.3$/, 'verified'],
    [
      'older.test',
      { ...(await context('mx.older.test', 'authority')), maxVersion: 'TLSv1.2' },
      /^TLSv1\.2$/,
      'is enough',
    ],
    ['oldest.test', { ...(await context('mx.oldest.test', 'authority')), ...old }, /Cannot start TLS/, '1.1 is not'],
    ['self.test', await context('mx.self.test', 'itself'), /certificate not verified/, 'by no authority'],
    ['other.test', await context('mx.elsewhere.test', 'authority'), /certificate not verified/, 'of another name'],
    ['clear.test', undefined, /TLS is required, but was not offered/, 'no TLS'],
    ['_odd.test', await context('mx.odd.test', 'itself'), /^TLSv1\.3$/, 'names no authority certifies'],
    ['nauta.cu', undefined, /^none$/, 'the one exception'],
    ['[10.77.0.19]', await context('mx.literal.test', 'itself'), /^TLSv1\.3$/, 'an address'],
  ];
  const sinks = await Promise.all(
    rows.map(async ([domain, tls], index) => {
      const host = `10.77.0.${11 + index}`;
      if (!domain.startsWith('[')) hasHost(domain, host, `mx.${domain.replace('_', '')}`);
      return await SmtpSink.start({ host, ...(tls && { tls }) });
    }),
  );
  const to = rows.map(([domain]) => `someone@${domain}`);
  // Bytes above 127 to servers that do not say they take them.
  t.equal((await send(alpha, alice, to, 'X-Note: gr\xfc\xdfe\r\n')).code, 250);
  for (const [index, [domain, , expected, reason]] of rows.entries()) {
    const { messages } = sinks[index]!;
    const isTaken = expected.source.startsWith('^');
    if (isTaken) await until(() => messages.length > 0, 30_000);
    const outcome = isTaken ? messages[0]!.tls : await delayReason(alpha, to[index]!);
    t.match(outcome, expected, `${domain}: ${reason}`);
    t.equal(messages.length, isTaken ? 1 : 0, domain);
  }
  const { content, helo, from } = sinks[0]!.messages[0]!;
  t.match(helo, /^alpha\.test/);
  t.equal(from, alice.user);
  t.notMatch(content, /10\.77\.0\.1|client\.example/, 'no trace of the client');
  const { results } = await dkimVerify(Buffer.from(content, 'latin1'), {
    resolver: async () => [[alpha.dkimRecord]],
  });
  t.same(
    results.map(({ status, signingDomain }) => `${status.result} ${signingDomain}`),
    ['pass alpha.test'],
    'the signature holds elsewhere: nothing was converted on the way',
  );
  for (const sink of sinks) sink.stop();
  await run('postsuper', ['-c', alpha.layout.directories.postfixConfig, '-d', 'ALL']);
});

t.test('the next message takes the connection of the last', async (t) => {
  hasHost('far.test', '10.77.0.11', 'mx.far.test');
  const far = await SmtpSink.start({ host: '10.77.0.11', tls: await context('mx.far.test', 'authority') });
  t.teardown(() => far.stop());
  const deliver = async () => {
    t.equal((await send(alpha, alice, ['someone@far.test'])).code, 250);
    await until(async () => (await queue(alpha)).length === 0, 60_000);
  };
  await deliver();
  // Postfix keeps it for two unless told.
  await sleep(2_500);
  await deliver();
  t.equal(far.connections, 1);
  far.hangUp();
  await deliver();
  t.equal(far.connections, 2, 'one that is gone delays nothing');
  t.equal(far.messages.length, 3);

  // One server with a certificate of its own, under a name that needs none better and under one that does.
  const domains = ['_shared.test', 'shared.test'] as const;
  for (const domain of domains) hasHost(domain, '10.77.0.12', 'mx.shared.test');
  const shared = await SmtpSink.start({ host: '10.77.0.12', tls: await context('mx.shared.test', 'itself') });
  t.teardown(() => shared.stop());
  t.equal((await send(alpha, alice, ['someone@_shared.test'])).code, 250);
  await until(() => shared.messages.length > 0, 10_000);
  t.equal((await send(alpha, alice, ['someone@shared.test'])).code, 250);
  t.match(await delayReason(alpha, 'someone@shared.test'), /certificate not verified/, 'not the connection of others');
  t.equal(shared.messages.length, 1);
  await run('postsuper', ['-c', alpha.layout.directories.postfixConfig, '-d', 'ALL']);
});

t.test('while a part of the other relay is away', async (t) => {
  const filtermail = beta.programs.find(({ name }) => name === 'filtermail')!;
  await filtermail.stop();
  t.equal((await send(alpha, alice, [bob.user])).code, 250);
  // The latter where a connection was still open.
  const reasons = /TLS is required|Service unavailable/;
  t.match(await delayReason(alpha, bob.user), reasons, 'its filter: the mail waits with the sender');
  const { outgoing, incoming, sign } = beta.layout.sockets;
  const { gid } = await findPostfixUser();
  const again = await startDaemon(
    {
      name: 'filtermail',
      sockets: { outgoing: outgoing!, incoming: incoming!, sign: sign! },
      account: { uid: mailUser.uid, gid },
    },
    beta.configPath,
    `${beta.directory}/log/filtermail.log`,
    beta.guard,
  );
  t.teardown(() => again.stop());
  t.match(await arrivesAgain(alpha, beta, bob), `From: <${alice.user}>`, 'and arrives');

  await beta.programs.find(({ name }) => name === 'Dovecot')!.stop();
  t.equal((await send(alpha, alice, [bob.user])).code, 250);
  t.match(await delayReason(beta, bob.user), /connect to .*: (No such file|Connection refused)/, 'its Dovecot');
  const dovecot = await startDovecot(beta.layout, `${beta.directory}/log/dovecot-start.log`, beta.guard);
  t.teardown(() => dovecot.stop());
  t.match(await arrivesAgain(beta, beta, bob), `From: <${alice.user}>`, 'the mail waits at home');
  for (const relay of [alpha, beta]) await until(async () => (await queue(relay)).length === 0, 60_000);
});
