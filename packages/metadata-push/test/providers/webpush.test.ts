import { createDecipheriv, createECDH, createPublicKey, generateKeyPairSync, hkdfSync, randomBytes } from 'node:crypto';
import t from 'tap';
import type { PushOutcome } from '../../src/providers/provider.ts';
import { createWebPush, type WebPushOptions } from '../../src/providers/webpush.ts';
import { encryptMessage, type VapidIdentity } from '../../src/providers/webpush-request.ts';
import { makeCertificate } from '../support/certificates.ts';
import { startHttpsStub, status } from '../support/https-stub.ts';
import { readJwt } from '../support/jwt.ts';

const tls = makeCertificate('server');
const NOW = Date.UTC(2026, 10, 22, 12);
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const point = ({ x = '', y = '' }: { x?: string; y?: string }) =>
  Buffer.from(`04${hex(x)}${hex(y)}`, 'hex').toString('base64url');
const hex = (text: string) => Buffer.from(text, 'base64url').toString('hex');
const vapid: VapidIdentity = {
  key: keys.privateKey,
  publicKey: point(keys.publicKey.export({ format: 'jwk' })),
  contact: 'mailto:postmaster@chat.example',
};
const stub = await startHttpsStub(t, tls);
const origin = `https://localhost:${stub.port}`;

/** A device: its key pair, its secret, and how it reads a message (RFC 8291 section 3.4, from the other side). */
function makeDevice() {
  const ecdh = createECDH('prime256v1');
  ecdh.generateKeys();
  const auth = randomBytes(16);
  const decrypt = (body: Buffer): string => {
    const salt = body.subarray(0, 16);
    const senderKey = body.subarray(21, 21 + body[20]!);
    const info = Buffer.concat([Buffer.from('WebPush: info\0'), ecdh.getPublicKey(), senderKey]);
    const derive = (key: Buffer, from: Buffer, label: Buffer | string, length: number) =>
      Buffer.from(hkdfSync('sha256', key, from, label, length));
    const ikm = derive(ecdh.computeSecret(senderKey), auth, info, 32);
    const record = body.subarray(21 + body[20]!);
    const key = derive(ikm, salt, 'Content-Encoding: aes128gcm\0', 16);
    const decipher = createDecipheriv('aes-128-gcm', key, derive(ikm, salt, 'Content-Encoding: nonce\0', 12));
    decipher.setAuthTag(record.subarray(-16));
    return Buffer.concat([decipher.update(record.subarray(0, -16)), decipher.final()]).toString('latin1');
  };
  return { publicKey: ecdh.getPublicKey(), auth, decrypt };
}

const device = makeDevice();
const tokenOf = (endpoint: string) => ({ endpoint: new URL(endpoint), publicKey: device.publicKey, auth: device.auth });

function webPushOf(options: Partial<WebPushOptions> = {}) {
  const webPush = createWebPush({
    vapid,
    now: () => NOW,
    isAllowedAddress: (address) => address === '127.0.0.1' || address === '::1',
    ca: tls.cert,
    timeoutMs: 10_000,
    ...options,
  });
  t.teardown(() => webPush.close());
  return webPush;
}

t.test('RFC 8291 section 5, byte for byte', async (t) => {
  const ephemeral = createECDH('prime256v1');
  ephemeral.setPrivateKey(Buffer.from('yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw', 'base64url'));
  const subscription = {
    publicKey: Buffer.from(
      'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
      'base64url',
    ),
    auth: Buffer.from('BTBZMqHH6r4Tts7J_aSIgg', 'base64url'),
  };
  const salt = Buffer.from('DGv6ra1nlYgDCS1FRnbzlw', 'base64url');
  const message = Buffer.from('When I grow up, I want to be a watermelon');
  t.equal(
    encryptMessage(message, subscription, ephemeral, salt).toString('base64url'),
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
  );
});

t.test('the request', async (t) => {
  stub.answer = status(201);
  const webPush = webPushOf();
  t.same(await webPush.send(tokenOf(`${origin}/push/abc?d=e`)), { kind: 'delivered' });
  const [request] = stub.requests;
  t.match(request, {
    method: 'POST',
    url: '/push/abc?d=e',
    headers: {
      'content-encoding': 'aes128gcm',
      'content-type': 'application/octet-stream',
      ttl: '604800',
      urgency: 'high',
      topic: 'new_messages',
    },
  });
  t.equal(device.decrypt(request!.body), 'ping\x02', 'the device can read it');
  const [, jwt = '', key = ''] = /^vapid t=([^,]+), k=([\w-]+)$/.exec(String(request!.headers.authorization)) ?? [];
  t.equal(key, vapid.publicKey);
  t.same(readJwt(jwt, createPublicKey(keys.privateKey)), {
    header: { alg: 'ES256', typ: 'JWT' },
    claims: { aud: origin, exp: NOW / 1000 + 12 * 3600, sub: 'mailto:postmaster@chat.example' },
    isValid: true,
  });
  await webPush.send(tokenOf(`${origin}/push/abc?d=e`));
  t.notSame(stub.requests[1]!.body.subarray(0, 86), request!.body.subarray(0, 86), 'salt and key are new every time');
});

