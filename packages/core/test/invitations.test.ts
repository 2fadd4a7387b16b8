import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  createInvitation,
  invitationId,
  invitationUsesPath,
  listInvitations,
  purgeInvitations,
  readInvitation,
  revokeInvitation,
} from '#core';

const stateDir = mkdtempSync(join(tmpdir(), 'invitations-'));
t.teardown(() => rmSync(stateDir, { recursive: true }));
const directory = join(stateDir, 'invitations');

t.test('made, used, listed, revoked', async (t) => {
  if (process.getuid?.() === 0) chownSync(stateDir, 8, 8);
  t.same(await listInvitations(stateDir), [], 'none yet');
  const later = await createInvitation(stateDir, { uses: 5, created: 200, expires: 300 });
  const earlier = await createInvitation(stateDir, { uses: 1, created: 100, expires: 300 });
  t.not(later, earlier);
  const [id, otherId] = [(await invitationId(earlier))!, (await invitationId(later))!];
  t.match(id, /^[0-9a-f]{16}$/);
  t.equal(readFileSync(join(directory, `${id}.json`), 'utf8'), '{"uses":1,"created":100,"expires":300}\n');
  const { uid, mode } = statSync(join(directory, `${id}.json`));
  t.same([uid, mode & 0o777], [statSync(stateDir).uid, 0o600], 'also when root invites');

  writeFileSync(invitationUsesPath(stateDir, otherId), '...');
  t.same(
    (await listInvitations(stateDir)).map(({ id, used }) => [id, used]),
    [
      [id, 0],
      [otherId, 3],
    ],
    'oldest first, with their uses',
  );
  t.equal(await revokeInvitation(stateDir, otherId), true);
  t.equal(await readInvitation(stateDir, otherId), undefined);
  t.same(readdirSync(directory), [`${id}.json`], 'nothing stays');
});

t.test('what is no token', async (t) => {
  for (const text of ['', 'a', 'x'.repeat(21), 'x'.repeat(23), `${'x'.repeat(21)}/`, `${'x'.repeat(21)}\n`]) {
    t.equal(await invitationId(text), undefined, JSON.stringify(text));
  }
  t.equal(await revokeInvitation(stateDir, '../../x'), false);
});

t.test('a damaged file hides no other', async (t) => {
  const own = mkdtempSync(join(tmpdir(), 'invitations-damaged-'));
  t.teardown(() => rmSync(own, { recursive: true }));
  const id = await invitationId(await createInvitation(own, { uses: 1, created: 0, expires: 100 }));
  const contents = ['', 'damaged', 'null', '[]', '{"uses":1,"created":0}', '{"uses":1,"created":0,"expires":1e99}'];
  const ids = contents.map((_, index) => `0123456789abcde${index}`);
  for (const [index, text] of contents.entries()) writeFileSync(join(own, `invitations/${ids[index]}.json`), text);
  const damaged: string[] = [];
  t.same(
    (await listInvitations(own, (id) => damaged.push(id))).map(({ id }) => id),
    [id],
  );
  t.same(damaged.sort(), ids);
  t.equal(await purgeInvitations(own, 100 * 86_400), 1, 'that is over');
  t.equal(await revokeInvitation(own, ids[0]!), true, 'and it can be revoked');
});

t.test('what was over long ago is purged', async (t) => {
  const own = mkdtempSync(join(tmpdir(), 'invitations-purge-'));
  t.teardown(() => rmSync(own, { recursive: true }));
  t.equal(await purgeInvitations(own, 1000), 0, 'nothing yet');
  const day = 86_400;
  const ids: string[] = [];
  for (const expires of [100 * day, 93 * day + 1, 93 * day]) {
    ids.push((await invitationId(await createInvitation(own, { uses: 1, created: 0, expires })))!);
  }
  for (const id of ids) writeFileSync(invitationUsesPath(own, id), '.');
  writeFileSync(invitationUsesPath(own, '0123456789abcdef'), '.');
  writeFileSync(join(own, 'invitations/0123456789abcdee.json'), 'damaged');
  t.equal(await purgeInvitations(own, 100 * day), 1);
  const kept = ids.slice(0, 2).flatMap((id) => [`${id}.json`, `${id}.used`]);
  t.same(readdirSync(join(own, 'invitations')).sort(), [...kept, '0123456789abcdee.json'].sort());
});
