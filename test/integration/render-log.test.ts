/**
 * The scripts that take people out of Postfix's and Dovecot's logs, on lines both really wrote about trouble, and on lines we have
 * seen elsewhere. That the units run them is tested on whole machines (test/machine).
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { encryptedMessage } from '../../packages/chatmailctl/src/client/messages.ts';
import { SmtpClient } from '../../packages/chatmailctl/src/client/smtp-client.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { inventCredentials, startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';
import { namelessCommand } from '../../packages/chatmailctl/src/render/log.ts';

t.setTimeout(120_000);
await ensureDependencies((line) => t.comment(line));
const relay = await startRelay({ gatewayUrl: 'http://127.0.0.1:9/notify' });
t.teardown(() => relay.stop());
const { ports, logs } = relay.layout;

/** What the journal gets of a log. */
function passedOn(server: 'postfix' | 'dovecot', log: string): string {
  const { postfixConfig, dovecotConfig } = relay.layout.directories;
  const [program, ...args] = namelessCommand(server === 'postfix' ? postfixConfig : dovecotConfig).split(' ');
  const env = { ...process.env, LANG: 'C.UTF-8' };
  const { stdout, stderr } = spawnSync(program!, args, { input: Buffer.from(log, 'latin1'), encoding: 'latin1', env });
  t.equal(stderr, '');
  return stdout;
}

t.test('what both say about trouble', async (t) => {
  const alice = inventCredentials(relay.layout);
  (await ImapClient.open(ports.imaps, alice)).close();
  const toSelf = { from: alice.user, to: alice.user };
  const client = await SmtpClient.open({ port: ports.submissions, tls: 'implicit', login: alice });
  t.equal((await client.send({ from: alice.user, to: [alice.user] }, encryptedMessage(toSelf))).code, 250);
  await client.command('MAIL FROM:secretsender@b.example');
  await client.command('MAIL FROM:<secret sender>');
  client.close();
  for (const port of [ports.smtp, ports.submissions]) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    socket.end('GET /secretpath HTTP/1.0\r\n');
    await new Promise((resolve) => socket.on('close', resolve).resume());
  }
  await relay.programs.find(({ name }) => name === 'doveauth')!.stop();
  await t.rejects(ImapClient.open(ports.imaps, alice));
  await t.rejects(SmtpClient.open({ port: ports.submissions, tls: 'implicit', login: alice }));
  const incoming = await SmtpClient.open({ port: ports.smtp, tls: 'starttls' });
  const from = 'secretsender@[192.0.2.7]';
  const fromOutside = encryptedMessage({ from, to: alice.user });
  t.equal((await incoming.send({ from, to: [alice.user] }, fromOutside)).code, 250);
  incoming.close();
  await until(() => readFileSync(logs.postfix!, 'latin1').includes('status=deferred'), 20_000);

  const written = { postfix: readFileSync(logs.postfix!, 'latin1'), dovecot: readFileSync(logs.dovecot!, 'latin1') };
  const [name] = alice.user.split('@');
  const people = new RegExp(`${name}|${alice.password}|secret|127\\.0\\.0\\.1|192\\.0\\.2\\.7|@`);
  t.match(written.postfix, people, 'Postfix names them');
  t.match(written.dovecot, `passdb/${alice.password}"${name}`, 'and so does Dovecot 2.3, with the password');
  const postfix = passedOn('postfix', written.postfix);
  // In the journal there are no times.
  const dovecot = passedOn('dovecot', written.dovecot.replaceAll(/^\w{3} \d\d [\d:]{8} /gm, ''));
  for (const text of [postfix, dovecot]) t.notMatch(text, people);
  for (const line of [
    /^postfix\/master\[\d+\]: daemon started -- version 3\.\d+\.\d+, configuration \/\S+$/m,
    /^<4>postfix\/smtpd\[\d+\]: warning: non-SMTP command from unknown\[IP\]: \.\.\.$/m,
    /^<4>postfix\/smtpd\[\d+\]: warning: Illegal address syntax from unknown\[IP\] in MAIL command: \S+$/m,
    /^<4>postfix\/smtpd\[\d+\]: warning: unknown\[IP\]: SASL PLAIN authentication failed: .*, sasl_username=\.\.\.$/m,
  ]) {
    t.match(postfix, line);
  }
  t.notMatch(postfix, /status=|connect from/, 'messages are nobody’s business');
  for (const line of [
    /^imap-login: Info: Login: mpid=\d+, PLAIN, TLS$/m,
    /^<3>auth-worker\(\d+\): Error: .*dict\(\.\.\.\): Failed to lookup key shared\/passdb\/\.\.\.$/m,
    /^<3>lmtp\(\d+\): Error: .*Failed to lookup user ADDRESS: Internal error occurred/m,
  ]) {
    t.match(dovecot, line);
  }
});

