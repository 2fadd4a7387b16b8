/** The two stages among the others, as the handler runs them. */

import t from 'tap';
import { parseAddress, parseConfig } from '#core';
import type { Edit } from '#milter';
import { DkimAuthentication } from '../../src/dkim/authentication.ts';
import type { RawField } from '../../src/dkim/canonical.ts';
import { DkimSigning } from '../../src/dkim/signing.ts';
import { createIncomingStages } from '../../src/incoming.ts';
import { createOutgoingStages } from '../../src/outgoing.ts';
import { Pipeline } from '../../src/pipeline.ts';
import { RateLimit } from '../../src/rate-limit.ts';
import { formatReply, type Refusal } from '../../src/verdict.ts';
import { MemoryKeys, NOW, RSA, signed, splitMessage, verifyMessage } from '../support/dkim.ts';
import { BOUNDARY, mimeBody } from '../support/openpgp.ts';

const KEY = { selector: 'sel', key: RSA.privateKey };
const counted: string[] = [];
const CONTENT_TYPE = `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`;
const encrypted = (from: string, more = '') =>
  `From: <${from}>\r\n${more}${CONTENT_TYPE}\r\n\r\n${mimeBody().toString('latin1')}`;

async function receive(
  message: string,
  keys: MemoryKeys,
  { sender = 'carol@example.org', clientAddress = '192.0.2.1', nowSeconds = (): number => NOW } = {},
) {
  const authentication = new DkimAuthentication({
    keys,
    nowSeconds,
    onResult: (result) => void counted.push(result),
    onLiteral: (agreement) => void counted.push(agreement),
  });
  const pipeline = new Pipeline(createIncomingStages({ allowsCleartext: async () => false }, authentication));
  const { fields, body } = splitMessage(message);
  for (const { rawName, rawValue } of fields) pipeline.header(rawName, rawValue);
  pipeline.endOfHeaders();
  for (let at = 0; at < body.length; at += 100) pipeline.body(body.subarray(at, at + 100));
  const recipients = [parseAddress('bob@relay.test')];
  return await pipeline.decide({
    sender: parseAddress(sender),
    isNullSender: sender === '',
    login: undefined,
    clientAddress: clientAddress === '' ? undefined : clientAddress,
    recipients,
    recipientCount: 1,
  });
}

t.test('incoming: what the sender is told', async (t) => {
  const record = { 'sel._domainkey.example.org': RSA.record };
  const message = encrypted('carol@example.org');
  const good = signed(message, KEY);
  const invalid = 'No valid DKIM signature found';
  const rows: readonly [message: string, keys: Record<string, string>, reply: string | undefined, result: string][] = [
    [good, record, undefined, 'pass'],
    [message, record, '554 5.7.1 No DKIM signature found', 'none'],
    [signed(message, KEY, 'example.net'), record, `554 5.7.1 ${invalid} (none is by the domain of From)`, 'unaligned'],
    [good, {}, `554 5.7.1 ${invalid} (no key found in DNS)`, 'key_missing'],
    [
      good.replace('<carol', 'C <carol'),
      record,
      `554 5.7.1 ${invalid} (the header was changed, or the key is another one)`,
      'invalid',
    ],
    [
      good,
      { 'sel._domainkey.example.org': 'temporary' },
      '451 4.7.5 DKIM key cannot be looked up now, try again later',
      'temporary',
    ],
  ];
  for (const [text, keys, reply, result] of rows) {
    counted.length = 0;
    const { verdict } = await receive(text, new MemoryKeys(keys));
    if (verdict.verdict === 'accept') t.equal(reply, undefined, result);
    else {
      const { code, enhanced, text } = formatReply(verdict as Refusal);
      t.equal(`${code} ${enhanced} ${text}`, reply);
    }
    t.same(counted, [result], 'counted');
  }
});

t.test('incoming: no DNS for mail that is refused anyway', async (t) => {
  const keys = new MemoryKeys({ 'sel._domainkey.example.org': RSA.record });
  const clear = signed('From: <carol@example.org>\r\nContent-Type: text/plain\r\n\r\nhi\r\n', KEY);
  t.equal((await receive(clear, keys)).verdict.reason, 'content_type_wrong');
  const two = `From: <eve@example.org>\r\n${signed(encrypted('carol@example.org'), KEY)}`;
  t.equal((await receive(two, keys)).verdict.reason, 'from_repeated');
  t.same(keys.asked, []);
});

t.test('incoming: a header is kept only up to a bound', async (t) => {
  const keys = new MemoryKeys({ 'sel._domainkey.example.org': RSA.record });
  const padded = (bytes: number) => signed(encrypted('carol@example.org', `X: ${'x'.repeat(bytes)}\r\n`), KEY);
  t.equal((await receive(padded(250_000), keys)).verdict.reason, 'encrypted');
  t.equal((await receive(padded(262_144), keys)).verdict.reason, 'header_too_large');
});

t.test('incoming: many slow look-ups end before the MTA stops waiting', async (t) => {
  let nowSeconds = NOW;
  const keys = new MemoryKeys({});
  const slow = Object.assign(Object.create(keys) as MemoryKeys, {
    lookUp(name: string, isFresh: boolean) {
      nowSeconds += 15;
      return keys.lookUp(name, isFresh);
    },
  });
  let message = encrypted('carol@example.org');
  for (let i = 0; i < 5; i++) message = signed(message, { ...KEY, selector: `s${i}` });
  const { verdict } = await receive(message, slow, { nowSeconds: () => nowSeconds });
  t.equal(verdict.reason, 'dkim_dns', 'another try may have more luck');
  t.equal(keys.asked.length, 2);
});

