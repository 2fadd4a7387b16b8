/**
 * What happens to machines: a reboot, an upgrade at the busiest time, and each program down in turn.
 */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { encryptedMessage } from '../../../packages/chatmailctl/src/client/messages.ts';
import { SmtpClient } from '../../../packages/chatmailctl/src/client/smtp-client.ts';
import { Load } from '../load.ts';
import { DAEMONS, type RelayMachine } from '../relay-machine.ts';

export async function reboot(machine: RelayMachine): Promise<void> {
  const startedMs = performance.now();
  await machine.container.reboot();
  await machine.becomesGreen();
  machine.figures.set('reboot, until status is green', `${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  await machine.sayAfresh('after the reboot');
}

/** What is started anew by an upgrade that changes every daemon. */
const STARTED = 'systemctl show --property=Id,ExecMainStartTimestampMonotonic doveauth filtermail metadata-push';

/**
 * The next version is installed while people send and log in, and nobody notices: first one in which no daemon changed, which
 * restarts nothing, then one in which all did.
 */
export async function upgrade(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  const [version, started] = [await container.run('chatmailctl version'), await container.run(STARTED)];
  const load = await Load.start(machine);
  await sleep(1000);
  await container.run('apt-get -q -y install /mnt/next.deb', 120_000);
  assert.notEqual(await container.run('chatmailctl version'), version);
  assert.equal(await container.run(STARTED), started, 'what has not changed goes on');
  // Not the Lua: Dovecot's reload cuts off who is just logging in.
  await container.run("sed -i '/^dovecot/!s/.$/x/' /usr/lib/chatmail-sidecars/fingerprints");
  await container.run('apt-get -q -y install --reinstall /mnt/next.deb', 120_000);
  await machine.say('during the upgrade');
  const restarted = (await container.run(STARTED)).split('\n').filter((line) => started.includes(line));
  assert.deepEqual(
    restarted.filter((line) => line.startsWith('Exec')),
    [],
    'what has changed runs anew',
  );
  await sleep(1000);
  await load.stop();
  assert.deepEqual(load.refused, []);
  // A session that was open when filtermail ended is answered "try again": Postfix has no other filter for it.
  assert.ok(load.delayed.length <= 4, `put off: ${load.delayed.join(', ')}`);
  assert.deepEqual(load.refusedLogins, []);
  assert.ok(load.accepted.length > 10, `${load.accepted.length} messages`);
  await load.allArrived();
  await machine.becomesGreen();
}

/** What users notice while a program is down. */
interface Effects {
  /** A login to an account that exists: works, or a refusal that clients try again after. */
  readonly login: 'works' | 'later' | 'no connection';
  /** A message handed in through submission. */
  readonly submission: 'accepted' | 'delayed';
}

/** Stops one program so that nothing starts it again, looks, starts it, and waits until all is well and all mail is there. */
export async function stopped(machine: RelayMachine, program: string, effects: Effects): Promise<void> {
  const { container } = machine;
  const units = DAEMONS[program as keyof typeof DAEMONS] ?? [`${program}.service`];
  const account = machine.people[0]!.credentials;
  const load = await Load.start(machine, 2);
  let startedMs = 0;
  await sleep(1000);
  await container.run(`systemctl stop ${units.join(' ')}`);
  try {
    await sleep(3000);
    const { code, text, broken } = await machine.status();
    assert.equal(code, 1, `status while ${program} is stopped: ${text}`);
    assert.ok(broken.includes(program), `the fault is named: ${text}`);
    const answer = await machine.tryLogin(account).catch(() => 'no connection');
    if (effects.login === 'works') assert.equal(answer, 'OK');
    else if (effects.login === 'later') assert.match(answer, /^NO \[UNAVAILABLE\]/);
    else assert.equal(answer, 'no connection');
  } finally {
    await load.stop();
    startedMs = performance.now();
    await container.run(`systemctl start ${units.join(' ')}`);
  }
  assert.deepEqual(load.refused, [], 'nothing is refused for good');
  assert.deepEqual(
    load.refusedLogins.filter((answer) => answer.includes('AUTHENTICATIONFAILED')),
    [],
    'no wrong password',
  );
  if (effects.submission === 'accepted') assert.deepEqual(load.delayed, []);
  else assert.ok(load.delayed.length > 0, 'submission is put off');
  await load.allArrived();
  await machine.becomesGreen();
  const ms = performance.now() - startedMs;
  assert.ok(ms < 50_000, `all is well only ${ms.toFixed(0)} ms after the start`);
}

/** Mail from another relay while Dovecot is down: taken, kept, and delivered after. */
export async function foreignMailWaits(machine: RelayMachine): Promise<void> {
  const { container, address } = machine;
  const to = machine.invent();
  assert.equal(await machine.tryLogin(to), 'OK');
  await container.run('systemctl stop dovecot');
  const own = { from: `somebody@[${address.replace(/\d+$/, '1')}]`, to: to.user };
  const smtp = await SmtpClient.open({ host: address, port: 25, tls: 'starttls' });
  const { code, text } = await smtp.send({ from: own.from, to: [own.to] }, encryptedMessage(own));
  smtp.close();
  await container.run('systemctl start dovecot');
  assert.equal(code, 250, text);
  const deadline = performance.now() + 60_000;
  do {
    assert.ok(performance.now() < deadline, `not delivered: ${await container.run('postqueue -p')}`);
    await sleep(500);
    // Each time: one that comes before Dovecot listens puts the message off again.
    await machine.flushQueue();
    await sleep(500);
  } while ((await machine.inbox(to).catch(() => new Set())).size === 0);
}
