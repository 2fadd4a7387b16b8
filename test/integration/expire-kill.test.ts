/**
 * `chatmail-expire --remove` killed with SIGKILL at random points, again and again until it gets through: no account is ever
 * half there, nothing is removed that must stay, and in the end everything is gone that must go.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const ACCOUNTS = 100;
const MESSAGES = 12;
const KILLS = 8;
const DAY = 86_400;

const directory = mkdtempSync(join(tmpdir(), 'expire-kill-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const mailboxesDir = join(directory, 'mail');
const ini = join(directory, 'chatmail.ini');
writeFileSync(
  ini,
  `[params]\nmail_domain = x.org\nmailboxes_dir = ${mailboxesDir}\nstate_dir = ${directory}/none\nexpire_max_accounts_percent = 100\n`,
);

const nowSecond = Math.floor(Date.now() / 1000);
const names = Array.from({ length: ACCOUNTS }, (_, index) => `${index % 2 === 0 ? 'used' : 'unused'}${index}@x.org`);
for (const name of names) {
  for (const kind of ['cur', 'new', 'tmp']) mkdirSync(join(mailboxesDir, name, kind), { recursive: true });
  for (let index = 0; index < MESSAGES; index++) {
    const second = nowSecond - (index % 2 === 0 ? 30 : 1) * DAY;
    writeFileSync(join(mailboxesDir, name, 'cur', `${second}.M${index}P1.mx,S=1,W=1:2,S`), 'x');
  }
  writeFileSync(join(mailboxesDir, name, 'maildirsize'), 'x');
  writeFileSync(join(mailboxesDir, name, 'password'), 'x');
  const login = nowSecond - (name.startsWith('unused') ? 100 : 1) * DAY;
  utimesSync(join(mailboxesDir, name, 'password'), login, login);
}

/** Runs to the end, or kills the program after it has told of `lines` removals; true when it got through. */
async function expire(lines: number): Promise<boolean> {
  const program = spawn(join(import.meta.dirname, '../../bin/chatmail-expire'), [ini, '--remove', '-v'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, NODE_COMPILE_CACHE: join(directory, 'cache') },
  });
  let told = 0;
  program.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString('latin1').split('\n').length - 1;
    if (told >= lines) program.kill('SIGKILL');
  });
  const [code] = await once(program, 'close');
  return code === 0;
}

function messagesOf(name: string): string[] {
  return readdirSync(join(mailboxesDir, name, 'cur'));
}

t.test('killed at any point', async (t) => {
  let killed = 0;
  let isStepwise = true;
  let remaining = 0;
  for (let attempt = 0; attempt < KILLS; attempt++) {
    if (!(await expire(1 + Math.floor(Math.random() * 30)))) killed++;
    for (const name of names) {
      const isThere = existsSync(join(mailboxesDir, name));
      if (name.startsWith('unused')) {
        // Whole or gone; its aged messages go with it, never before.
        if (isThere && messagesOf(name).length !== MESSAGES) isStepwise = false;
      } else {
        const left = messagesOf(name);
        if (left.filter((message) => Number(message.split('.')[0]) > nowSecond - 2 * DAY).length !== MESSAGES / 2) {
          isStepwise = false;
        }
        if (!existsSync(join(mailboxesDir, name, 'password'))) isStepwise = false;
      }
    }
    remaining = readdirSync(mailboxesDir).length;
  }
  t.ok(killed >= 1, `${killed} runs were killed`);
  t.ok(isStepwise, `at no point was an account half there (${remaining} entries left)`);

  t.ok(await expire(Number.POSITIVE_INFINITY), 'the next run gets through');
  t.same(
    readdirSync(mailboxesDir).sort(),
    names.filter((name) => name.startsWith('used')).sort(),
    'all unused are gone',
  );
  for (const name of readdirSync(mailboxesDir)) {
    if (messagesOf(name).length !== MESSAGES / 2) t.fail('an aged message is left');
    if (existsSync(join(mailboxesDir, name, 'maildirsize'))) t.fail('Dovecot would go on with an old sum');
  }
});
