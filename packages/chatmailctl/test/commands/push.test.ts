import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ExitError, UsageError } from '#core';
import { runOrHelp } from '../../src/command.ts';
import { describeReport, formatAge, push } from '../../src/commands/push.ts';

const directory = mkdtempSync(join(tmpdir(), 'chatmailctl-push-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const ini = join(directory, 'chatmail.ini');
writeFileSync(ini, '[params]\nmail_domain = 203.0.113.7\n');
const context = { print: () => {}, note: () => {}, signal: new AbortController().signal };
const options = ['--config', ini, '--metadata-socket', join(directory, 'none.sock')];

t.test('outcomes in words', async (t) => {
  const rows: [outcome: string, words: RegExp][] = [
    ['delivered', /^device 2 \(apns\): delivered to the push service, 12 ms$/],
    ['dead', /gone; its token was removed/],
    ['waiting', /not tried within 10 s/],
    ['refused', /refuses our credentials/],
    ['not-configured', /no credentials/],
    ['undecrypted', /push_openpgp_keys/],
    ['status-5xx', /failed \(status-5xx\); it is tried again/],
  ];
  for (const [outcome, words] of rows) t.match(describeReport(2, { kind: 'apns', outcome, ms: 12 }), words);
});

t.test('ages', async (t) => {
  const rows: [number, string][] = [
    [0, '0 s'],
    [119, '119 s'],
    [120, '2 min'],
    [7200, '2 h'],
    [172_800, '2 days'],
  ];
  for (const [seconds, text] of rows) t.equal(formatAge(seconds), text);
});

t.test('what is wrong is said', async (t) => {
  const run = (...words: string[]) => runOrHelp(push, [...words, ...options], context);
  await t.rejects(run('test', 'nobody'), { constructor: UsageError, message: /write NAME@\[203\.0\.113\.7\]/ });
  await t.rejects(run('test', 'a@x.org'), { constructor: UsageError, message: /not of this relay/ });
  for (const words of [['test', 'a@203.0.113.7'], ['test', 'a@[203.0.113.7]'], ['stats']]) {
    await t.rejects(run(...words), { constructor: ExitError, exitCode: 75, message: /none\.sock \(ENOENT\).*running/ });
  }
});
