/** filtermail behind a real Postfix, on both listeners: what passes and in what form, what is refused and when. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { armor, BOUNDARY, encryptedBytes, mimeBody } from '../../packages/filtermail/test/support/openpgp.ts';
import { FilteredPostfix } from './filtermail-postfix.ts';

t.setTimeout(60_000);
await ensureDependencies((line) => t.comment(line));
const relay = await FilteredPostfix.start();
t.teardown(() => relay.stop());

const ALICE = 'alice@relay.test';
const BOB = 'bob@relay.test';
await mkdir(join(relay.mailboxes, BOB));
await writeFile(join(relay.mailboxes, BOB, 'enforceE2EEincoming'), '');
await mkdir(join(relay.mailboxes, 'open@relay.test'));

function encrypted(from: string, bytes = 200): string {
  return [
    `From: <${from}>`,
    'To: "hidden-recipients": ;',
    'Subject: At noon',
    'X-Mailer: laptop',
    'X-Note: one',
    'X-Note: two',
    'Date: Mon, 1 Jan 2024 10:00:00 +0000',
    'Message-ID: <1@localhost>',
    'Chat-Version: 1.0',
    'MIME-Version: 1.0',
    `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="${BOUNDARY}"`,
    '',
    mimeBody({ second: armor(encryptedBytes(bytes)) }).toString('latin1'),
  ].join('\r\n');
}

const clear = (from: string) => `From: <${from}>\r\nSubject: At noon\r\n\r\nMeet me at noon.\r\n`;

t.test('outgoing', async (t) => {
  const client = await relay.connect('outgoing', ALICE);
  const send = (content: string, from = ALICE) => client.send({ from, to: [BOB] }, content);

  const passed = await send(encrypted(ALICE));
  t.equal(passed.code, 250);
  const { header, sender } = await relay.queued(passed.text);
  t.equal(sender, ALICE);
  t.match(header, /^Subject: \[\.\.\.\]$/m);
  t.notMatch(header, /noon|X-Mailer|X-Note/, 'what is not needed is gone, all of it');
  for (const field of ['From', 'To', 'Date', 'Message-ID', 'Chat-Version', 'MIME-Version', 'Content-Type']) {
    t.match(header, new RegExp(`^${field}: `, 'm'), `${field} is there`);
  }

  const refused = await send(clear(ALICE));
  t.equal(refused.code, 523, 'in the same session');
  t.equal(refused.text, '5.7.1 Encryption Needed: Invalid Unencrypted Mail (there is no Content-Type)');
  t.equal((await send(encrypted('eve@relay.test'))).code, 553, 'a forged From');
  t.equal((await send(encrypted(BOB), BOB)).code, 553, 'the sender is not who logged in');
  t.equal((await send(encrypted(ALICE, 3_000_000))).code, 250, '4 MB, and the session goes on after refusals');
  client.close();
});

t.test('incoming', async (t) => {
  const client = await relay.connect('incoming');
  const send = (content: string, to: string[], from = 'carol@[192.0.2.1]') => client.send({ from, to }, content);
  const rows: readonly [content: string, to: string[], code: number, why: string][] = [
    [encrypted('carol@[192.0.2.1]'), [BOB], 250, 'encrypted'],
    [clear('carol@[192.0.2.1]'), [BOB], 523, 'clear text'],
    [clear('carol@[192.0.2.1]'), ['BOB@Relay.Test'], 523, 'in capitals'],
    [clear('carol@[192.0.2.1]'), ['bob+tag@relay.test'], 523, 'with an extension'],
    [clear('carol@[192.0.2.1]'), ['open@relay.test'], 250, 'clear text to one who allows it'],
    [clear('carol@[192.0.2.1]'), ['open@relay.test', BOB], 523, 'and to one who does not'],
    [`From: eve@[192.0.2.1]\r\n${encrypted('carol@[192.0.2.1]')}`, [BOB], 554, 'two From fields'],
  ];
  for (const [content, to, code, why] of rows) t.equal((await send(content, to)).code, code, why);
  const list = await send(encrypted('carol@[192.0.2.1]'), [BOB], 'bounces@lists.example');
  t.equal((await relay.queued(list.text)).sender, '', 'bounces do not go where the message is not from');
  client.close();
});

t.test('killed in the middle of a message, filtermail lets nothing through', async (t) => {
  const outgoing = await relay.connect('outgoing', ALICE);
  const incoming = await relay.connect('incoming');
  for (const [client, from] of [
    [outgoing, ALICE],
    [incoming, 'carol@[192.0.2.1]'],
  ] as const) {
    for (const line of [`MAIL FROM:<${from}>`, `RCPT TO:<${BOB}>`]) t.equal((await client.command(line)).code, 250);
    t.equal((await client.command('DATA')).code, 354);
  }
  await relay.killFiltermail();
  for (const [client, from] of [
    [outgoing, ALICE],
    [incoming, 'carol@[192.0.2.1]'],
  ] as const) {
    t.equal((await client.command(`${encrypted(from)}\r\n.`)).code, 451, `${from}: try again later`);
    client.close();
  }
  const whileAway = await relay.connect('incoming');
  t.equal((await whileAway.send({ from: 'carol@[192.0.2.1]', to: [BOB] }, clear('carol@[192.0.2.1]'))).code, 451);
  whileAway.close();
  await relay.startFiltermail();
  const again = await relay.connect('outgoing', ALICE);
  t.equal((await again.send({ from: ALICE, to: [BOB] }, encrypted(ALICE))).code, 250, 'and then it passes');
  again.close();
});
