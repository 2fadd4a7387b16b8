/**
 * The five steps of the demo as assertions: real Delta Chat clients, Postfix and Dovecot, and our daemons.
 */

import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { median } from '../../packages/chatmailctl/src/demo/measure.ts';
import { startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import {
  exchange,
  expireAged,
  logIn,
  meet,
  pushOnMessages,
  tryForbidden,
} from '../../packages/chatmailctl/src/demo/steps.ts';
import { StubGateway } from '../../packages/chatmailctl/src/demo/stub-gateway.ts';

t.setTimeout(180_000);
await ensureDependencies((line) => t.comment(line));
const gateway = await StubGateway.start();
const relay = await startRelay({ gatewayUrl: gateway.url });
t.teardown(async () => {
  await relay.stop();
  await gateway.stop();
});

const { alice, bob, imapRefusal, smtpRefusal } = await logIn(relay);

t.test('1. accounts by logging in', async (t) => {
  t.match(imapRefusal, /^NO \[AUTHENTICATIONFAILED\]/, 'a wrong password on IMAP');
  t.equal(smtpRefusal.code, 535, 'and on submission');
});

t.test('2. securejoin and messages', async (t) => {
  await meet(alice, bob);
  const deliveries = await exchange(relay, alice, bob, 5);
  t.equal(deliveries.length, 10, 'all arrive');
  t.ok(
    deliveries.every(({ padlock }) => padlock),
    'with padlock',
  );
  const own = median(deliveries.map(({ ownMs }) => ownMs.filtermail ?? Number.NaN));
  t.ok(own > 0 && own < 500, `filtermail counts its share: ${own.toFixed(2)} ms`);
});

t.test('3. what may not be sent', async (t) => {
  const refusals = await tryForbidden(relay, alice.credentials, bob.credentials);
  t.equal(refusals.clearTextOutgoing.code, 523, 'clear text on submission');
  t.equal(refusals.clearTextIncoming.code, 523, 'clear text on the incoming port');
  t.match(String(refusals.forgedFrom.code), /^5/, 'a forged From');
  t.equal(refusals.forgedSender.code, 553, 'a forged envelope sender');
});

t.test('4. push', async (t) => {
  for (const { body, token, afterDeliveryMs } of await pushOnMessages(relay, gateway, alice, bob, 3)) {
    t.equal(body, token, 'the gateway gets the device token as it was left');
    t.ok(afterDeliveryMs < 10_000, `${afterDeliveryMs.toFixed(1)} ms after delivery`);
  }
});

t.test('5. expiry', async (t) => {
  const { delivered, afterDryRun, afterRemove } = await expireAged(relay);
  t.same([delivered, afterDryRun, afterRemove], [2, 2, 1], 'a dry run removes nothing, --remove the aged message');
});
