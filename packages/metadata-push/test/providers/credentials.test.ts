import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, parseConfig } from '#core';
import { createDirect } from '../../src/providers/credentials.ts';
import { directory, makeCertificate, makePkcs12 } from '../support/certificates.ts';

const log = createLogger('silent');
const file = (name: string, content: string | Buffer) => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const pem = { type: 'pkcs8', format: 'pem' } as const;
const p256 = file('p256.pem', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pem));
const p384 = file('p384.pem', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pem));
const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pem);
const rsa = file('rsa.pem', rsaKey);
const account = {
  type: 'service_account',
  project_id: 'chat-fcm',
  private_key_id: 'abcdef',
  private_key: rsaKey,
  client_email: 'push@chat-fcm.iam.gserviceaccount.com',
  token_uri: 'https://oauth2.googleapis.com/token',
};
const json = (name: string, value: unknown) => file(`${name}.json`, JSON.stringify(value));
const identity = makeCertificate('client', '/CN=Apple Push Services');
const certificate = file('client.pem', identity.cert + identity.key);
const p12 = file('client.p12', makePkcs12('client', 'secret'));
const absent = join(directory, 'absent');

const make = (keys: Record<string, string>) => {
  const lines = Object.entries(keys).map(([key, value]) => `${key} = ${value}`);
  return createDirect(parseConfig(['[params]', 'mail_domain = chat.example', ...lines].join('\n')), log);
};
const apns = { apns_key_id: 'ABC123DEFG', apns_team_id: 'DEF123GHIJ', apns_topic: 'chat.example' };

t.test('credentials that work', async (t) => {
  const rows: [keys: Record<string, string>, reason: string][] = [
    [{ ...apns, apns_key: p256 }, 'Apple, key'],
    [{ apns_certificate: certificate, apns_topic: 'chat.example' }, 'Apple, certificate and key in one PEM file'],
    [{ apns_certificate: p12, apns_certificate_password: 'secret', apns_topic: 'chat.example' }, 'Apple, PKCS #12'],
    [{ fcm_service_account: json('account', account) }, 'Google'],
    [{ vapid_key: p256 }, 'Web Push'],
    [{ vapid_key: p256, push_endpoints: 'apns=https://localhost:1 ubports=https://localhost:2/notify' }, 'endpoints'],
  ];
  for (const [keys, reason] of rows) {
    const direct = make(keys);
    t.equal(direct.name, 'direct', reason);
    await direct.close();
  }
});

t.test('the end of a certificate is known', async (t) => {
  const inTwoDays = Date.now() + 2 * 24 * 3600 * 1000;
  const topic = { apns_topic: 'chat.example' };
  for (const keys of [
    { ...topic, apns_certificate: certificate },
    { ...topic, apns_certificate: p12, apns_certificate_password: 'secret' },
  ]) {
    const direct = make(keys);
    t.ok(Math.abs(direct.certificateEndsAt! - inTwoDays) < 60_000, keys.apns_certificate.slice(-3));
    await direct.close();
  }
  t.equal(make({ ...apns, apns_key: p256 }).certificateEndsAt, undefined, 'a key has none');
});

t.test('credentials that do not', async (t) => {
  const fcm = (name: string, change: object) => ({ fcm_service_account: json(name, { ...account, ...change }) });
  const rows: [keys: Record<string, string>, key: string | undefined, reason: string][] = [
    [{}, undefined, 'none at all'],
    [{ push_openpgp_keys: p256 }, undefined, 'keys for tokens alone send nothing'],
    [{ ...apns, apns_key: absent }, 'apns_key', 'no such file'],
    [{ ...apns, apns_key: rsa }, 'apns_key', 'an RSA key'],
    [{ ...apns, apns_key: p384 }, 'apns_key', 'another curve'],
    [{ ...apns, apns_key: file('junk', 'junk') }, 'apns_key', 'no key'],
    [{ ...apns, apns_key: p256, apns_certificate: certificate }, 'apns_key', 'key and certificate'],
    [{ ...apns, apns_key: p256, apns_topic: '' }, 'apns_topic', 'no topic'],
    [{ ...apns, apns_key: p256, apns_key_id: '' }, 'apns_key_id', 'no key ID'],
    [{ ...apns, apns_key: p256, apns_team_id: 'a b' }, 'apns_team_id', 'a team ID with a blank'],
    [{ ...apns, apns_certificate: p12, apns_certificate_password: 'wrong' }, 'apns_certificate', 'a wrong password'],
    [{ ...apns, apns_certificate: file('c.pem', identity.cert) }, 'apns_certificate', 'a certificate without its key'],
    [{ fcm_service_account: p256 }, 'fcm_service_account', 'not JSON'],
    [{ fcm_service_account: json('null', null) }, 'fcm_service_account', 'JSON, but nothing'],
    [fcm('a', { project_id: undefined }), 'fcm_service_account', 'no project'],
    [fcm('b', { project_id: 'a/../b' }), 'fcm_service_account', 'a project that is a path'],
    [fcm('c', { token_uri: 'http://oauth2.example/' }), 'fcm_service_account', 'a token URI without TLS'],
    [fcm('d', { private_key: '-----BEGIN x' }), 'fcm_service_account', 'a damaged key'],
    [{ vapid_key: rsa }, 'vapid_key', 'an RSA key'],
    [{ vapid_key: p256, push_openpgp_keys: p256 }, 'push_openpgp_keys', 'not an OpenPGP key'],
    [{ vapid_key: p256, push_openpgp_keys: absent }, 'push_openpgp_keys', 'no such file'],
    [{ vapid_key: p256, push_endpoints: 'apns=http://localhost' }, 'push_endpoints', 'an endpoint without TLS'],
    [{ vapid_key: p256, push_endpoints: 'toString=https://localhost' }, 'push_endpoints', 'no such service'],
  ];
  for (const [keys, key, reason] of rows) {
    t.throws(
      () => make(keys),
      { name: 'ConfigError', exitCode: 78, location: key === undefined ? {} : { key } },
      reason,
    );
  }
});
