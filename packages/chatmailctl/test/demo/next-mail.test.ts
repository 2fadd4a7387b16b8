import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { nextMail } from '../../src/demo/next-mail.ts';

const directory = mkdtempSync(join(tmpdir(), 'next-mail-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const file = (name: string) => join(directory, name);

t.test('the next message, and nothing else that happens in its directory', async (t) => {
  writeFileSync(file('1.old'), '');
  writeFileSync(file('2.old'), '');
  let atMs: number | undefined;
  const next = nextMail(directory, new AbortController().signal).then((ms) => {
    atMs = ms;
    return ms;
  });
  symlinkSync('..wake', file('..wake'));
  unlinkSync(file('..wake'));
  unlinkSync(file('1.old'));
  renameSync(file('2.old'), join(tmpdir(), 'next-mail-2.old'));
  rmSync(join(tmpdir(), 'next-mail-2.old'));
  await sleep(100);
  t.equal(atMs, undefined, 'what wakes sessions, and what goes');
  const beganMs = performance.now();
  writeFileSync(file('3.new'), '');
  // Somebody is quick to take it.
  unlinkSync(file('3.new'));
  t.ok((await next) >= beganMs);
});

t.test('nobody waits any more', async (t) => {
  const stop = new AbortController();
  const next = nextMail(directory, stop.signal);
  stop.abort();
  writeFileSync(file('4.new'), '');
  t.equal(await Promise.race([next.then(() => 'mail'), sleep(100, 'nothing')]), 'nothing');
});
