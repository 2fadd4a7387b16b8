/**
 * DKIM behind a real Postfix, on all three listeners: what leaves verifies with another implementation, and what comes in
 * is judged by the keys of a DNS server of ours.
 */

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dkimSign } from 'mailauth/lib/dkim/sign.js';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { BOUNDARY, mimeBody } from '../../packages/filtermail/test/support/openpgp.ts';
import { DnsStub } from '../support/dns-stub.ts';
import { FilteredPostfix } from './filtermail-postfix.ts';

t.setTimeout(90_000);
await ensureDependencies((line) => t.comment(line));
const dns = await DnsStub.start();
t.teardown(() => dns.stop());
const relay = await FilteredPostfix.start({ config: `dns_servers = ${dns.address}\n` });
t.teardown(() => relay.stop());

const ALICE = 'alice@relay.test';
const BOB = 'bob@relay.test';
const OPEN = 'open@relay.test';
await mkdir(join(relay.mailboxes, OPEN));
await mkdir(join(relay.mailboxes, BOB));
await writeFile(join(relay.mailboxes, BOB, 'enforceE2EEincoming'), '');

const CONTENT_TYPE = `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="${BOUNDARY}"`;
const encrypted = (from: string, more = '') =>
  `From: Some One\r\n <${from}>\r\nTo: <bob@relay.test>,\r\n\t<carol@example.org>\r\n${more}Date: Mon, 1 Jan 2024 10:00:00 +0000\r\n` +
  `Message-ID: <1@localhost>\r\nMIME-Version: 1.0\r\n${CONTENT_TYPE}\r\n\r\n${mimeBody().toString('latin1')}`;

const recordOf = (key: Parameters<typeof createPublicKey>[0]) =>
  `v=DKIM1; k=rsa; p=${createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64')}`;

async function verifiesElsewhere(content: string): Promise<string> {
  const { results } = await dkimVerify(Buffer.from(content, 'latin1'), {
    resolver: async (name: string) => (name === 'opendkim._domainkey.relay.test' ? [[recordOf(relay.dkimKey)]] : []),
  });
  return results.map(({ status, signingDomain }) => `${status.result} ${signingDomain}`).join() || 'none';
}

t.test('what leaves is signed as it leaves', async (t) => {
  const client = await relay.connect('outgoing', ALICE);
  const reply = await client.send(
    { from: ALICE, to: [BOB] },
    encrypted(ALICE, 'Received: by laptop\r\nSubject: At  noon\r\nX-Mailer: laptop\r\nChat-Version: 1.0\r\n'),
  );
  t.equal(reply.code, 250);
  const { content, header } = await relay.queued(reply.text);
  t.equal((header.match(/^DKIM-Signature:/gm) ?? []).length, 1);
  t.notMatch(header, /noon|laptop/);
  t.equal(await verifiesElsewhere(content), 'pass relay.test');
  t.equal(await verifiesElsewhere(content.replace('[...]', '[..]')), 'fail relay.test', 'Subject is signed as it left');
  t.equal(await verifiesElsewhere(content.replace('\r\nDate:', '\r\nCc: x@y.example\r\nDate:')), 'fail relay.test');
  client.close();
});

t.test('so are bounces, and their sender is nobody', async (t) => {
  const client = await relay.connect('outgoing', ALICE);
  const reply = await client.send({ from: ALICE, to: [BOB] }, encrypted(ALICE));
  client.close();
  const { content, sender } = await relay.bounceOf(reply.text);
  t.equal(sender, '');
  t.match(content, /^From: .*MAILER-DAEMON@relay\.test/im);
  t.equal(await verifiesElsewhere(content), 'pass relay.test');
});

const carolsKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const KEY_NAME = 'sel._domainkey.example.org';

async function signedByCarol(message: string, canonicalization = 'relaxed/relaxed', signingDomain = 'example.org') {
  const privateKey = carolsKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const options = {
    canonicalization,
    algorithm: 'rsa-sha256',
    signatureData: [{ signingDomain, selector: 'sel', privateKey }],
  };
  const { signatures } = await dkimSign(
    Buffer.from(message, 'latin1'),
    options as unknown as Parameters<typeof dkimSign>[1],
  );
  return signatures + message;
}

