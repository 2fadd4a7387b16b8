import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ConfigError } from '#core';
import { readSigningKeys } from '../../src/dkim/key-file.ts';
import { ED25519, makeRsaKey, RSA } from '../support/dkim.ts';

const directory = mkdtempSync(join(tmpdir(), 'dkim-key-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'key.pem');
const pem = (key: typeof RSA.privateKey, type: 'pkcs8' | 'pkcs1' = 'pkcs8') =>
  key.export({ format: 'pem', type }).toString();
const read = (text: string, selector = 'mail') => {
  writeFileSync(path, text);
  return readSigningKeys({ dkim_key: path, dkim_selector: selector }).map((key) => [
    key.selector,
    key.key.asymmetricKeyType,
  ]);
};
const rsa = pem(RSA.privateKey);
const ed25519 = pem(ED25519.privateKey);

t.test('key files', async (t) => {
  t.same(read(rsa), [['mail', 'rsa']]);
  t.same(read(pem(RSA.privateKey, 'pkcs1')), [['mail', 'rsa']], 'as opendkim-genkey writes it');
  t.same(
    read(`a comment\n${rsa}\n${ed25519}`),
    [
      ['mail', 'rsa'],
      ['mail-ed25519', 'ed25519'],
    ],
    'two keys',
  );
  const curve = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const rows: readonly [text: string, why: string][] = [
    ['', 'nothing'],
    ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'not a key'],
    [ed25519, 'no RSA key: some servers know no other'],
    [rsa + rsa, 'two of one type'],
    [rsa + curve, 'another type'],
    [pem(makeRsaKey(1016).privateKey), 'a short one'],
  ];
  for (const [text, why] of rows) t.throws(() => read(text), ConfigError, why);
  t.throws(() => read(rsa, 'a b'), ConfigError, 'a selector that is none');
});

t.test('a file that is not there, or not for us', async (t) => {
  const missing = { dkim_key: join(directory, 'none'), dkim_selector: 'mail' };
  t.throws(() => readSigningKeys(missing), { exitCode: 78, message: /dkim_key: .*none cannot be read \(ENOENT\)/ });
  chmodSync(path, 0o600);
  t.throws(() => readSigningKeys({ dkim_key: directory, dkim_selector: 'mail' }), ConfigError, 'a directory');
});

t.test('a key that systemd has read', async (t) => {
  const settings = { dkim_key: join(directory, 'none'), dkim_selector: 'mail' };
  const credential = join(directory, 'dkim_key');
  writeFileSync(credential, rsa);
  t.equal(readSigningKeys(settings, directory).length, 1);
  writeFileSync(credential, '\n');
  t.throws(() => readSigningKeys(settings, directory), /cannot be read/, 'blank: there was no file');
  rmSync(credential);
  t.throws(() => readSigningKeys(settings, directory), ConfigError, 'nothing of that name');
});
