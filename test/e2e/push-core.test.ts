/**
 * From a phone and back to it: the real Delta Chat core sets a device token at a relay with all its parts, a message is delivered,
 * and push-gateway asks (a stand-in for) Apple to wake that device. The token is encrypted here, as later cores
 * do it themselves: the one core whose C interface can be had is older, and any later one encrypts to the key of one gateway only.
 */

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ImapClient } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { inventCredentials, startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { directory, makeCertificate } from '../../packages/metadata-push/test/support/certificates.ts';
import { startDaemon, until } from '../../packages/metadata-push/test/support/daemon.ts';
import { respond, startH2Stub } from '../../packages/metadata-push/test/support/h2-stub.ts';
import { encryptToken, generateKey } from '../../packages/metadata-push/test/support/openpgp.ts';
import { Postman } from '../integration/wake-relay.ts';
import { fetchCore, startCore } from './core-1.138.ts';

const APPLE = '0155b93b7eb867a0d8b7328b978bb15bf22f70867e39e168d03f199af9496894';

t.setTimeout(240_000);
const library = await fetchCore();
if (library === undefined) t.pass('no core with a C interface for this processor');
else {
  await ensureDependencies((line) => t.comment(line));
  const key = await generateKey('v6');
  const token = await encryptToken(APPLE, key.publicKey);
  const apns = await startH2Stub(t, makeCertificate('server'));
  const gateway = await startDaemon(
    'push-gateway',
    writeGatewayConfig(key.armored, apns.origin),
    'http=inet:127.0.0.1:0',
  );
  const relay = await startRelay({ gatewayUrl: `http://${gateway.address.replace('inet:', '')}/notify` });
  t.teardown(() => relay.stop());
  const login = inventCredentials(relay.layout);
  const core = startCore(library, join(relay.directory, 'clients/phone'), relay.layout, login, token, relay.guard);
  t.teardown(() => core.stop());

  t.test('the core sets its token', async (t) => {
    await core.connected;
    t.pass('and believes that it will be pushed');
    const imap = await ImapClient.open(relay.layout.ports.imaps, login);
    const stored = (await imap.mustSucceed('GETMETADATA INBOX /private/devicetoken')).untagged.join('\n');
    imap.close();
    t.ok(stored.includes(token), 'metadata-push has it, whole');
  });

  t.test('a message wakes the device', async (t) => {
    apns.answer = respond(200);
    const postman = await Postman.connect(relay);
    await postman.deliver(login.user);
    await postman.close();
    await until(() => apns.requests.length > 0);
    t.equal(apns.requests[0]?.path, `/3/device/${APPLE}`, 'decrypted, at Apple');
    t.equal(apns.requests.length, 1);
    t.notMatch(gateway.output(), new RegExp(`${APPLE}|openpgp:`), 'the log of the gateway tells nothing of it');
  });
}

function writeGatewayConfig(armoredKeys: string, apnsOrigin: string): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(join(directory, 'apns.p8'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(directory, 'keys.asc'), armoredKeys);
  mkdirSync(join(directory, 'state'));
  const path = join(directory, 'gateway.ini');
  const lines = [
    '[params]',
    'mail_domain = chat.example',
    `state_dir = ${directory}/state`,
    `apns_key = ${directory}/apns.p8`,
    'apns_key_id = ABC123DEFG',
    'apns_team_id = DEF123GHIJ',
    'apns_topic = chat.example',
    `push_openpgp_keys = ${directory}/keys.asc`,
    `push_endpoints = apns=${apnsOrigin}`,
  ];
  writeFileSync(path, lines.join('\n'));
  return path;
}
