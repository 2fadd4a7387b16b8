import { createPublicKey } from 'node:crypto';
import t from 'tap';
import { applyHeaderEdits } from '../../src/dkim/header-edits.ts';
import { signMessage } from '../../src/dkim/sign.ts';
import { parseSignature } from '../../src/dkim/signature.ts';
import { ED25519, NOW, RSA, splitMessage } from '../support/dkim.ts';

const bodyHash = Buffer.alloc(32, 1);
const sign = (header: string, key = RSA.privateKey) =>
  signMessage(
    { fields: splitMessage(`${header}\r\n\r\n`).fields, bodyHash, domain: 'example.org', nowSeconds: NOW },
    { selector: 'sel', key },
  );
const fieldNames = (value: string) => {
  const parsed = parseSignature(value);
  return parsed.ok ? parsed.signature.fieldNames.join(':') : parsed.fault;
};
const OVERSIGNED = 'from:to:cc:subject:date:reply-to:in-reply-to:references:autocrypt:content-type';

t.test('which fields are signed', async (t) => {
  const rows: readonly [header: string, names: string, why: string][] = [
    ['From: a', `from:${OVERSIGNED}`, 'From, and once more'],
    ['From: a\r\nTo: b\r\nTo: c', `to:to:from:${OVERSIGNED}`, 'as often as it is there, and once more'],
    [
      'Received: x\r\nDKIM-Signature: x\r\nReturn-Path: x\r\nX-Spam: x\r\nAuthentication-Results: x\r\nFrom: a',
      `from:${OVERSIGNED}`,
      'nothing that servers add',
    ],
    [
      'From: a\r\nMessage-ID: x\r\nMIME-Version: x\r\nChat-Version: x\r\nSecure-Join: x\r\nList-ID: x\r\nSender: x',
      `sender:list-id:secure-join:chat-version:mime-version:message-id:from:${OVERSIGNED}`,
      "the client's fields, mailing lists",
    ],
  ];
  for (const [header, names, why] of rows) t.equal(fieldNames(sign(header)), names, why);
  const many = fieldNames(sign(`From: a\r\n${'Chat-X: y\r\n'.repeat(500)}To: b`)).split(':');
  t.equal(many.length, 100 + OVERSIGNED.split(':').length, 'a bound on names');
});

t.test('the shape of the field', async (t) => {
  const header = `From: a\r\nTo: b\r\n${'Chat-Very-Long-Name-Of-A-Field: x\r\n'.repeat(20)}Subject: c`;
  for (const [type, key, selector] of [
    ['rsa', RSA.privateKey, 'sel'],
    ['ed25519', ED25519.privateKey, 'sel'],
  ] as const) {
    const value = sign(header, key);
    const lines = `DKIM-Signature: ${value}`.split('\n');
    t.ok(
      lines.every((line) => line.length <= 78),
      'no long lines',
    );
    t.ok(
      lines.slice(1).every((line) => line.startsWith('\t')),
      'folded',
    );
    t.match(value, /^[\t\n -~]+$/, 'ASCII');
    t.notMatch(value, /[;:] ?l=/, 'no l=');
    t.match(parseSignature(value), {
      ok: true,
      signature: {
        algorithm: `${type}-sha256`,
        domain: 'example.org',
        selector,
        headerForm: 'relaxed',
        bodyForm: 'relaxed',
        signedAt: NOW,
        expiresAt: undefined,
      },
    });
  }
  t.equal(createPublicKey(RSA.privateKey).asymmetricKeyDetails?.modulusLength, 2048);
});

t.test('the header after the edits', async (t) => {
  const { fields } = splitMessage('Subject: one\r\nX: 1\r\nx: 2\r\nX: 3\r\nFrom: a\r\n\r\n');
  const edited = applyHeaderEdits(fields, [
    { edit: 'changeHeader', name: 'subject', index: 1, value: '[...]' },
    { edit: 'deleteHeader', name: 'X', index: 3 },
    { edit: 'deleteHeader', name: 'X', index: 1 },
    { edit: 'deleteHeader', name: 'Gone', index: 1 },
    { edit: 'addHeader', name: 'Last', value: 'z' },
    { edit: 'insertHeader', index: 0, name: 'First', value: 'a' },
    { edit: 'changeHeader', name: 'New', index: 1, value: 'n' },
    { edit: 'changeSender', sender: '<>' },
  ]);
  t.same(
    edited.map(({ rawName, rawValue }) => `${rawName}:${rawValue.trim()}`),
    ['First:a', 'subject:[...]', 'x:2', 'From:a', 'Last:z', 'New:n'],
  );
});