t.test('lines from elsewhere', async (t) => {
  const rows: [server: 'postfix' | 'dovecot', line: string, expected: string][] = [
    [
      'dovecot',
      'auth: Error: lua(secret,2001:db8::7,<xODSbhlhetQKWAAC>): HTTP 503',
      '<3>auth: Error: lua(...): HTTP 503',
    ],
    [
      'dovecot',
      'auth-worker(5): Error: dict(a@x.example): Failed to lookup key shared/passdb/s\xffecret"a@x.example: timed out',
      '<3>auth-worker(5): Error: dict(...): Failed to lookup key shared/passdb/...',
    ],
    [
      'dovecot',
      'auth-worker(5): Error: dict(s\xe9cret,10.0.0.1,<xODSbhlhetQKWAAC>): no',
      '<3>auth-worker(5): Error: dict(...): no',
    ],
    ['dovecot', 'auth: Warning: conn: user=<secret>, rip=::1, slow', '<4>auth: Warning: conn: user=..., rip=..., slow'],
    [
      'dovecot',
      `imap(7): Error: open(/home/vmail/mail/x.example/secret@x.example/cur/1.M2P3.x,S=1:2,) failed: Permission denied`,
      '<3>imap(7): Error: open(/home/vmail/mail/x.example/ADDRESS/cur/1.M2P3.x,S=1:2,) failed: Permission denied',
    ],
    [
      'dovecot',
      `lmtp(8): Error: chdir(/home/vmail/mail/[10.1.2.3]/secret@[10.1.2.3]) failed`,
      '<3>lmtp(8): Error: chdir(/home/vmail/mail/[IP]/ADDRESS) failed',
    ],
    [
      'dovecot',
      'master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap, lmtp',
      'master: Info: Dovecot v2.3.19.1 (9b53102964) starting up for imap, lmtp',
    ],
    [
      'dovecot',
      'Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 3: Unknown setting: x',
      '<3>Fatal: Error in configuration file /etc/dovecot/dovecot.conf line 3: Unknown setting: x',
    ],
    [
      'dovecot',
      'imap-login: Info: SSL_accept() failed: error:0A00009C:SSL routines::http request, at 12:34:56',
      'imap-login: Info: SSL_accept() failed: error:0A00009C:SSL routines::http request, at 12:34:56',
    ],
    [
      'postfix',
      'Jan  1 00:00:00 relay postfix/smtpd[1]: warning: hostname a.example does not resolve to address fe80::1:2',
      '<4>postfix/smtpd[1]: warning: hostname a.example does not resolve to address IP',
    ],
    [
      'postfix',
      'Jan 01 00:00:00 relay postfix/smtpd[1]: improper command pipelining after EHLO from unknown[10.0.0.1]: secret\\r\\n',
      '',
    ],
    [
      'postfix',
      'Jan 01 00:00:00 relay postfix/smtpd[1]: warning: improper command pipelining from x[2001:db8::1]:465: a: secret',
      '<4>postfix/smtpd[1]: warning: improper command pipelining from x[IP]:465: ...',
    ],
    ['postfix', 'Jan 01 00:00:00 relay postfix/cleanup[1]: 4F1x2y3zABC: message-id=<secret@x.example>', ''],
    [
      'postfix',
      'Jan 01 00:00:00 relay postfix/cleanup[1]: warning: 4F1x2y3zABC: queue file size limit exceeded',
      '<4>postfix/cleanup[1]: warning: 4F1x2y3zABC: queue file size limit exceeded',
    ],
    [
      'postfix',
      'Jan 01 00:00:00 relay postfix/smtpd[1]: fatal: open database /etc/postfix/x.db: No such file or directory',
      '<3>postfix/smtpd[1]: fatal: open database /etc/postfix/x.db: No such file or directory',
    ],
    [
      'postfix',
      'Jan 01 00:00:00 relay postfix/anvil[1]: statistics: max connection count 1 for (465:10.88.0.2) at Nov 25 13:06:12',
      '',
    ],
  ];
  for (const [server, line, expected] of rows) t.equal(passedOn(server, `${line}\n`).trimEnd(), expected, line);
});
