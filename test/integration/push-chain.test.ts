/**
 * From METADATA to the phone, with the daemons as installed: a token encrypted as Delta Chat's core does it, set and triggered as
 * Dovecot does it, and told to be dead. test/e2e/push-core.test.ts is the way there with a real core and a real Dovecot.
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DictClient } from '#dovecot-dict/testing';
import { directory, makeCertificate } from '../../packages/metadata-push/test/support/certificates.ts';
import { startDaemon, until } from '../../packages/metadata-push/test/support/daemon.ts';
import { respond, startH2Stub } from '../../packages/metadata-push/test/support/h2-stub.ts';
import { encryptToken, generateKey } from '../../packages/metadata-push/test/support/openpgp.ts';

const APPLE = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';
const ALICE = 'alice@chat.example';

const tls = makeCertificate('server');
const key = await generateKey('v6');
const token = await encryptToken(APPLE, key.publicKey);
const apns = await startH2Stub(t, tls);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
writeFileSync(join(directory, 'apns.p8'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
writeFileSync(join(directory, 'keys.asc'), key.armored);

const credentials = [
  `apns_key = ${join(directory, 'apns.p8')}`,
  'apns_key_id = ABC123DEFG',
  'apns_team_id = DEF123GHIJ',
  'apns_topic = chat.example',
  `push_openpgp_keys = ${join(directory, 'keys.asc')}`,
  `push_endpoints = apns=${apns.origin}`,
];

function writeConfig(name: string, lines: string[]): string {
  const root = join(directory, name);
  mkdirSync(join(root, 'mail'), { recursive: true });
  const path = join(root, 'chatmail.ini');
  const common = [
    '[params]',
    'mail_domain = chat.example',
    `state_dir = ${root}`,
    `mailboxes_dir = ${join(root, 'mail')}`,
  ];
  writeFileSync(path, [...common, ...lines].join('\n'));
  return path;
}

/** One account's life with push. `debounceMs` is the time in which a gateway takes two pushes to a device for one. */
async function wake(t: Test, name: string, config: string, debounceMs: number): Promise<void> {
  const socket = join(directory, `${name}.sock`);
  const daemon = await startDaemon('metadata-push', config, `metadata=unix:${socket}`);
  const dict = await DictClient.connect(socket);
  t.teardown(() => dict.socket.destroy());
  const set = async (entry: string, value: string) => {
    const transaction = dict.begin(ALICE);
    transaction.set(`priv/0123456789abcdef0123456789abcdef/${entry}`, value);
    return (await transaction.commit()).kind;
  };
  const tokens = async () => dict.lookup('priv/0123456789abcdef0123456789abcdef/devicetoken', ALICE);

  apns.requests.length = 0;
  apns.answer = respond(200);
  t.equal(await set('devicetoken', token), 'committed');
  t.equal(await set('messagenew', ''), 'committed');
  await until(() => apns.requests.length > 0);
  t.equal(apns.requests[0]?.path, `/3/device/${APPLE}`, 'the phone rings');

  apns.answer = respond(410, { reason: 'Unregistered' });
  await new Promise((resolve) => setTimeout(resolve, debounceMs));
  t.equal(await set('messagenew', ''), 'committed');
  await until(() => apns.requests.length > 1);
  for (let i = 0; i < 1000 && (await tokens()).kind === 'found'; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal((await tokens()).kind, 'notFound', 'what Apple calls dead is forgotten');

  daemon.child.kill('SIGTERM');
  await until(() => daemon.child.exitCode !== null);
  t.equal(daemon.child.exitCode, 0);
  t.notMatch(daemon.output(), new RegExp(`${APPLE}|openpgp:|alice`), 'and the log says nothing about anybody');
}

t.test('push = direct', async (t) => {
  await wake(t, 'direct', writeConfig('direct', ['push = direct', ...credentials]), 0);
});

t.test('through our own gateway', async (t) => {
  const gateway = await startDaemon('push-gateway', writeConfig('gateway', credentials), 'http=inet:127.0.0.1:0');
  const url = `http://${gateway.address.replace('inet:', '')}/notify`;
  await wake(t, 'relay', writeConfig('relay', ['push = gateway', `push_gateway_url = ${url}`]), 1050);
  t.notMatch(gateway.output(), new RegExp(APPLE), 'nor does the gateway');
});
