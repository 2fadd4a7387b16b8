import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress } from '#core';
import { createE2eeStore } from '../src/e2ee-store.ts';

const root = mkdtempSync(join(tmpdir(), 'filtermail-e2ee-'));
t.teardown(() => rmSync(root, { recursive: true }));
const mailboxes = join(root, 'mail');
for (const name of ['open@relay.test', 'enforced@relay.test', 'a@[127.0.0.1]'])
  mkdirSync(join(mailboxes, name), { recursive: true });
for (const name of ['enforced@relay.test', 'a@[127.0.0.1]'])
  writeFileSync(join(mailboxes, name, 'enforceE2EEincoming'), '');
symlinkSync('loop@relay.test', join(mailboxes, 'loop@relay.test'));

t.test('who takes clear text', async (t) => {
  const store = createE2eeStore(mailboxes);
  const rows: readonly [address: string, allowed: boolean, why: string][] = [
    ['open@relay.test', true, 'no file'],
    ['enforced@relay.test', false, 'the file is there'],
    ['ENFORCED@Relay.Test', false, 'any case'],
    ['enforced+tag@relay.test', false, 'an address extension goes to the same mailbox'],
    ['enforced+a+b@relay.test', false, 'so do two'],
    ['open+tag@relay.test', true, 'an extension of one that allows it'],
    ['a@[127.0.0.1]', false, 'an address literal'],
    ['nobody@relay.test', false, 'who has no mailbox wishes nothing'],
    ['nobody+tag@relay.test', false, 'with an extension'],
  ];
  for (const [address, allowed, why] of rows)
    t.equal(await store.allowsCleartext(parseAddress(address)!), allowed, why);
});

t.test('what cannot be found out is an error, never a yes', async (t) => {
  await t.rejects(createE2eeStore(join(root, 'not-mounted')).allowsCleartext(parseAddress('open@relay.test')!));
  const mountPoint = join(root, 'mount-point');
  mkdirSync(join(mountPoint, 'lost+found'), { recursive: true });
  await t.rejects(createE2eeStore(mountPoint).allowsCleartext(parseAddress('open@relay.test')!), 'nobody’s mailbox');
  await t.rejects(createE2eeStore(mailboxes).allowsCleartext(parseAddress('loop@relay.test')!), 'ELOOP');
});