t.test('incoming: a foreign envelope sender is replaced once the message is authentic', async (t) => {
  const keys = new MemoryKeys({ 'sel._domainkey.example.org': RSA.record });
  const { verdict, edits } = await receive(signed(encrypted('carol@example.org'), KEY), keys, {
    sender: 'x@example.net',
  });
  t.equal(verdict.verdict, 'accept');
  t.same(edits, [{ edit: 'changeSender', sender: '<>' }]);
});

t.test('incoming: internationalised From', async (t) => {
  const ascii = 'xn--mnchen-3ya.example';
  const keys = new MemoryKeys({ [`sel._domainkey.${ascii}`]: RSA.record });
  const from = Buffer.from('carol@münchen.example').toString('latin1');
  t.equal((await receive(signed(encrypted(from), KEY, ascii), keys)).verdict.verdict, 'accept');
});

t.test('incoming: address literals', async (t) => {
  const rows: readonly [from: string, sender: string, client: string, agreement: string, why: string][] = [
    ['a@[192.0.2.1]', 'a@[192.0.2.1]', '192.0.2.1', 'all_agree', 'all the same'],
    ['a@[192.0.2.1]', '', '192.0.2.1', 'all_agree', 'a bounce'],
    ['a@[192.0.2.1]', 'b@[192.0.2.9]', '192.0.2.1', 'sender_differs', 'another sender'],
    ['a@[192.0.2.1]', 'a@[192.0.2.1]', '192.0.2.9', 'client_differs', 'another client'],
    ['a@[192.0.2.1]', 'a@[192.0.2.1]', '', 'client_differs', 'a client nobody knows'],
    ['a@[IPv6:2001:DB8:0::1]', 'a@[IPv6:2001:db8:0::1]', '2001:db8::1', 'all_agree', 'IPv6, written in two ways'],
  ];
  const keys = new MemoryKeys({});
  for (const [from, sender, clientAddress, agreement, why] of rows) {
    counted.length = 0;
    const { verdict } = await receive(encrypted(from), keys, { sender, clientAddress });
    t.equal(verdict.verdict, 'accept', why);
    t.same(counted, [agreement], why);
  }
  t.same(keys.asked, [], 'no DNS');
});

/** The header as a milter-speaking MTA makes it: indexes count the fields of a name as received. */
function asTheMtaEdits(fields: readonly RawField[], edits: readonly Edit[]): string {
  const lines = fields.map(({ rawName, rawValue }) => [rawName, rawValue] as [string, string | undefined]);
  const top: string[] = [];
  for (const edit of edits) {
    if (edit.edit === 'insertHeader') top.unshift(`${edit.name}: ${edit.value}`);
    if (edit.edit !== 'changeHeader' && edit.edit !== 'deleteHeader') continue;
    const line = lines.filter(([name]) => name.toLowerCase() === edit.name.toLowerCase())[edit.index - 1]!;
    line[1] = edit.edit === 'changeHeader' ? ` ${edit.value}` : undefined;
  }
  const kept = lines.filter(([, value]) => value !== undefined).map(([name, value]) => `${name}:${value}`);
  return `${[...top, ...kept].join('\n')}\n`.replaceAll('\n', '\r\n');
}

t.test('outgoing: the message that leaves is the one that is signed', async (t) => {
  const config = parseConfig('[params]\nmail_domain = relay.test\n');
  const settings = { keys: [KEY], domain: 'relay.test', asciiDomain: 'relay.test', nowSeconds: () => NOW };
  const send = async (message: string) => {
    const rateLimit = new RateLimit({ perMinute: 60, burst: 10 });
    const pipeline = new Pipeline(
      createOutgoingStages({ config, rateLimit, now: () => 0, signing: new DkimSigning(settings) }),
    );
    const { fields, body } = splitMessage(message);
    // Outgoing, the MTA is not asked for the blank after the colon.
    for (const { rawName, rawValue } of fields) pipeline.header(rawName, rawValue.replace(/^ /, ''));
    pipeline.endOfHeaders();
    pipeline.body(body);
    const sender = parseAddress('alice@relay.test');
    const envelope = { sender, isNullSender: false, login: undefined, clientAddress: undefined };
    return { ...(await pipeline.decide({ ...envelope, recipients: [sender], recipientCount: 1 })), body };
  };
  const message = encrypted(
    'alice@relay.test',
    'Subject: noon\r\nX-Mailer: x\r\nTo: bob@example.org\r\nX-Mailer: y\r\n',
  );
  const { verdict, edits, body } = await send(message);
  t.equal(verdict.verdict, 'accept');
  t.same(edits.filter(({ edit }) => edit === 'insertHeader').length, 1);
  const header = asTheMtaEdits(splitMessage(message).fields, edits);
  t.match(header, /^DKIM-Signature: /);
  t.notMatch(header, /noon|X-Mailer/);
  const keys = new MemoryKeys({ 'sel._domainkey.relay.test': RSA.record });
  const final = `${header}\r\n${body.toString('latin1')}`;
  const verify = (text: string) => verifyMessage(text, keys, { domain: 'relay.test' });
  t.equal(await verify(final), 'pass');
  t.equal(await verify(final.replace('[...]', 'noon')), 'dkim_signature_wrong', 'not what was before the edits');

  const foreign = new DkimSigning({ ...settings, domain: 'other.test' });
  const transaction = { edits: [], from: parseAddress('alice@relay.test') };
  foreign.decide({ ...transaction, acceptedAs: 'encrypted', envelope: undefined as never });
  t.same(transaction.edits, [], 'mail of another domain is not ours to sign');
});
