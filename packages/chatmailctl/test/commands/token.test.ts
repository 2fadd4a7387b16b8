import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createInvitation, ExitError, invitationId, invitationUsesPath, UsageError } from '#core';
import { runOrHelp } from '../../src/command.ts';
import { stateOf, token } from '../../src/commands/token.ts';

const directory = mkdtempSync(join(tmpdir(), 'chatmailctl-token-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const ini = join(directory, 'chatmail.ini');
const state = join(directory, 'state');
const printed: string[] = [];
const noted: string[] = [];
const context = {
  print: (line: string) => void printed.push(line),
  note: (line: string) => void noted.push(line),
  signal: new AbortController().signal,
};

async function run(...words: string[]): Promise<string> {
  printed.length = 0;
  noted.length = 0;
  t.equal(await runOrHelp(token, [...words, '--config', ini], context), 0);
  return printed.join('\n');
}

function configure(lines: string): void {
  writeFileSync(ini, `[params]\nstate_dir = ${state}\n${lines}`);
}

t.test('a relay that has not been set up', async (t) => {
  configure('mail_domain = x.org\nregistration = token\n');
  await t.rejects(runOrHelp(token, ['create', '--config', ini], context), { exitCode: 78, message: /does not exist/ });
  mkdirSync(state);
});

t.test('create', async (t) => {
  const {
    id,
    token: text,
    link,
    uses,
    expires,
  } = JSON.parse(await run('create', '--uses', '3', '--days', '2', '--json'));
  t.equal(link, `dcaccount:https://x.org/new?t=${text}`);
  t.equal(id, await invitationId(text));
  t.equal(uses, 3);
  const seconds = (Date.parse(expires) - Date.now()) / 1000;
  t.ok(seconds > 2 * 86_400 - 60 && seconds <= 2 * 86_400, expires);
  t.same(noted, []);

  const page = await run('create');
  t.match(
    page,
    /^good: {3}for 1 account, until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\nlink: {3}dcaccount:https:\/\/x\.org\/new\?t=[\w-]{22}\n/m,
  );
  t.match(page, /█/);
  t.notMatch(await run('create', '--no-qr'), /█/);
  for (const words of [
    ['--uses', '0'],
    ['--uses', '1x'],
    ['--days', '1.5'],
    ['--days', '99999'],
  ]) {
    await t.rejects(runOrHelp(token, ['create', ...words, '--config', ini], context), {
      constructor: UsageError,
      message: /write a number from 1 to/,
    });
  }
});

t.test('create, where invitations do not count or clients cannot check the certificate', async (t) => {
  configure('mail_domain = 203.0.113.7\n');
  const text = await run('create', '--no-qr');
  t.match(noted[0]!, /^registration = open: invitations count only with registration = token/);
  t.match(text, /^link: {3}https:\/\/203\.0\.113\.7\/new\?t=/m);
  t.match(text, /chatmailctl new/);
  configure('mail_domain = x.org\nregistration = token\n');
});

t.test('list and revoke', async (t) => {
  for (const name of readdirSync(join(state, 'invitations'))) rmSync(join(state, 'invitations', name));
  await run('list');
  t.same([printed, noted], [[], ['there are no invitations']]);
  const now = Math.floor(Date.now() / 1000);
  const make = async (terms: { uses: number; expires: number; created: number; operator?: boolean }) =>
    (await invitationId(await createInvitation(state, terms)))!;
  const valid = await make({ uses: 2, created: 1, expires: now + 100 });
  const used = await make({ uses: 2, created: 2, expires: now + 100 });
  writeFileSync(invitationUsesPath(state, used), '..');
  const expired = await make({ uses: 2, created: 3, expires: now - 100 });
  await make({ uses: 2, created: 4, expires: now - 8 * 86_400 });
  await make({ uses: 1, created: 5, expires: now + 60, operator: true });
  const rows = [
    [valid, 'valid', 0],
    [used, 'used up', 2],
    [expired, 'expired', 0],
  ];
  const { invitations } = JSON.parse(await run('list', '--json'));
  t.same(
    invitations.map(({ id, state, used }: Record<string, unknown>) => [id, state, used]),
    rows,
    'those long over are gone, and that of the operator is none',
  );
  t.same(Object.keys(invitations[0]), ['id', 'uses', 'used', 'created', 'expires', 'state']);
  t.match(await run('list'), new RegExp(`^ID .*\n${valid}  0 of 2 .*  valid\n${used}  2 of 2 .*  used up\n`));
  writeFileSync(join(state, 'invitations/0123456789abcdef.json'), 'null');
  t.match(await run('list'), valid, 'a damaged one hides no other');
  t.match(noted, [/^0123456789abcdef is damaged/]);
  await run('revoke', '0123456789abcdef');
  t.match(await run('revoke', valid), `${valid} is revoked`);
  await t.rejects(runOrHelp(token, ['revoke', valid, '--config', ini], context), {
    constructor: ExitError,
    message: /no invitation/,
  });
  await t.rejects(runOrHelp(token, ['revoke', '../../x', '--config', ini], context), {
    constructor: ExitError,
    message: /no invitation/,
  });
});

t.test('what an invitation is worth', async (t) => {
  const invitation = { id: 'x', uses: 2, used: 1, created: 0, expires: 10 };
  t.equal(stateOf(invitation, 9), 'valid');
  t.equal(stateOf(invitation, 10), 'expired');
  t.equal(stateOf({ ...invitation, used: 2 }, 9), 'used up');
});