t.test('what comes in', async (t) => {
  const client = await relay.connect('incoming');
  const send = async (content: string, to = BOB) => {
    const reply = await client.send({ from: 'carol@example.org', to: [to] }, content);
    return `${reply.code} ${reply.text}`.replace(/queued as .*/, 'queued');
  };
  const passed = '250 2.0.0 Ok: queued';
  const invalid = '554 5.7.1 No valid DKIM signature found';
  dns.zone.set(KEY_NAME, { txt: [recordOf(carolsKey)] });
  const message = encrypted('carol@example.org', 'Subject:  two  blanks  \r\nX-Two:\t tabs\r\n');

  for (const form of ['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple']) {
    t.equal(await send(await signedByCarol(message, form)), passed, form);
  }
  t.equal(await send(message), '554 5.7.1 No DKIM signature found');
  t.equal(
    await send(await signedByCarol(message, 'relaxed/relaxed', 'example.net')),
    `${invalid} (none is by the domain of From)`,
  );
  const good = await signedByCarol(message);
  t.equal(
    await send(good.replace('Some One', 'No One')),
    `${invalid} (the header was changed, or the key is another one)`,
  );
  t.equal(await send(`${good}\r\n \r\n`), passed, 'empty lines at the end do not count');
  t.match(await send(good.replace('BEGIN PGP', 'BEGIN PXP')), /^523 /, 'structure first');

  const lines =
    'Content-Type: text/plain\r\n\r\n.dots\r\n..more\r\ntrailing blanks \t\r\n\tand  others\r\n\r\nend\r\n\r\n\r\n';
  for (const form of ['relaxed/relaxed', 'simple/simple']) {
    const clear = await signedByCarol(`From: carol@example.org\r\nSubject: x\r\n${lines}`, form);
    t.equal(await send(clear, OPEN), passed, `${form}: lines that begin with dots, blanks`);
    t.equal(await send(clear.replace('end', 'End'), OPEN), `${invalid} (the body was changed)`, form);
  }
  const large = await signedByCarol(
    `From: carol@example.org\r\nContent-Type: text/plain\r\n\r\n${`${'x'.repeat(60)} y  z \r\n`.repeat(20_000)}`,
    'relaxed/relaxed',
  );
  t.equal(await send(large, OPEN), passed, '1.4 MB in chunks');
  client.close();
});

t.test('keys and DNS', async (t) => {
  const client = await relay.connect('incoming');
  const good = await signedByCarol(encrypted('carol@example.org'));
  const send = async () => {
    const { code, text } = await client.send({ from: 'carol@example.org', to: [BOB] }, good);
    return `${code} ${text}`.replace(/queued as .*/, 'queued');
  };
  const passed = '250 2.0.0 Ok: queued';
  dns.queries.length = 0;
  t.equal(await send(), passed);
  t.same(dns.queries, [], 'the key is remembered');

  const record = recordOf(carolsKey);
  const other = recordOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  // Another message of that domain brings the new key, then the old one comes back: one more look-up, no refusal.
  dns.zone.set('sel._domainkey.example.net', { txt: [other] });
  const rotated = await signedByCarol(encrypted('carol@example.net'), 'relaxed/relaxed', 'example.net');
  const sendRotated = async () => (await client.send({ from: 'carol@example.net', to: [BOB] }, rotated)).code;
  t.equal(await sendRotated(), 554, 'with the wrong key in DNS');
  dns.zone.set('sel._domainkey.example.net', { txt: [record] });
  t.equal(await sendRotated(), 250, 'as soon as it is the right one');

  const tryAgain = '451 4.7.5 DKIM key cannot be looked up now, try again later';
  const name = 'sel._domainkey.example.com';
  const ofCom = await signedByCarol(encrypted('carol@example.com'), 'relaxed/relaxed', 'example.com');
  const sendCom = async () => {
    const { code, text } = await client.send({ from: 'carol@example.com', to: [BOB] }, ofCom);
    return `${code} ${text}`.replace(/queued as .*/, 'queued');
  };
  t.equal(await sendCom(), '554 5.7.1 No valid DKIM signature found (no key found in DNS)');
  dns.zone.set(name, { rcode: 2 });
  t.equal(await sendCom(), tryAgain, 'SERVFAIL');
  dns.zone.set(name, { cname: 'keys.example.net' });
  dns.zone.set('keys.example.net', { txt: [record], ttl: 0 });
  t.equal(await sendCom(), passed, 'behind an alias, and no failure was remembered');
  dns.isSilent = true;
  t.equal(await sendCom(), tryAgain, 'no answer');
  t.equal(await send(), passed, 'keys that are known still serve');
  dns.isSilent = false;
  dns.isTruncating = true;
  t.equal(await sendCom(), passed, 'by TCP');
  client.close();
});
