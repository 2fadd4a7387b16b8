import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseAddress, parseConfig } from '#core';
import { type DoveadmResult, endSessions } from '../../src/accounts/sessions.ts';

const directory = mkdtempSync(join(tmpdir(), 'sessions-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const address = parseAddress('sleepy000@[127.0.0.1]')!;
mkdirSync(join(directory, address.text, 'new'), { recursive: true });
const config = parseConfig(`[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${directory}\n`);

/** Ends the sessions at a Dovecot that says this; returns also how often it was told to. */
async function end(answer: (command: string, kicks: number) => DoveadmResult) {
  let kicks = 0;
  const trouble = await endSessions(
    { config, dovecotConfig: undefined },
    address,
    async ([command = '', ...words]) => {
      t.same(words.at(-1), address.text);
      if (command === 'kick') kicks++;
      return answer(command, kicks);
    },
    1,
  );
  return { trouble, kicks };
}

const HEAD = 'username                 proto pid   ip\n';
const ONE = `${HEAD}${address.text} imap  77077 127.0.0.1\n`;
const done = (output = ''): DoveadmResult => ({ code: 0, output });

t.test('as often as it takes', async (t) => {
  const nobody: DoveadmResult = { code: 68, output: '' };
  t.same(await end((command) => (command === 'kick' ? nobody : done(HEAD))), { trouble: undefined, kicks: 2 });
  t.same(await end((command) => (command === 'kick' ? nobody : nobody)), { trouble: undefined, kicks: 2 });
  const stubborn = await end((command, kicks) => done(command === 'who' ? (kicks < 5 ? ONE : HEAD) : ''));
  t.same(stubborn, { trouble: undefined, kicks: 5 }, 'a session that does not wake up in time');
  const other = `${HEAD}another00@[127.0.0.1] imap  77077 127.0.0.1\n`;
  t.same(await end((command) => done(command === 'who' ? other : '')), { trouble: undefined, kicks: 2 }, 'of others');
});

t.test('the operator hears what was not possible', async (t) => {
  const never = await end((command) => done(command === 'who' ? ONE : ''));
  t.match(never.trouble, /does not let go of every session.*restart Dovecot/);
  t.ok(never.kicks > 5);
  const failed = await end(() => ({ code: 75, output: 'doveadm: no socket\nmore' }));
  t.match(failed.trouble, 'doveadm kick failed (doveadm: no socket): who is logged in stays so');
  const blind = await end((command) => (command === 'who' ? { code: 64, output: '' } : done()));
  t.match(blind.trouble, 'doveadm who failed (64): who is logged in stays so');
  const none = await end(() => ({ code: 'ENOENT', output: '' }));
  t.equal(none.trouble, 'Dovecot is not installed here: nobody was logged out');
});