t.test('answers', async (t) => {
  const webPush = webPushOf();
  // Only for what must take all the time there is: a busy machine makes others late too.
  const hurried = webPushOf({ timeoutMs: 300 });
  const rows: [answer: typeof stub.answer, outcome: PushOutcome, reason: string][] = [
    [status(201), { kind: 'delivered' }, 'created'],
    [status(200), { kind: 'delivered' }, 'ok'],
    [status(202), { kind: 'delivered' }, 'accepted'],
    [status(404), { kind: 'dead' }, 'expired'],
    [status(410), { kind: 'dead' }, 'gone'],
    [status(400), { kind: 'retry', reason: 'status-4xx' }, 'our request'],
    [status(401), { kind: 'retry', reason: 'refused' }, 'VAPID'],
    [status(403), { kind: 'retry', reason: 'refused' }, 'VAPID'],
    [status(413), { kind: 'retry', reason: 'status-4xx' }, 'too large'],
    [status(429, { 'retry-after': '3' }), { kind: 'retry', reason: 'rate-limited', afterMs: 3000 }, 'too often'],
    [status(500), { kind: 'retry', reason: 'status-5xx' }, 'fails'],
    [status(307, { location: 'https://127.0.0.1/' }), { kind: 'retry', reason: 'status-3xx' }, 'a redirect'],
    [() => {}, { kind: 'retry', reason: 'timeout' }, 'no answer'],
    [(response) => void response.socket!.destroy(), { kind: 'retry', reason: 'connection' }, 'a reset'],
  ];
  for (const [answer, outcome, reason] of rows) {
    stub.answer = answer;
    const isTimeout = outcome.kind === 'retry' && outcome.reason === 'timeout';
    t.same(await (isTimeout ? hurried : webPush).send(tokenOf(`${origin}/x`)), outcome, reason);
  }
  const offCurve = Buffer.concat([Buffer.of(4), randomBytes(64)]);
  const outcome = await webPush.send({ ...tokenOf(`${origin}/x`), publicKey: offCurve });
  t.same(outcome, { kind: 'retry', reason: 'malformed' }, 'a key that is no point of the curve');
});

t.test('no way into the own network', async (t) => {
  stub.requests.length = 0;
  stub.sockets.clear();
  const webPush = webPushOf({ isAllowedAddress: undefined as never });
  const rows: [endpoint: string, reason: string, outcome: string][] = [
    [`https://127.0.0.1:${stub.port}/`, 'loopback', 'malformed'],
    [`https://2130706433:${stub.port}/`, 'loopback as a number', 'malformed'],
    [`https://0x7f.1:${stub.port}/`, 'loopback in hexadecimal', 'malformed'],
    [`https://[::1]:${stub.port}/`, 'loopback, IPv6', 'malformed'],
    [`https://[::ffff:127.0.0.1]:${stub.port}/`, 'IPv4 in IPv6', 'malformed'],
    [`https://[64:ff9b::7f00:1]:${stub.port}/`, 'IPv4 behind NAT64', 'malformed'],
    ['https://169.254.169.254/latest/', 'the metadata service of clouds', 'malformed'],
    ['https://[fe80::1]/', 'link-local', 'malformed'],
    ['https://[fd00::1]/', 'unique local', 'malformed'],
    [`https://localhost:${stub.port}/`, 'a name for loopback', 'connection'],
  ];
  for (const [endpoint, reason, outcome] of rows) {
    t.same(await webPush.send(tokenOf(endpoint)), { kind: 'retry', reason: outcome }, reason);
  }
  t.equal(stub.sockets.size, 0, 'nothing was connected to');
});

t.test('TLS', async (t) => {
  const webPush = createWebPush({ vapid, now: () => NOW, isAllowedAddress: () => true, timeoutMs: 10_000 });
  t.teardown(() => webPush.close());
  t.same(await webPush.send(tokenOf(`${origin}/`)), { kind: 'retry', reason: 'connection' }, 'nobody vouches for it');
});
