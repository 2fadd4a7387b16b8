/** The daemon itself: launched as installed, over a real socket, against stub services. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { directory, makeCertificate } from './support/certificates.ts';
import { startDaemon, until } from './support/daemon.ts';
import { respond, startH2Stub } from './support/h2-stub.ts';
import { startHttpsStub, status } from './support/https-stub.ts';
import { readJwt } from './support/jwt.ts';
import { encryptToken, generateKey } from './support/openpgp.ts';

const APPLE = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';
const GOOGLE = 'c67DVcpVQN2rJHiSszKNDW:APA91bErcJV2b8qG0IT4aiuCqw6Al0';

const tls = makeCertificate('server');
const apple = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const google = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = { type: 'pkcs8', format: 'pem' } as const;
const current = await generateKey('v6');
const previous = await generateKey('v4');
const lost = await generateKey('v6');

const apns = await startH2Stub(t, tls);
const fcm = await startH2Stub(t, tls);
const ubports = await startHttpsStub(t, tls);
fcm.answer = (stream, request) =>
  respond(200, request.path === '/token' ? { access_token: 'ya29.x', expires_in: 3599 } : {})(stream, request);

const file = (name: string, content: string | Buffer) => {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
};
const account = {
  project_id: 'chat-fcm',
  private_key_id: 'abcdef',
  private_key: google.privateKey.export(pem),
  client_email: 'push@chat-fcm.iam.gserviceaccount.com',
  token_uri: `${fcm.origin}/token`,
};
const config = [
  '[params]',
  'mail_domain = gateway.example',
  `apns_key = ${file('apns.p8', apple.privateKey.export(pem))}`,
  'apns_key_id = ABC123DEFG',
  'apns_team_id = DEF123GHIJ',
  'apns_topic = chat.example',
  `fcm_service_account = ${file('account.json', JSON.stringify(account))}`,
  `vapid_key = ${join(directory, 'apns.p8')}`,
  `push_openpgp_keys = ${file('keys.asc', `${current.armored}\n${previous.armored}`)}`,
  `push_endpoints = apns=${apns.origin} apns-sandbox=${apns.origin} fcm=${fcm.origin}`,
  `  ubports=https://localhost:${ubports.port}/notify`,
].join('\n');
const ini = file('chatmail.ini', config);

const daemon = await startDaemon('push-gateway', ini, 'http=inet:127.0.0.1:0');
const url = `http://${daemon.address.replace('inet:', '')}`;
const notify = async (body: string) => (await fetch(`${url}/notify`, { method: 'POST', body })).status;

t.test('health', async (t) => {
  t.equal((await fetch(`${url}/healthz`)).status, 200);
});

t.test('an encrypted token, made as clients make it, wakes the device', async (t) => {
  const token = await encryptToken(APPLE, current.publicKey);
  t.equal(await notify(token), 200);
  const [request] = apns.requests;
  t.match(request, { path: `/3/device/${APPLE}` });
  const jwt = String(request!.headers.authorization).replace('bearer ', '');
  t.match(readJwt(jwt, apple.publicKey), { isValid: true, header: { kid: 'ABC123DEFG' } });
  t.equal(await notify(await encryptToken(`fcm-chat.delta:${GOOGLE}`, previous.publicKey)), 200, 'the previous key');
  t.equal(JSON.parse(fcm.requests.at(-1)!.body).message.token, GOOGLE);
  t.equal(await notify(await encryptToken('ubports-abc', current.publicKey)), 200);
  t.equal(JSON.parse(ubports.requests.at(-1)!.body.toString()).token, 'abc');
});

t.test('another ciphertext of the same token within a second is the same device', async (t) => {
  // A machine may be too busy for a second to be enough: then another device shows it.
  let pushes = 0;
  for (let tries = 0; tries < 5 && pushes !== 1; tries++) {
    const device = randomBytes(32).toString('hex');
    const tokens = await Promise.all([current, previous].map(({ publicKey }) => encryptToken(device, publicKey)));
    t.same(await Promise.all(tokens.map(notify)), [200, 200]);
    pushes = apns.requests.filter(({ path }) => path === `/3/device/${device}`).length;
  }
  t.equal(pushes, 1);
});

t.test('failures', async (t) => {
  apns.answer = respond(410, { reason: 'Unregistered' });
  t.equal(await notify(`sandbox:${APPLE}`), 410, 'Apple says the token is dead');
  apns.answer = respond(403, { reason: 'InvalidProviderToken' });
  t.equal(await notify(`${APPLE}00`), 503, 'Apple refuses us');
  apns.answer = (stream) => stream.session?.destroy();
  t.equal(await notify(`${APPLE}11`), 503, 'Apple hangs up');
  ubports.answer = status(500);
  t.equal(await notify('ubports-def'), 503, 'UBports fails');
  const other = await encryptToken(APPLE, lost.publicKey);
  t.equal(await notify(other), 410, 'a token for another gateway');
  t.equal(await notify(`${other.slice(0, -40)}AAAA`), 503, 'a damaged one: what it names may be damaged too');
  const own = await encryptToken(APPLE, current.publicKey);
  t.equal(await notify(`${own.slice(0, -40)}AAAA`), 503, 'a damaged one of ours');
  t.equal(await notify(`webpush:https://127.0.0.1:${ubports.port}/|x|y`), 400, 'nonsense');
  const point = 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4';
  const before = ubports.sockets.size;
  t.equal(await notify(`webpush:https://127.0.0.1:${ubports.port}/|${point}|BTBZMqHH6r4Tts7J_aSIgg`), 400, 'loopback');
  t.equal(await notify(`webpush:https://localhost:${ubports.port}/|${point}|BTBZMqHH6r4Tts7J_aSIgg`), 503, 'its name');
  t.equal(ubports.sockets.size, before, 'the daemon never connects to itself');
});

t.test('reload', async (t) => {
  const authorization = apns.requests[0]!.headers.authorization;
  writeFileSync(ini, config.replace('apns_topic = chat.example', 'apns_topic = chat.other'));
  daemon.child.kill('SIGHUP');
  await until(() => daemon.output().includes('configuration reloaded'));
  apns.answer = respond(200);
  t.equal(await notify(`${APPLE}22`), 200);
  t.equal(apns.requests.at(-1)!.headers['apns-topic'], 'chat.other');
  t.equal(apns.requests.at(-1)!.headers.authorization, authorization, 'with the provider token it had');
  writeFileSync(ini, config.replace('apns.p8', 'absent.p8'));
  daemon.child.kill('SIGHUP');
  await until(() => daemon.output().includes('the old configuration stays'));
  t.equal(await notify(`${APPLE}33`), 200, 'with a bad configuration the old one stays');
});

t.test('the end, and what the log says', async (t) => {
  daemon.child.kill('SIGTERM');
  await until(() => daemon.child.exitCode !== null);
  t.equal(daemon.child.exitCode, 0);
  const output = daemon.output();
  t.match(output, /stopping: SIGTERM/);
  for (const secret of [APPLE, GOOGLE, 'ubports-', 'def', 'webpush:', 'openpgp:', 'ya29', 'PRIVATE', 'BCVxsr7N']) {
    t.notOk(output.includes(secret), `no ${secret.slice(0, 8)} in it, at the most talkative level`);
  }
});
