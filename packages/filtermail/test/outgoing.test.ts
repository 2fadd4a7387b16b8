import t from 'tap';
import { parseConfig } from '#core';
import { createOutgoingStages } from '../src/outgoing.ts';
import { RateLimit } from '../src/rate-limit.ts';
import { formatReply } from '../src/verdict.ts';
import { judge, type TestMessage } from './support/judge.ts';
import { BOUNDARY, mimeBody } from './support/openpgp.ts';

const config = parseConfig('[params]\nmail_domain = relay.test\n');
const rate = () => new RateLimit({ perMinute: 60, burst: 10 });
const send = (message: TestMessage, rateLimit = rate()) =>
  judge(createOutgoingStages({ config, rateLimit, now: () => 0 }), message);

const ENCRYPTED = `multipart/encrypted; protocol="application/pgp-encrypted"; boundary="${BOUNDARY}"`;
const FROM: [string, string] = ['From', '<alice@relay.test>'];
const encrypted = (
  header: readonly (readonly [string, string])[] = [FROM],
  envelope: Partial<TestMessage> = {},
): TestMessage => ({
  header: [...header, ['Content-Type', ENCRYPTED]],
  body: mimeBody(),
  ...envelope,
});

t.test('who a message is from', async (t) => {
  const rows: readonly [message: TestMessage, reason: string, why: string][] = [
    [encrypted(), 'encrypted', 'all the same'],
    [encrypted([FROM], { login: 'alice@relay.test' }), 'encrypted', 'logged in'],
    [encrypted([['From', 'Alice <ALICE@Relay.Test>']], { login: 'Alice@relay.test' }), 'encrypted', 'any case'],
    [encrypted([FROM], { login: 'bob@relay.test' }), 'sender_not_login', 'logged in as somebody else'],
    [encrypted([FROM], { login: 'alice' }), 'sender_not_login', 'a login that is no address'],
    [encrypted([FROM], { sender: 'bob@relay.test' }), 'from_not_envelope', 'another envelope sender'],
    [encrypted([['From', 'alice@relay.test.evil.example']]), 'from_not_envelope', 'another domain'],
    [encrypted([['From', '"alice@relay.test" <eve@relay.test>']]), 'from_not_envelope', 'the right one as a name'],
    [encrypted([FROM], { sender: '' }), 'sender_invalid', 'the null sender'],
    [encrypted([FROM, FROM]), 'from_repeated', 'twice the same'],
    [encrypted([FROM, ['FROM', 'eve@relay.test']]), 'from_repeated', 'a second one in capitals'],
    [encrypted([FROM, ['From ', 'eve@relay.test']]), 'from_repeated', 'a blank before the colon'],
    [encrypted([]), 'from_missing', 'none'],
    [encrypted([['From', 'alice@relay.test, bob@relay.test']]), 'from_not_one_address', 'two addresses'],
    [encrypted([['From', 'Alice']]), 'from_malformed', 'no address'],
    [encrypted([FROM, ['X', 'y\rFrom: eve@relay.test']]), 'header_bare_cr', 'one after a CR, which some readers see'],
    [encrypted([['From', '<alice@relay.test>\r']]), 'header_bare_cr', 'a CR at the end of a value'],
    [encrypted([FROM, ['X', 'y\r\n z']]), 'encrypted', 'folded with CRLF'],
    [encrypted([FROM, ...Array(1001).fill(['X-A', '1'])]), 'header_too_large', 'a thousand fields'],
  ];
  for (const [message, reason, why] of rows) t.equal((await send(message)).verdict.reason, reason, why);
});

