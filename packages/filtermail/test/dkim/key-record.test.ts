import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { parseKeyRecord } from '../../src/dkim/key-record.ts';
import { ED25519, makeRsaKey, RSA } from '../support/dkim.ts';

const rsa = RSA.record.split('p=')[1]!;
const ed25519 = ED25519.record.split('p=')[1]!;
const pkcs1 = generateKeyPairSync('rsa', { modulusLength: 1024 })
  .publicKey.export({ format: 'der', type: 'pkcs1' })
  .toString('base64');
const hugeExponent = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });

t.test('key records', async (t) => {
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
  const rows: readonly [text: string, outcome: string, why: string][] = [
    [RSA.record, 'rsa', 'RSA'],
    [ED25519.record, 'ed25519', 'Ed25519, RFC 8463'],
    [`p=${rsa}`, 'rsa', 'only p='],
    [`k=rsa; p=${rsa}; t=y:s`, 'rsa strict', 'no version; testing changes nothing; strict'],
    [`v=DKIM1; h=sha1:sha256; s=email:x; n=note; p=${rsa};`, 'rsa', 'everything'],
    [`v=DKIM1; s=*; p=${rsa}`, 'rsa', 'for all services'],
    [`"v=DKIM1; k=rsa; p=${rsa.slice(0, 50)}" "${rsa.slice(50)}"`, 'rsa', 'quotes of a zone file'],
    [`v=DKIM1\\; k=rsa\\; p=${rsa}`, 'rsa', 'semicolons escaped'],
    [`v=DKIM1; p=${rsa.slice(0, 50)} \t${rsa.slice(50)}`, 'rsa', 'blanks in the key'],
    [`v=DKIM1; p=${pkcs1}`, 'rsa', 'RSA without its wrapping, and of 1024 bits'],
    [makeRsaKey(1016).record, 'dkim_key_weak', '1016 bits, RFC 8301'],
    ['v=DKIM1; p=', 'dkim_key_revoked', 'revoked'],
    ['v=DKIM1; k=ed25519; p=', 'dkim_key_revoked', 'revoked, whatever it was'],
    ['v=DKIM1; k=rsa', 'dkim_key_malformed', 'no p='],
    [`v=DKIM1; p=${rsa.slice(0, -8)}`, 'dkim_key_malformed', 'cut off'],
    ['v=DKIM1; p=!!', 'dkim_key_malformed', 'not base64'],
    [`v=DKIM1; k=ed25519; p=${rsa}`, 'dkim_key_malformed', 'RSA that says it is Ed25519'],
    [`v=DKIM1; k=rsa; p=${ed25519}`, 'dkim_key_malformed', 'Ed25519 that says it is RSA'],
    [`v=DKIM1; p=${curve.toString('base64')}`, 'dkim_key_malformed', 'another sort of key'],
    [`v=DKIM1; k=dsa; p=${rsa}`, 'dkim_key_not_for_this', 'a type nobody knows'],
    [`v=DKIM1; h=sha1; p=${rsa}`, 'dkim_key_not_for_this', 'SHA-1 only'],
    [`v=DKIM1; s=chat; p=${rsa}`, 'dkim_key_not_for_this', 'not for mail'],
    ['v=spf1 -all', 'other', 'SPF'],
    [`v=DKIM2; p=${rsa}`, 'other', 'another version'],
    [`p=${rsa}; v=DKIM1`, 'other', 'the version is not first'],
    ['hello', 'other', 'no tags'],
    ['', 'other', 'nothing'],
  ];
  for (const [text, outcome, why] of rows) {
    const result = parseKeyRecord(text);
    if (result.kind === 'key')
      t.equal(result.key.isStrict ? `${result.key.type} strict` : result.key.type, outcome, why);
    else t.equal(result.kind === 'unusable' ? result.fault : 'other', outcome, why);
  }
});

t.test('an exponent that makes verifying slow', async (t) => {
  const modulus = Buffer.from(hugeExponent.n!, 'base64url');
  const integer = (bytes: Buffer) => {
    const value = bytes[0]! >= 0x80 ? Buffer.concat([Buffer.alloc(1), bytes]) : bytes;
    return Buffer.concat([Buffer.from([0x02, 0x81, value.length]), value]);
  };
  const body = Buffer.concat([integer(modulus), integer(Buffer.alloc(100, 0x7f))]);
  const key = Buffer.concat([Buffer.from([0x30, 0x81, body.length]), body]);
  t.ok(body.length < 256, 'the encoding of this test holds');
  t.match(parseKeyRecord(`v=DKIM1; p=${key.toString('base64')}`), { kind: 'unusable', fault: 'dkim_key_malformed' });
});
