import t from 'tap';
import { Direct, type DirectOptions, type Services } from '../../src/providers/direct.ts';
import type { PushOutcome, PushService } from '../../src/providers/provider.ts';
import { createTokenDecryptor, type DecryptedToken } from '../../src/token-decrypt.ts';
import { encryptToken, generateKey } from '../support/openpgp.ts';

const APPLE = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';
const WEB = `webpush:https://push.example/|BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4|BTBZMqHH6r4Tts7J_aSIgg`;

/** A service that says what it was asked. */
class Recorder implements PushService<object> {
  readonly sent: object[] = [];
  isClosed = false;
  answer: () => Promise<PushOutcome> = async () => ({ kind: 'delivered' });
  send(token: object) {
    this.sent.push(token);
    return this.answer();
  }
  close() {
    this.isClosed = true;
  }
}

function directOf(services: Services, options: Partial<DirectOptions> = {}) {
  const limits = { maxWebPush: 2, maxPerWebPushHost: 2 };
  return new Direct({ services, decryptor: undefined, ...limits, onKeyringError: () => {}, ...options });
}

t.test('every token goes to its service', async (t) => {
  const services = { apns: new Recorder(), fcm: new Recorder(), ubports: new Recorder(), webpush: new Recorder() };
  const direct = directOf(services);
  const rows: [token: string, service: keyof typeof services, sent: object][] = [
    [APPLE, 'apns', { isSandbox: false, token: APPLE }],
    [`sandbox:${APPLE}`, 'apns', { isSandbox: true, token: APPLE }],
    ['fcm-chat.delta:a:b', 'fcm', { token: 'a:b' }],
    ['ubports-a', 'ubports', { token: 'a' }],
    [WEB, 'webpush', { service: 'webpush' }],
  ];
  for (const [token, service, sent] of rows) {
    t.same(await direct.send(token), { kind: 'delivered', via: service }, service);
    t.match(services[service].sent.at(-1), sent);
    t.equal(await direct.laneOf(token), token.startsWith('sandbox') ? 'apns-sandbox' : service, 'and fails with it');
  }
  t.equal(
    Object.values(services).reduce((sum, { sent }) => sum + sent.length, 0),
    rows.length,
  );
  services.fcm.answer = async () => ({ kind: 'retry', reason: 'rate-limited', afterMs: 5 });
  t.same(await direct.send('fcm-a:b'), { kind: 'retry', reason: 'rate-limited', afterMs: 5, via: 'fcm' });
  services.fcm.answer = () => Promise.reject(new Error('x'));
  t.same(await direct.send('fcm-a:b'), { kind: 'retry', reason: 'error', via: 'fcm' }, 'a bug of ours');
  await direct.close();
  t.ok(Object.values(services).every(({ isClosed }) => isClosed));
});

t.test('no credentials, no token', async (t) => {
  const direct = directOf({});
  for (const token of [APPLE, 'fcm-a:b', 'ubports-a', WEB]) {
    t.match(await direct.send(token), { kind: 'retry', reason: 'not-configured' }, token.slice(0, 8));
  }
  t.same(await direct.send('openpgp:aGVsbG8='), { kind: 'retry', reason: 'not-configured' });
  t.same(await direct.send('hello'), { kind: 'retry', reason: 'malformed' });
  t.same(await direct.send('openpgp:!'), { kind: 'retry', reason: 'malformed' });
  t.equal(await direct.laneOf('hello'), undefined);
});

