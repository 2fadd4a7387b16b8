/**
 * The rules of the rendered Postfix, one by one, as a stranger and a customer meet them: what is offered, who gets in with which
 * TLS, what is refused and in which words, limits, and that a header comes out as it went in.
 */

import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import t from 'tap';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { SmtpClient } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { inventCredentials, startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';

const RECIPIENTS = 20;
const CONNECTIONS_PER_CLIENT = 12;

t.setTimeout(120_000);
await ensureDependencies((line) => t.comment(line));
const relay = await startRelay({
  gatewayUrl: 'http://127.0.0.1:9/notify',
  limits: { recipientsPerMessage: RECIPIENTS, smtpConnections: 5 * CONNECTIONS_PER_CLIENT, messageBytes: 1_000_000 },
});
t.teardown(() => relay.stop());
const { ports } = relay.layout;
const alice = inventCredentials(relay.layout);
const bob = inventCredentials(relay.layout);
for (const account of [alice, bob]) (await ImapClient.open(ports.imaps, account)).close();

const incoming = () => SmtpClient.open({ port: ports.smtp, tls: 'starttls' });
const customer = () => SmtpClient.open({ port: ports.submissions, tls: 'implicit', login: alice });
const said = async (client: SmtpClient, line: string) => {
  const { code, text } = await client.command(line);
  return `${code} ${text}`;
};

async function inbox(login: typeof alice, count: number): Promise<string> {
  const imap = await ImapClient.open(ports.imaps, login);
  await until(async () => (await imap.mustSucceed('EXAMINE INBOX')).untagged.includes(`${count} EXISTS`), 10_000);
  const { untagged } = await imap.mustSucceed(`FETCH ${count} BODY.PEEK[]`);
  imap.close();
  return untagged.join('\r\n');
}

/** The protocol version after STARTTLS with a client of these versions, or `refused`. */
async function startTls(port: number, options: ConnectionOptions): Promise<string> {
  const socket = connectPlain(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  await until(() => text.startsWith('220 '), 10_000);
  socket.write('EHLO x\r\n');
  await until(() => /^250 /m.test(text), 10_000);
  text = '';
  socket.write('STARTTLS\r\n');
  await until(() => text.startsWith('220 '), 10_000);
  socket.removeAllListeners('data');
  const secured = connectTls({ socket, rejectUnauthorized: false, ...options });
  const version = await Promise.race([
    once(secured, 'secureConnect').then(() => secured.getProtocol() ?? 'none'),
    once(secured, 'close').then(() => 'refused'),
  ]).catch(() => 'refused');
  secured.destroy();
  return version;
}

t.test('TLS after STARTTLS', async (t) => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
  t.equal(await startTls(ports.smtp, {}), 'TLSv1.3');
  t.equal(await startTls(ports.smtp, { maxVersion: 'TLSv1.2' }), 'TLSv1.2', 'servers may have 1.2');
  t.equal(await startTls(ports.smtp, old), 'refused', 'not 1.1');
  t.equal(await startTls(ports.submission!, {}), 'TLSv1.3');
  t.equal(await startTls(ports.submission!, { maxVersion: 'TLSv1.2' }), 'refused', 'customers have 1.3');
});

t.test('nothing in clear', async (t) => {
  const stranger = await SmtpClient.open({ port: ports.smtp, tls: 'none' });
  t.equal(await said(stranger, 'MAIL FROM:<a@b.example>'), '530 5.7.0 Must issue a STARTTLS command first');
  stranger.close();
  const client = await SmtpClient.open({ port: ports.submission!, tls: 'none' });
  t.notMatch(await said(client, 'EHLO x'), /AUTH/);
  t.match(await said(client, 'AUTH PLAIN AGFiYwBkZWY='), /^530 5\.7\.0 Must issue a STARTTLS command first/);
  client.close();
});

t.test('what is offered', async (t) => {
  const keywords = async (client: SmtpClient) =>
    (await client.command('EHLO x')).text
      .split('\n')
      .slice(1)
      .map((line) => line.split(' ')[0])
      .sort();
  const both = ['8BITMIME', 'CHUNKING', 'ENHANCEDSTATUSCODES', 'PIPELINING', 'SIZE', 'SMTPUTF8'];
  const stranger = await incoming();
  t.same(await keywords(stranger), both, 'to servers: no AUTH, DSN, ETRN, VRFY, XCLIENT');
  stranger.close();
  const client = await customer();
  t.same(await keywords(client), [...both, 'AUTH'].sort(), 'to customers');
  client.close();
});

t.test('strangers', async (t) => {
  const client = await incoming();
  t.match(await said(client, `VRFY ${bob.user}`), /^502 /, 'VRFY');
  t.match(await said(client, `EXPN ${bob.user}`), /^500 /, 'EXPN');
  t.match(await said(client, 'ETRN example.org'), /^554 /, 'ETRN');
  t.match(await said(client, 'MAIL FROM:<a@b.example> RET=HDRS'), /^501 5\.7\.1 DSN support is disabled/, 'DSN');
  t.match(await said(client, 'MAIL FROM:<a@b.example> SIZE=1000001'), /^552 /, 'too large, said early');
  t.match(await said(client, 'MAIL FROM:a@b.example'), /^501 /, 'addresses have brackets');
  await client.command('RSET');
  t.match(await said(client, 'MAIL FROM:<a@b.example> BODY=8BITMIME'), /^250 /);
  const own = relay.layout.addressDomain;
  for (const to of ['c@d.example', `c%d.example@${own}`, `@${own}:c@d.example`, `d.example!c@${own}`]) {
    t.match(await said(client, `RCPT TO:<${to}>`), /^5\d\d /, `no relaying to ${to}`);
  }
  t.match(await said(client, 'RCPT TO:<c>'), /^504 5\.5\.2 /, 'an address has a domain');
  const known = await said(client, `RCPT TO:<${bob.user}>`);
  t.equal(known, '250 2.1.5 Ok');
  t.equal(await said(client, `RCPT TO:<nobodyhas@${own}>`), known, 'nobody learns who has an account');
  client.close();
});

t.test('customers', async (t) => {
  const client = await customer();
  t.match(await said(client, `MAIL FROM:<${bob.user}>`), /^250 /);
  t.match(
    await said(client, `RCPT TO:<${bob.user}>`),
    /^553 5\.7\.1 .*not owned by user/,
    'with their own address only',
  );
  await client.command('RSET');
  for (const from of ['', `${alice.user.split('@')[0]}+x@${relay.layout.addressDomain}`]) {
    const reply = await client.send({ from, to: [bob.user] }, encryptedMessage({ from: alice.user, to: bob.user }));
    t.ok(reply.code >= 500, `<${from}>: ${reply.code} ${reply.text}`);
    await client.command('RSET');
  }
  client.close();
});

t.test('limits', async (t) => {
  const client = await customer();
  t.match(await said(client, `MAIL FROM:<${alice.user}>`), /^250 /);
  const replies: string[] = [];
  for (let count = 0; count <= RECIPIENTS; count++) replies.push(await said(client, `RCPT TO:<${bob.user}>`));
  t.match(replies.pop(), /^452 4\.5\.3 /, 'the rest another time');
  t.ok(
    replies.every((reply) => reply.startsWith('250')),
    `${RECIPIENTS} recipients`,
  );
  client.close();

  const open: SmtpClient[] = [];
  await t.rejects(async () => {
    for (let count = 0; count <= CONNECTIONS_PER_CLIENT; count++) open.push(await customer());
  }, /421 4\.7\.0 .*too many connections/);
  t.equal(open.length, CONNECTIONS_PER_CLIENT, 'a fifth of all');
  for (const each of open) each.close();
});

t.test('headers come out as they went in', async (t) => {
  const bare = encryptedMessage({ from: alice.user, to: bob.user }).replace(/^(Date|Message-ID|To):.*\r\n/gm, '');
  const client = await customer();
  t.equal((await client.send({ from: alice.user, to: [bob.user] }, bare)).code, 250);
  client.close();
  const sent = await inbox(bob, 1);
  t.notMatch(sent, /^(Date|Message-ID|To|Cc|Received|X-\S+):/im, 'nothing is made up');

  const own = relay.layout.addressDomain;
  const [name] = bob.user.split('@');
  const stranger = await incoming();
  const from = 'x@[192.0.2.1]';
  const odd = `X-Odd:\tgr\xfc\xdfe\r\n  folded\r\nTo: plain\r\n${bare.replace(alice.user, from)}`;
  t.equal((await stranger.send({ from, to: [`${name}+tag@${own}`] }, odd)).code, 250);
  stranger.close();
  const got = await inbox(bob, 2);
  t.match(
    got,
    '\r\nX-Odd:\tgr\xfc\xdfe\r\n  folded\r\nTo: plain\r\n',
    'byte for byte, and part of an address after + is free',
  );
  t.notMatch(got, /^(Date|Message-ID|Received):/im, 'nothing is made up');
});

t.test('an address nobody has', async (t) => {
  const client = await customer();
  const to = `nobodyhas@${relay.layout.addressDomain}`;
  t.equal((await client.send({ from: alice.user, to: [to] }, encryptedMessage({ from: alice.user, to }))).code, 250);
  client.close();
  const bounce = await inbox(alice, 1);
  t.match(bounce, /^Content-Type: multipart\/report; report-type=delivery-status;/m);
  t.match(bounce, /^Status: 5\.1\.1\b/m, 'in the words programs read');
});
