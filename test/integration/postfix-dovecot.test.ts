/**
 * The rendered configuration in a real Postfix and Dovecot, with our daemons behind it: who may come in how, what is
 * refused, what delivered mail has lost on the way, and what happens to mail while a daemon is away.
 */

import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:tls';
import t from 'tap';
import { ImapClient, quoted } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { clearTextMessage, encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { SmtpClient } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { inventCredentials, type Relay, startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { StubGateway } from '../../packages/chatmailctl/src/demo/stub-gateway.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';

t.setTimeout(120_000);
await ensureDependencies((line) => t.comment(line));
const gateway = await StubGateway.start();
const relay: Relay = await startRelay({ gatewayUrl: gateway.url });
t.teardown(async () => {
  await relay.stop();
  await gateway.stop();
});

const { ports, directories } = relay.layout;
const alice = inventCredentials(relay.layout);
const bob = inventCredentials(relay.layout);
for (const account of [alice, bob]) (await ImapClient.open(ports.imaps, account)).close();
const toBob = { from: alice.user, to: bob.user };
const submissions = { port: ports.submissions, tls: 'implicit' } as const;
const submission = { ...submissions, login: alice };

/** What a message of Bob's looks like, waiting until there are `count` of them. */
async function bobsMessage(count: number): Promise<string[]> {
  const imap = await ImapClient.open(ports.imaps, bob);
  await until(async () => (await imap.mustSucceed('EXAMINE INBOX')).untagged.includes(`${count} EXISTS`), 10_000);
  const { untagged } = await imap.mustSucceed(`FETCH ${count} BODY.PEEK[]`);
  imap.close();
  return [...untagged];
}

function tlsHandshake(port: number, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, maxVersion, rejectUnauthorized: false });
    socket.once('secureConnect', () => resolve(socket.getProtocol() ?? 'none'));
    socket.once('error', () => resolve('refused'));
    socket.once('close', () => resolve('refused'));
    socket.once('secureConnect', () => socket.destroy());
  });
}

t.test('TLS', async (t) => {
  for (const port of [ports.submissions, ports.imaps]) {
    t.equal(await tlsHandshake(port, 'TLSv1.3'), 'TLSv1.3');
    t.equal(await tlsHandshake(port, 'TLSv1.2'), 'refused', 'clients have 1.3');
  }
  const plain = await SmtpClient.open({ port: ports.smtp, tls: 'none' });
  t.equal((await plain.command('MAIL FROM:<a@b.example>')).code, 530, 'no incoming mail without STARTTLS');
  plain.close();
  const secured = await SmtpClient.open({ port: ports.submission!, tls: 'starttls', login: alice });
  t.equal(secured.tlsVersion, 'TLSv1.3', 'submission with STARTTLS');
  secured.close();
});

t.test('who may send', async (t) => {
  const incoming = await SmtpClient.open({ port: ports.smtp, tls: 'starttls' });
  t.notMatch((await incoming.command('EHLO h.example')).text, /AUTH/, 'no passwords on the incoming port');
  t.equal((await incoming.send({ from: 'a@b.example', to: ['c@d.example'] }, '')).code, 554, 'no relaying');
  t.equal((await incoming.command('RSET')).code, 250);
  t.equal((await incoming.command(`VRFY <${bob.user}>`)).code, 502, 'no telling who has an account');
  incoming.close();

  const anonymous = await SmtpClient.open(submissions);
  t.equal((await anonymous.send({ from: alice.user, to: [bob.user] }, '')).code, 554, 'submission wants a login');
  anonymous.close();

  const client = await SmtpClient.open(submission);
  t.equal((await client.send({ from: bob.user, to: [bob.user] }, encryptedMessage(toBob))).code, 553, 'own name only');
  await client.command('RSET');
  t.equal((await client.send({ from: alice.user, to: ['c@d.example'] }, '')).code, 550, 'outbound none');
  client.close();
});