t.test('encrypted tokens', async (t) => {
  const key = await generateKey('v6');
  const apns = new Recorder();
  const decryptor = createTokenDecryptor(key.armored);
  let decryptions = 0;
  let preparations = 0;
  const counted = {
    keysEndAt: () => undefined,
    prepare: () => {
      preparations++;
      return decryptor.prepare();
    },
    decrypt: (message: Buffer) => {
      decryptions++;
      return decryptor.decrypt(message);
    },
  };
  const direct = directOf({ apns }, { decryptor: counted });
  const token = await encryptToken(APPLE, key.publicKey);
  await direct.prepare(APPLE);
  t.equal(preparations, 0, 'a plain token loads no OpenPGP');
  await direct.prepare(token);
  t.equal(preparations, 1);
  for (let i = 0; i < 3; i++) t.same(await direct.send(token), { kind: 'delivered', via: 'apns' });
  t.match(apns.sent[0], { token: APPLE, isSandbox: false });
  t.equal(decryptions, 1, 'opened once: clients repeat their ciphertext');
  const nonsense = await encryptToken('hello', key.publicKey);
  t.same(await direct.send(nonsense), { kind: 'retry', reason: 'malformed' }, 'nonsense inside');
  const nested = await encryptToken(token, key.publicKey);
  t.same(await direct.send(nested), { kind: 'retry', reason: 'malformed' }, 'a token within a token');
});

t.test('tokens that cannot be decrypted', async (t) => {
  const decryptorOf = (answer: () => Promise<DecryptedToken>) => ({
    keysEndAt: () => undefined,
    prepare: async () => {},
    decrypt: answer,
  });
  const errors: unknown[] = [];
  const onKeyringError = (error: unknown) => errors.push(error);
  const rows: [answer: () => Promise<DecryptedToken>, outcome: PushOutcome, reason: string][] = [
    [async () => ({ kind: 'foreign' }), { kind: 'dead' }, 'meant for others'],
    [async () => ({ kind: 'failed' }), { kind: 'retry', reason: 'undecrypted' }, 'may succeed with the right key'],
    [() => Promise.reject(new Error('x')), { kind: 'retry', reason: 'undecrypted' }, 'no keyring purges no token'],
  ];
  for (const [answer, outcome, reason] of rows) {
    const direct = directOf({}, { decryptor: decryptorOf(answer), onKeyringError });
    t.same(await direct.send('openpgp:aGVsbG8='), outcome, reason);
  }
  t.equal(errors.length, 1, 'the operator hears of the keyring');
});

t.test('endpoints that never answer leave room for the others', async (t) => {
  const webpush = new Recorder();
  const apns = new Recorder();
  const direct = directOf({ apns, webpush });
  let end: (outcome: PushOutcome) => void = () => {};
  webpush.answer = () =>
    new Promise((resolve) => {
      end = resolve;
    });
  const waiting = [direct.send(WEB), direct.send(WEB)];
  await new Promise((resolve) => setImmediate(resolve));
  t.same(await direct.send(WEB), { kind: 'retry', reason: 'busy', via: 'webpush' });
  t.same(await direct.send(APPLE), { kind: 'delivered', via: 'apns' });
  end({ kind: 'delivered' });
  await waiting[1];
  webpush.answer = async () => ({ kind: 'retry', reason: 'rate-limited', afterMs: 86_400_000 });
  t.match(await direct.send(WEB), { afterMs: 86_400_000, scope: 'token' }, 'an endpoint speaks for its token only');
  webpush.answer = async () => ({ kind: 'delivered' });
  t.same(await direct.send(WEB), { kind: 'delivered', via: 'webpush' }, 'and there is room again');
});

t.test('endpoints of one host that never answer leave room for other hosts', async (t) => {
  const webpush = new Recorder();
  const direct = directOf({ webpush }, { maxWebPush: 512, maxPerWebPushHost: 64 });
  const ends: ((outcome: PushOutcome) => void)[] = [];
  webpush.answer = () => new Promise((resolve) => void ends.push(resolve));
  const at = (origin: string) => direct.send(WEB.replace('https://push.example', origin));
  const waiting = Array.from({ length: 64 }, (_, n) => at(`https://hang.example:${n + 1}`));
  t.match(await at('https://HANG.example'), { reason: 'busy' }, 'whatever the port');
  webpush.answer = async () => ({ kind: 'delivered' });
  t.match(await at('https://push.example'), { kind: 'delivered' });
  for (const end of ends) end({ kind: 'retry', reason: 'timeout' });
  await Promise.all(waiting);
  for (let n = 0; n < 100; n++)
    t.match(await at('https://hang.example'), { kind: 'delivered' }, 'and it has room again');
});
