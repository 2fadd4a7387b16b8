/**
 * [io] Reads the credentials of the push services, says in the operator's words what is wrong with them, and makes the direct provider.
 * Everything is checked at start but the OpenPGP keys: checking those would load the library that is to be loaded only when needed.
 */

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { type Config, ConfigError, type Logger } from '#core';
import { createTokenDecryptor } from '../token-decrypt.ts';
import { APNS_PRODUCTION, APNS_SANDBOX, type ApnsOptions, createApns } from './apns.ts';
import { ApnsProviderToken } from './apns-token.ts';
import { Direct, type Services } from './direct.ts';
import { createFcm, FCM_ORIGIN } from './fcm.ts';
import type { FcmServiceAccount } from './fcm-request.ts';
import { algorithmOf } from './jwt.ts';
import { createUbports, UBPORTS_URL } from './ubports.ts';
import { createWebPush } from './webpush.ts';
import type { VapidIdentity } from './webpush-request.ts';

/** Web pushes on the wire at once; more than the pusher ever sends, so that this bounds the gateway only. */
const MAX_WEB_PUSH = 512;
/** Four times the connections to one host, so that a moment's many pushes to one that answers find a place. */
const MAX_PER_WEB_PUSH_HOST = 64;
/** Failures of one kind are said once in this time. */
const SAY_AGAIN_MS = 60_000;

const ENDPOINTS = {
  apns: APNS_PRODUCTION,
  'apns-sandbox': APNS_SANDBOX,
  fcm: FCM_ORIGIN,
  ubports: UBPORTS_URL,
};

type CredentialKeys =
  | 'apns_key'
  | 'apns_key_id'
  | 'apns_team_id'
  | 'apns_topic'
  | 'apns_certificate'
  | 'apns_certificate_password'
  | 'fcm_service_account'
  | 'vapid_key'
  | 'push_openpgp_keys'
  | 'push_endpoints';

/** The part of the configuration this reads; `mail_domain` and `privacy_mail` tell Web Push services whom to ask. */
export type DirectConfig = Pick<Config, CredentialKeys | 'mail_domain' | 'privacy_mail'>;

/**
 * Makes the direct provider from the configuration.
 *
 * @throws ConfigError when a file is missing or is not what it should be, or when there is nothing to push with
 */
export function createDirect(config: DirectConfig, log: Logger): Direct {
  const now = Date.now;
  const endpoints = { ...ENDPOINTS, ...parseEndpoints(config.push_endpoints) };
  const onConnectError = (provider: string) => {
    const say = sparingly(SAY_AGAIN_MS);
    return (error: unknown) => say(() => log.warn('push service cannot be reached', { provider, error }));
  };
  const apns = readApns(config);
  const account = readServiceAccount(config);
  const vapid = readVapid(config);
  if (!apns && !account && !vapid) {
    throw new ConfigError(
      'give credentials of a push service: apns_key, apns_certificate, fcm_service_account or vapid_key',
    );
  }
  const services: Services = {
    apns:
      apns &&
      createApns({
        ...apns,
        production: endpoints.apns,
        sandbox: endpoints['apns-sandbox'],
        now,
        onConnectError: onConnectError('apns'),
      }),
    fcm: account && createFcm({ origin: endpoints.fcm, account, now, onConnectError: onConnectError('fcm') }),
    ubports: createUbports({ url: endpoints.ubports, now }),
    webpush: vapid && createWebPush({ vapid, now }),
  };
  const keyring = readCredential(config, 'push_openpgp_keys')?.toString('latin1');
  if (keyring !== undefined && !keyring.includes('-----BEGIN PGP PRIVATE KEY BLOCK-----')) {
    throw new ConfigError('has no armored OpenPGP private key', { key: 'push_openpgp_keys' });
  }
  const sayKeyring = sparingly(SAY_AGAIN_MS);
  return new Direct({
    services,
    decryptor: keyring === undefined ? undefined : createTokenDecryptor(keyring),
    maxWebPush: MAX_WEB_PUSH,
    maxPerWebPushHost: MAX_PER_WEB_PUSH_HOST,
    certificateEndsAt: apns?.tls && certificateEnd(apns.tls),
    onKeyringError: (error) => sayKeyring(() => log.error('push_openpgp_keys cannot be used', { error })),
  });
}

function readApns(config: DirectConfig): Pick<ApnsOptions, 'topic' | 'providerToken' | 'tls'> | undefined {
  const keyFile = readCredential(config, 'apns_key');
  const certificate = readCredential(config, 'apns_certificate');
  if (!keyFile && !certificate) return undefined;
  if (keyFile && certificate) throw new ConfigError('give this or apns_certificate, not both', { key: 'apns_key' });
  const topic = required(config, 'apns_topic', 'the bundle ID of the app');
  if (certificate) return { topic, providerToken: undefined, tls: readCertificate(config, certificate) };
  const key = readKey(keyFile!, 'apns_key', 'ES256');
  const keyId = required(config, 'apns_key_id', 'the 10 characters Apple calls the key by');
  const teamId = required(config, 'apns_team_id', 'the 10 characters Apple calls the team by');
  return { topic, providerToken: providerTokenOf(key, keyId, teamId), tls: undefined };
}