t.test('what a message holds', async (t) => {
  const mixed = 'multipart/mixed; boundary="b"';
  const request = '--b\r\nContent-Type: text/plain\r\n\r\nSecure-Join: vc-request\r\n--b--\r\n';
  const setup = (header: [string, string][], envelope: Partial<TestMessage> = {}): TestMessage => ({
    header: [FROM, ['Content-Type', mixed], ...header],
    body: '--b\r\n\r\nkey\r\n--b--',
    recipients: ['alice@relay.test'],
    ...envelope,
  });
  const subject: [string, string] = ['Subject', 'Autocrypt Setup Message'];
  const rows: readonly [message: TestMessage, reason: string, why: string][] = [
    [{ header: [FROM], body: 'hi' }, 'content_type_missing', 'plain old mail'],
    [{ header: [FROM, ['Content-Type', 'text/plain']], body: 'hi' }, 'content_type_wrong', 'text'],
    [
      { header: [FROM, ['Content-Type', 'multipart/report; boundary=b']], body: '' },
      'content_type_wrong',
      'a read receipt in clear',
    ],
    [
      { header: [FROM, ['Content-Type', ENCRYPTED], ['Content-Type', 'text/plain']], body: mimeBody() },
      'content_type_repeated',
      'two types',
    ],
    [
      { header: [FROM, ['Content-Type', 'text/plain'], ['content-type', ENCRYPTED]], body: mimeBody() },
      'content_type_repeated',
      'two types',
    ],
    [
      { header: [FROM, ['Content-Type', `${ENCRYPTED}; boundary=x`]], body: mimeBody() },
      'parameter_repeated',
      'two boundaries',
    ],
    [{ header: [FROM, ['Content-Type', 'multipart/encrypted']], body: mimeBody() }, 'boundary_missing', 'no boundary'],
    [
      { header: [FROM, ['Content-Type', 'multipart/encrypted; boundary="a\\"b"']], body: '' },
      'boundary_invalid',
      'no valid one',
    ],
    [
      { header: [FROM, ['Content-Type', `${ENCRYPTED}; x-note="at noon"`]], body: mimeBody() },
      'content_type_text',
      'a parameter nobody needs',
    ],
    [
      { header: [FROM, ['Content-Type', `${ENCRYPTED}; charset="at noon"`]], body: mimeBody() },
      'content_type_text',
      'a text as charset',
    ],
    [
      { header: [FROM, ['Content-Type', ENCRYPTED.replace(BOUNDARY, 'let us meet at noon')]], body: mimeBody() },
      'content_type_text',
      'a text as boundary',
    ],
    [
      {
        header: [FROM, ['Content-Type', mixed.replace('b"', 'b"; note=noon')], ['Secure-Join', 'vc-request']],
        body: request,
      },
      'content_type_text',
      'a parameter of a securejoin request',
    ],
    [
      { header: [FROM, ['Content-Type', ENCRYPTED.replace('pgp', 'pkcs7')]], body: mimeBody() },
      'protocol_wrong',
      'another protocol',
    ],
    [
      { header: [FROM, ['Content-Type', `multipart/encrypted; boundary=${BOUNDARY}`]], body: mimeBody() },
      'encrypted',
      'no protocol',
    ],
    [encrypted([FROM, ['Content-Transfer-Encoding', 'base64']]), 'multipart_encoded', 'a multipart in base64'],
    [encrypted([FROM, ['Content-Transfer-Encoding', '8bit']]), 'encrypted', 'a multipart in 8bit'],
    [
      { header: [FROM, ['Content-Type', mixed], ['Secure-Join', 'vc-request']], body: request },
      'securejoin',
      'securejoin',
    ],
    [
      { header: [FROM, ['Content-Type', mixed], ['Secure-Join', 'vc-request']], body: 'hi' },
      'final_boundary_missing',
      'not the shape',
    ],
    [
      { header: [FROM, ['Content-Type', mixed], ['Secure-Join', 'vc-auth-required']], body: request },
      'content_type_wrong',
      'a later step',
    ],
    [
      { header: [FROM, ['Content-Type', mixed], ['Secure-Join', 'vc-request'], ['Secure-Join', 'x']], body: request },
      'content_type_wrong',
      'two Secure-Join fields',
    ],
    [
      {
        header: [FROM, ['Content-Type', 'text/plain'], ['Secure-Join', 'vc-request']],
        body: 'Secure-Join: vc-request',
      },
      'content_type_wrong',
      'securejoin as text/plain',
    ],
    [setup([subject]), 'setup_message', 'a setup message to oneself'],
    [setup([subject], { recipients: ['bob@relay.test'] }), 'content_type_wrong', 'to somebody else'],
    [
      setup([subject], { recipients: ['alice@relay.test', 'bob@relay.test'] }),
      'content_type_wrong',
      'and to somebody else',
    ],
    [setup([['Subject', 'Re: Autocrypt Setup Message']]), 'content_type_wrong', 'another subject'],
    [setup([subject, subject]), 'content_type_wrong', 'two subjects'],
    [
      { ...setup([]), header: [FROM, subject, ['Content-Type', 'text/plain']] },
      'content_type_wrong',
      'not multipart/mixed',
    ],
  ];
  for (const [message, reason, why] of rows) t.equal((await send(message)).verdict.reason, reason, why);
});

t.test('replies', async (t) => {
  const reply = async (message: TestMessage, rateLimit?: RateLimit) => {
    const { verdict } = await send(message, rateLimit);
    if (verdict.verdict === 'accept') return 'accepted';
    const { code, enhanced, text } = formatReply(verdict);
    return `${code} ${enhanced} ${text}`;
  };
  const standard = '523 5.7.1 Encryption Needed: Invalid Unencrypted Mail';
  t.equal(
    await reply({ header: [FROM, ['Content-Type', 'Text/HTML']], body: '' }),
    `${standard} (message is text/html)`,
  );
  const plain = mimeBody({ secondHeader: ['Content-Type: text/plain'] });
  t.equal(
    await reply({ header: [FROM, ['Content-Type', ENCRYPTED]], body: plain }),
    `${standard} (second part is text/plain)`,
  );
  const strange = `text/${'x'.repeat(300)}`;
  t.ok((await reply({ header: [FROM, ['Content-Type', strange]], body: '' })).length < 150, 'one short line');
  const busy = rate();
  for (let i = 0; i < 10; i++) t.equal(await reply(encrypted(), busy), 'accepted');
  t.equal(await reply(encrypted(), busy), '450 4.7.1 Too much mail from this account, try again in 1 seconds');
  t.notMatch(await reply(encrypted([['From', 'eve@relay.test']])), /@/, 'no address in a reply');
});
