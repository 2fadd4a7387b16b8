/**
 * metadata-push behind a real Dovecot 2.4 with the configuration we ship: device tokens over IMAP, the push hook at LMTP delivery, the
 * push itself at a gateway on loopback. metadata-dovecot.test.ts is the same, and more, with 2.3. Needs root.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ImapClient, quoted } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';
import { addressOf, Postman, startWakeRelay } from './wake-relay.ts';

// The first time a Debian 13 has to be made.
t.setTimeout(300_000);

const directory = mkdtempSync(join(tmpdir(), 'metadata-dovecot-'));
const guard = new Guard(directory);
t.teardown(() => guard.finish());
const relay = await startWakeRelay(directory, guard, undefined, '2.4');
t.teardown(() => relay.stop());

const anna = addressOf('anna');
const imap = await ImapClient.open(relay.layout.ports.imaps, { user: anna, password: 'secret' });
t.teardown(() => imap.close());
const postman = await Postman.connect(relay);
t.teardown(() => postman.close());
const setToken = (value: string) => imap.command(`SETMETADATA INBOX (/private/devicetoken ${value})`);
const getTokens = async () => (await imap.mustSucceed('GETMETADATA INBOX /private/devicetoken')).untagged.join('\n');

t.test('device tokens', async (t) => {
  t.equal((await setToken(quoted('openpgp:phone'))).status, 'OK');
  t.equal((await setToken(quoted('tablet'))).status, 'OK', 'a second device');
  const both = await getTokens();
  t.ok(both.includes('openpgp:phone') && both.includes('tablet'));
  t.equal((await setToken(quoted('two words'))).status, 'NO', 'not a token');
  const long = 'x'.repeat(900);
  t.equal((await setToken(quoted(long))).status, 'OK', 'as long as those of clients');
  const all = await getTokens();
  t.ok(['openpgp:phone', 'tablet', long].every((token) => all.includes(token)));
});

t.test('a delivery pushes to each', async (t) => {
  await postman.deliver(anna);
  await until(() => relay.pushes.length >= 3, 5000);
  t.same([...relay.pushes].sort(), ['openpgp:phone', 'tablet', 'x'.repeat(900)].sort());
});

t.test('a message of the account itself pushes to none', async (t) => {
  await sleep(1100);
  const before = relay.pushes.length;
  await postman.deliver(anna, anna);
  await sleep(500);
  t.equal(relay.pushes.length, before);
});

t.test('tokens that are unset', async (t) => {
  t.equal((await setToken('NIL')).status, 'OK');
  t.notMatch(await getTokens(), /phone|tablet/);
  const before = relay.pushes.length;
  await postman.deliver(anna);
  await sleep(500);
  t.equal(relay.pushes.length, before, 'nobody is pushed for');
});

t.test('server entries', async (t) => {
  const entry = '/shared/vendor/deltachat/maxsmtprecipients';
  t.match((await imap.mustSucceed(`GETMETADATA "" ${entry}`)).untagged.join('\n'), /1000/);
  t.notMatch((await imap.mustSucceed('GETMETADATA "" /shared/vendor/deltachat/nothing')).untagged.join('\n'), /1000/);
});
