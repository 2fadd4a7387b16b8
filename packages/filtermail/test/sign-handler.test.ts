import t from 'tap';
import { createLogger } from '#core';
import { DkimSigning } from '../src/dkim/signing.ts';
import { SignHandler } from '../src/sign-handler.ts';
import type { Stage } from '../src/transaction.ts';
import { MemoryKeys, NOW, RSA, splitMessage, verifyMessage } from './support/dkim.ts';

const logged: string[] = [];
const log = createLogger('info', { write: (line: string) => void logged.push(line) });
const settings = {
  keys: [{ selector: 'sel', key: RSA.privateKey }],
  domain: 'relay.test',
  asciiDomain: 'relay.test',
  nowSeconds: () => NOW,
};
const macros = { get: (name: string) => (name === 'i' ? 'QUEUEID' : undefined) };
const handler = (createSigning: () => Stage | undefined) => new SignHandler({ createSigning, log }, { macros });

async function pass(milter: SignHandler, message: string) {
  const { fields, body } = splitMessage(message);
  for (const { rawName, rawValue } of fields) milter.header(rawName, rawValue.replace(/^ /, ''));
  milter.endOfHeaders();
  milter.body(body);
  return await milter.endOfMessage();
}

const BOUNCE =
  'From: MAILER-DAEMON@relay.test (Mail Delivery System)\r\nTo: carol@example.org\r\nAuto-Submitted: auto-replied\r\n' +
  'Subject: Undelivered Mail\r\n\r\nThis is the mail system.\r\n';

t.test('bounces are signed, one after another', async (t) => {
  const milter = handler(() => new DkimSigning(settings));
  for (let i = 0; i < 2; i++) {
    const answer = await pass(milter, BOUNCE);
    const [edit] = 'edits' in answer ? (answer.edits ?? []) : [];
    if (edit?.edit !== 'insertHeader') throw new Error('not signed');
    const message = `DKIM-Signature: ${edit.value.replaceAll('\n', '\r\n')}\r\n${BOUNCE}`;
    const keys = new MemoryKeys({ 'sel._domainkey.relay.test': RSA.record });
    t.equal(await verifyMessage(message, keys, { domain: 'relay.test' }), 'pass');
  }
});

t.test('nothing is refused', async (t) => {
  const accepted = { verdict: 'accept', edits: [] };
  const signing = () => new DkimSigning(settings);
  t.same(await handler(signing).endOfMessage(), accepted, 'an empty message');
  t.same(
    await pass(
      handler(() => undefined),
      BOUNCE,
    ),
    accepted,
    'nothing to sign with',
  );
  t.same(await pass(handler(signing), BOUNCE.replace('relay.test', 'example.net')), accepted, 'not our domain');
  t.same(await pass(handler(signing), `From: a@relay.test\r\n${BOUNCE}`), accepted, 'two From fields');
  t.same(await pass(handler(signing), `${'X: y\r\n'.repeat(2000)}${BOUNCE}`), accepted, 'too many fields');
  t.same(logged, [], 'nothing of this is an error');
});

t.test('what fails in us is logged, and the message passes', async (t) => {
  const fail = () => {
    throw new Error('secret@relay.test');
  };
  const decide = (): undefined => undefined;
  for (const [name, createSigning] of [
    ['making the stage', fail],
    ['header', () => ({ header: fail, decide })],
    ['body', () => ({ body: fail, decide })],
    ['end', () => ({ decide: fail })],
  ] as const) {
    logged.length = 0;
    t.same(await pass(handler(createSigning), BOUNCE), { verdict: 'accept', edits: [] }, name);
    t.equal(logged.length, 1, `${name}: logged once`);
    t.match(logged[0], /QUEUEID/);
    t.notMatch(logged[0], /secret/);
  }
});

t.test('a message that was given up leaves nothing behind', async (t) => {
  const milter = handler(() => new DkimSigning(settings));
  milter.header('From', 'eve@relay.test');
  milter.abort();
  const answer = await pass(milter, BOUNCE);
  t.equal('edits' in answer ? answer.edits?.length : 0, 1);
});
