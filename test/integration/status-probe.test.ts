/**
 * `status --probe` on a whole relay of real Postfix, Dovecot and our daemons: what it does when all is well, and what it says, and
 * leaves behind, when a part does not answer or it is interrupted. Needs root.
 */

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { RelayAccess } from '../../packages/chatmailctl/src/accounts/relay-access.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { askDoveauth, askFilter } from '../../packages/chatmailctl/src/status/answers.ts';
import { probeRelay } from '../../packages/chatmailctl/src/status/probe.ts';
import { loadConfig } from '../../packages/core/src/index.ts';

t.setTimeout(180_000);
await ensureDependencies(() => {});
const relay = await startRelay({ gatewayUrl: 'http://127.0.0.1:9/notify' });
t.teardown(() => relay.stop());
const { sockets, ports, directories } = relay.layout;
const access: RelayAccess = {
  config: loadConfig(relay.configPath),
  configPath: relay.configPath,
  doveauthSocket: sockets.http,
  metadataSocket: sockets.metadata,
  dovecotConfig: undefined,
};
const probe = (signal = new AbortController().signal, more: Partial<RelayAccess> = {}) =>
  probeRelay({ relay: { ...access, ...more }, ports, signal });
const accounts = () => readdirSync(directories.mailboxes).filter((name) => !name.startsWith('.'));
const daemon = (name: string) => relay.programs.find((program) => program.name === name)!.child.pid!;

t.test('a relay that is well', async (t) => {
  const steps = await probe();
  t.same(
    steps.map(({ name, trouble }) => [name, trouble]),
    [
      'make an account',
      'log in (IMAP)',
      'log in (submission)',
      'send',
      'deliver and announce',
      'read',
      'remove the account',
    ].map((name) => [name, undefined]),
  );
  t.same(accounts(), [], 'and nobody is left');
});

t.test('a filter that does not answer', async (t) => {
  process.kill(daemon('filtermail'), 'SIGSTOP');
  const abort = new AbortController();
  const running = probe(abort.signal);
  setTimeout(() => abort.abort(), 6000);
  const steps = await running;
  process.kill(daemon('filtermail'), 'SIGCONT');
  // A login that was on its way would make the account anew.
  await sleep(1500);
  t.match(steps.at(-2), { trouble: 'interrupted' }, 'the operator does not wait for ever');
  t.match(steps.at(-1), { name: 'remove the account', trouble: undefined });
  t.same(accounts(), [], 'nor is anybody left after an interruption');
});

t.test('an interruption while the account is made', async (t) => {
  process.kill(daemon('doveauth'), 'SIGSTOP');
  const abort = new AbortController();
  const running = probe(abort.signal);
  abort.abort();
  setTimeout(() => process.kill(daemon('doveauth'), 'SIGCONT'), 300);
  const steps = await running;
  t.match(steps, [{ name: 'make an account' }, { trouble: 'interrupted' }, { name: 'remove the account' }]);
  t.notOk(steps.at(-1)!.trouble);
  t.same(accounts(), []);
});

t.test('daemons that are there, and that hang', async (t) => {
  t.ok((await askFilter(sockets.incoming!)) < 5000);
  t.ok((await askDoveauth(sockets.http)) < 5000);
  for (const name of ['filtermail', 'doveauth']) process.kill(daemon(name), 'SIGSTOP');
  const began = performance.now();
  const both = await Promise.allSettled([askFilter(sockets.incoming!), askDoveauth(sockets.http)]);
  for (const name of ['filtermail', 'doveauth']) process.kill(daemon(name), 'SIGCONT');
  for (const answer of both) t.match(answer, { status: 'rejected', reason: { message: 'nothing within 5 s' } });
  t.ok(performance.now() - began < 7000, 'within its time');
  t.match(await Promise.allSettled([askFilter('/nowhere.sock')]), [{ reason: { code: 'ENOENT' } }]);
  await t.rejects(askFilter(sockets.http), 'somebody else is there');
});

t.test('doveauth is not there', async (t) => {
  const steps = await probe(undefined, { doveauthSocket: '/nowhere.socket' });
  t.match(steps, [{ name: 'make an account', trouble: /doveauth cannot be asked at \/nowhere\.socket \(ENOENT\)/ }]);
});

t.test('a certificate for another name', async (t) => {
  const config = { ...access.config, isSelfSigned: false, mail_domain: 'chat.example.org' };
  const steps = await probe(undefined, { config });
  t.match(steps[1], { name: 'log in (IMAP)', trouble: /certificate/i }, 'a client that checks would not log in either');
  t.same(accounts(), []);
});