t.test('what arrives', async (t) => {
  const client = await SmtpClient.open(submission);
  const trace = 'Received: from home.example by laptop.example\r\n';
  t.equal((await client.send({ from: alice.user, to: [bob.user] }, trace + encryptedMessage(toBob))).code, 250);
  client.close();
  const sent = await bobsMessage(1);
  t.notOk(
    sent.some((line) => /^Received:|laptop\.example|127\.0\.0\.1\D.*ESMTP/i.test(line)),
    'no trace of the sender',
  );
  t.ok(sent.includes('-----BEGIN PGP MESSAGE-----'), 'the content as it was');

  const fromOutside = { from: 'x@[192.0.2.1]', to: bob.user };
  const incoming = await SmtpClient.open({ port: ports.smtp, tls: 'starttls' });
  const added =
    'DKIM-Signature: v=1; d=b.example\r\nAuthentication-Results: b.example; dkim=pass\r\nReceived: by b.example\r\n';
  t.equal(
    (await incoming.send({ from: fromOutside.from, to: [bob.user] }, added + encryptedMessage(fromOutside))).code,
    250,
  );
  incoming.close();
  const received = await bobsMessage(2);
  t.notOk(
    received.some((line) => /^(DKIM-Signature|Authentication-Results|Received):/i.test(line)),
    'no need for those',
  );
});

t.test('refusals of the filter', async (t) => {
  const client = await SmtpClient.open(submission);
  const clear = await client.send({ from: alice.user, to: [bob.user] }, clearTextMessage(toBob));
  t.equal(clear.code, 523, 'said in the same session');
  t.match(clear.text, /^5\.7\.1 Encryption Needed: Invalid Unencrypted Mail/, 'in the words clients know');
  t.equal(
    (await client.send({ from: alice.user, to: [bob.user] }, encryptedMessage(toBob))).code,
    250,
    'which goes on',
  );
  client.close();
  await bobsMessage(3);
});

t.test('IMAP', async (t) => {
  const imap = await ImapClient.open(ports.imaps, bob);
  const capabilities = (await imap.mustSucceed('CAPABILITY')).untagged.join(' ').split(' ');
  for (const name of ['XCHATMAIL', 'XDELTAPUSH', 'METADATA', 'QUOTA', 'IDLE', 'MOVE'])
    t.ok(capabilities.includes(name), name);
  const metadata = await imap.mustSucceed('GETMETADATA "" (/shared/vendor/deltachat/maxsmtprecipients)');
  t.match(metadata.untagged.join(' '), /1000/, 'recipients per message');
  const quota = await imap.mustSucceed('GETQUOTAROOT INBOX');
  t.ok(
    quota.untagged.some((line) => /STORAGE \d+ 512000\)/.test(line)),
    'quota in KiB',
  );
  imap.close();
});

t.test('a push is for others only', async (t) => {
  const imap = await ImapClient.open(ports.imaps, alice);
  await imap.mustSucceed(`SETMETADATA INBOX (/private/devicetoken ${quoted('token-of-alice')})`);
  imap.close();
  const client = await SmtpClient.open(submission);
  const send = (from: string, to: string) => client.send({ from, to: [to] }, encryptedMessage({ from, to }));
  t.equal((await send(alice.user, alice.user)).code, 250, 'to oneself');
  client.close();
  const other = await SmtpClient.open({ ...submissions, login: bob });
  const sinceMs = performance.now();
  await other.send({ from: bob.user, to: [alice.user] }, encryptedMessage({ from: bob.user, to: alice.user }));
  other.close();
  await gateway.waitForToken('token-of-alice', sinceMs, 10_000);
  t.equal(gateway.posts.length, 1, 'one push for two messages: the own one woke nobody');
});

t.test('logs name nobody', async (t) => {
  for (const name of ['dovecot', 'doveauth', 'filtermail', 'metadata-push']) {
    const text = await readFile(`${relay.directory}/log/${name}.log`, 'utf8');
    const names = [alice, bob].flatMap(({ user, password }) => [user.split('@')[0]!, password]);
    t.ok(text.length > 0, `${name} logs`);
    t.notOk(
      names.some((word) => text.includes(word)),
      `${name}.log has no address and no password`,
    );
  }
});

t.test('mail and sockets are private', async (t) => {
  const mode = async (path: string) => (await stat(path)).mode & 0o777;
  t.equal((await mode(`${directories.mailboxes}/${bob.user}`)) & 0o077, 0, 'mailboxes');
  for (const socket of [relay.layout.sockets.outgoing!, relay.layout.sockets.incoming!]) {
    t.equal((await mode(socket)) & 0o007, 0, 'milters are for Postfix only');
  }
});

t.test('a daemon that is away delays mail and loses none', async (t) => {
  const filtermail = relay.programs.find(({ name }) => name === 'filtermail')!;
  await filtermail.stop();
  const client = await SmtpClient.open(submissions);
  t.equal((await client.authPlain(alice.user, alice.password)).code, 454, 'submission: try again');
  client.close();
  const incoming = await SmtpClient.open({ port: ports.smtp, tls: 'none' });
  t.equal((await incoming.command('STARTTLS')).code, 454, 'incoming: try again');
  incoming.close();
});