let lastProviderToken: { readonly name: string; readonly token: ApnsProviderToken } | undefined;

/** The provider token of a key. A reload must not make another one: Apple takes a new one every 20 minutes only. */
function providerTokenOf(key: KeyObject, keyId: string, teamId: string): ApnsProviderToken {
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' });
  const name = `${teamId} ${keyId} ${publicKey}`;
  if (lastProviderToken?.name !== name) lastProviderToken = { name, token: new ApnsProviderToken(key, keyId, teamId) };
  return lastProviderToken.token;
}

function readCertificate(config: DirectConfig, file: Buffer): ApnsOptions['tls'] {
  const passphrase = config.apns_certificate_password;
  const isPem = file.includes('-----BEGIN ');
  const tls = isPem ? { cert: file, key: file, passphrase } : { pfx: file, passphrase };
  try {
    createSecureContext(tls);
    return tls;
  } catch (error) {
    // Keychain exports use ciphers that OpenSSL 3 keeps in its legacy provider.
    const hint = isPem
      ? 'it must hold the certificate and its private key'
      : 'check apns_certificate_password, or convert it: openssl pkcs12 -legacy -nodes -in FILE.p12 -out FILE.pem';
    const { code = 'unreadable' } = error as NodeJS.ErrnoException;
    throw new ConfigError(`cannot be used (${code}); ${hint}`, { key: 'apns_certificate' }, { cause: error });
  }
}

/** When a client certificate ends, ms since the epoch. Asked of a socket that is never connected: only that reads PKCS #12. */
function certificateEnd(tls: NonNullable<ApnsOptions['tls']>): number | undefined {
  const socket = new TLSSocket(new Socket(), { secureContext: createSecureContext(tls) });
  const end = socket.getX509Certificate()?.validToDate.getTime();
  socket.destroy();
  return end;
}

function readServiceAccount(config: DirectConfig): FcmServiceAccount | undefined {
  const file = readCredential(config, 'fcm_service_account');
  if (!file) return undefined;
  const key = 'fcm_service_account';
  let account: Record<string, unknown>;
  try {
    account = JSON.parse(file.toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new ConfigError('must be the JSON key file of a service account', { key }, { cause });
  }
  const text = (field: string, pattern: RegExp): string => {
    const value = account?.[field];
    if (typeof value !== 'string' || !pattern.test(value)) throw new ConfigError(`has no usable "${field}"`, { key });
    return value;
  };
  return {
    projectId: text('project_id', /^[a-z0-9:.-]{1,128}$/i),
    clientEmail: text('client_email', /^[!-~]{1,256}$/),
    keyId: text('private_key_id', /^[!-~]{1,128}$/),
    tokenUri: text('token_uri', /^https:\/\/[!-~]{1,256}$/),
    key: readKey(Buffer.from(text('private_key', /^-----BEGIN /)), key, 'RS256'),
  };
}

function readVapid(config: DirectConfig): VapidIdentity | undefined {
  const file = readCredential(config, 'vapid_key');
  if (!file) return undefined;
  const key = readKey(file, 'vapid_key', 'ES256');
  const { x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
  const contact = config.privacy_mail === '' ? `https://${config.mail_domain}` : `mailto:${config.privacy_mail}`;
  return { key, publicKey: point.toString('base64url'), contact };
}

function readKey(pem: Buffer, name: CredentialKeys, algorithm: 'ES256' | 'RS256'): KeyObject {
  const expected = algorithm === 'ES256' ? 'a P-256 private key, PEM' : 'an RSA private key, PEM';
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new ConfigError(`must hold ${expected}, without passphrase`, { key: name }, { cause });
  }
  if (algorithmOf(key) !== algorithm) throw new ConfigError(`must hold ${expected}`, { key: name });
  return key;
}

/** The file a key names; undefined when it names none. */
function readCredential(config: DirectConfig, key: CredentialKeys): Buffer | undefined {
  const path = config[key];
  if (typeof path !== 'string' || path === '') return undefined;
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new ConfigError(`cannot read ${path} (${(cause as NodeJS.ErrnoException).code})`, { key }, { cause });
  }
}

function required(config: DirectConfig, key: 'apns_topic' | 'apns_key_id' | 'apns_team_id', what: string): string {
  const value = config[key];
  if (!/^[A-Za-z0-9._-]{1,255}$/.test(value)) throw new ConfigError(`must be ${what}`, { key });
  return value;
}

function parseEndpoints(words: readonly string[]): Partial<typeof ENDPOINTS> {
  const known = Object.keys(ENDPOINTS).join(', ');
  return Object.fromEntries(
    words.map((word) => {
      const [service = '', url = ''] = word.split(/=(.*)/s);
      if (!Object.hasOwn(ENDPOINTS, service) || !URL.canParse(url) || new URL(url).protocol !== 'https:') {
        throw new ConfigError(`'${word}': write SERVICE=https://..., SERVICE one of ${known}`, {
          key: 'push_endpoints',
        });
      }
      return [service, url];
    }),
  );
}

/** Lets something be said once in a time. */
function sparingly(everyMs: number): (say: () => void) => void {
  let lastAt = Number.NEGATIVE_INFINITY;
  return (say) => {
    if (performance.now() - lastAt < everyMs) return;
    lastAt = performance.now();
    say();
  };
}
