import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createInvitation, invitationId, listInvitations, parseAddress, revokeInvitation } from '#core';
import { DiskInvitationStore, HANDED_OUT_DAYS } from '../src/invitation-store.ts';

const root = mkdtempSync(join(tmpdir(), 'doveauth-invitations-'));
t.teardown(() => rmSync(root, { recursive: true }));
let count = 0;
const newStateDir = () => mkdtempSync(join(root, `state${++count}-`));
const ADDRESS = parseAddress('abcdefghi@x.org')!;
const OTHER = parseAddress('abcdefghj@x.org')!;
const PASSWORD = Buffer.from('password');
const NOW = 1_800_000_000;
const terms = (uses: number, expires = NOW + 100) => ({ uses, created: NOW, expires });
const handedOut = (stateDir: string) => readdirSync(join(stateDir, 'invitations/handed-out'));

t.test('a token is good for its uses, and what it was used for may be created', async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir);
  const token = await createInvitation(stateDir, terms(2));
  t.match(token, /^[\w-]{22}$/);
  t.equal(await store.isHandedOut(ADDRESS, PASSWORD, NOW), false);
  t.equal(await store.take(token, ADDRESS, PASSWORD, NOW), 'taken');
  t.equal(await store.isHandedOut(ADDRESS, PASSWORD, NOW), true);
  t.equal(await store.isHandedOut(OTHER, PASSWORD, NOW), false, 'not another name');
  t.equal(await store.isHandedOut(ADDRESS, Buffer.from('passwore'), NOW), false, 'nor another password');
  t.equal(await new DiskInvitationStore(stateDir).isHandedOut(ADDRESS, PASSWORD, NOW), true, 'also after a restart');
  t.equal(await store.take(token, OTHER, PASSWORD, NOW), 'taken');
  t.equal(await store.take(token, OTHER, PASSWORD, NOW), 'invitation-used-up');
  const [invitation] = await listInvitations(stateDir);
  t.same(invitation, { id: await invitationId(token), used: 2, ...terms(2) });
  await store.forget(ADDRESS, PASSWORD);
  t.equal(await store.isHandedOut(ADDRESS, PASSWORD, NOW), false);
  t.equal(handedOut(stateDir).length, 1);
});

t.test('neither token nor name nor password can be read from the files', async (t) => {
  const stateDir = newStateDir();
  const token = await createInvitation(stateDir, terms(1));
  await new DiskInvitationStore(stateDir).take(token, ADDRESS, PASSWORD, NOW);
  const names = readdirSync(stateDir, { recursive: true }).join();
  t.notOk(names.includes(token));
  t.notMatch(names, /abcdefghi|password/);
  t.equal(statSync(join(stateDir, 'invitations')).mode & 0o777, 0o700);
});

t.test('uses at once do not go over the number', async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir);
  const token = await createInvitation(stateDir, terms(3));
  const passwords = Array.from({ length: 10 }, (_, index) => Buffer.from(`password${index}`));
  const results = await Promise.all(passwords.map((password) => store.take(token, ADDRESS, password, NOW)));
  t.equal(results.filter((result) => result === 'taken').length, 3);
});

t.test('tokens that are worth nothing', async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir);
  const take = (token: string, now = NOW) => store.take(token, ADDRESS, PASSWORD, now);
  t.equal(await take('x'.repeat(22)), 'invitation-unknown', 'before there is any');
  const token = await createInvitation(stateDir, terms(5));
  for (const text of ['', 'short', '../../../../etc/passwd', `${token}x`, token.toLowerCase().replace(/[a-z]/, 'A')]) {
    t.equal(await take(text), 'invitation-unknown', text);
  }
  t.equal(await take(token, NOW + 100), 'invitation-expired');
  const id = (await invitationId(token))!;
  t.equal(await revokeInvitation(stateDir, id), true);
  t.equal(await revokeInvitation(stateDir, id), false, 'once');
  t.equal(await revokeInvitation(stateDir, '../../etc'), false, 'no path');
  t.equal(await take(token), 'invitation-unknown', 'revoked');
});

t.test('what nobody comes for is forgotten, and bounded', async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir, 2);
  const token = await createInvitation(stateDir, terms(100, NOW + 1_000_000_000));
  const take = (password: string, now = NOW) => store.take(token, ADDRESS, Buffer.from(password), now);
  t.same([await take('one'), await take('two'), await take('three')], ['taken', 'taken', 'too-many']);
  const later = NOW + HANDED_OUT_DAYS * 86_400;
  t.equal(await store.isHandedOut(ADDRESS, Buffer.from('one'), later - 1), true);
  t.equal(await store.isHandedOut(ADDRESS, Buffer.from('one'), later), false);
  t.equal(await take('four', later), 'taken');
  t.equal(handedOut(stateDir).length, 1, 'the old ones are gone');
});

t.test('trouble is no answer', async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir);
  const token = await createInvitation(stateDir, terms(1));
  const id = await invitationId(token);
  writeFileSync(join(stateDir, 'invitations', `${id}.json`), 'not json');
  await t.rejects(store.take(token, ADDRESS, PASSWORD, NOW));
  writeFileSync(join(stateDir, 'invitations', `${id}.json`), '{}');
  await t.rejects(store.take(token, ADDRESS, PASSWORD, NOW), 'a number is missing');
  writeFileSync(join(root, 'file'), '');
  await t.rejects(createInvitation(join(root, 'file'), terms(1)));
});

t.test("the operator's token", async (t) => {
  const stateDir = newStateDir();
  const store = new DiskInvitationStore(stateDir);
  const token = await createInvitation(stateDir, { ...terms(1), operator: true });
  t.equal(await store.take(token, ADDRESS, PASSWORD, NOW), 'invitation-unknown', 'is no invitation');
  t.equal(await store.takeOperator(token, NOW + 100), false, 'not when it is over');
  t.equal(await store.takeOperator(token, NOW), true);
  t.equal(await store.takeOperator(token, NOW), false, 'once');
  t.equal(await store.takeOperator(await createInvitation(stateDir, terms(1)), NOW), false, 'an invitation is none');
  t.equal(await store.takeOperator('x'.repeat(22), NOW), false);
  t.equal(await store.takeOperator('', NOW), false);
});

t.test('an invitation used makes those go that were over long ago', async (t) => {
  const stateDir = newStateDir();
  await createInvitation(stateDir, terms(1, NOW - 8 * 86_400));
  const token = await createInvitation(stateDir, terms(1));
  t.equal(await new DiskInvitationStore(stateDir).take(token, ADDRESS, PASSWORD, NOW), 'taken');
  t.same(
    (await listInvitations(stateDir)).map(({ id }) => id),
    [await invitationId(token)],
  );
});
