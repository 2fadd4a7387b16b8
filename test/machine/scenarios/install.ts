/**
 * From a fresh Debian to two people who have met: the package, `init`, `apply`, two clients outside. Everything is timed.
 */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import type { RelayMachine } from '../relay-machine.ts';
import { stockFiles } from './leave.ts';

/** The load of a host that runs tests is none of the relay's business, but it would create no accounts. */
const BUSY_HOST = "sed -i '/max_load_1m/d; $ a max_load_1m = 1000' /etc/chatmail/chatmail.ini";

/** Installs the package as its instructions say, without a network, and makes it a relay for its address. */
export async function install(machine: RelayMachine): Promise<void> {
  const { container, figures } = machine;
  const usedBefore = await usedBytes(machine);
  const startedMs = performance.now();
  await container.run('apt-get -q -y install /mnt/chatmail.deb', 300_000);
  const installedMs = performance.now();
  machine.stock = await stockFiles(machine);
  await container.run(`chatmailctl init ${machine.address} && ${BUSY_HOST} && chatmailctl apply`, 120_000);
  const appliedMs = performance.now();
  const [alice, bob] = await Promise.all([machine.person('Alice'), machine.person('Bob')]);
  const invitation = await alice.client.invitation();
  [alice.chat, bob.chat] = await Promise.all([alice.client.joined(), bob.client.join(invitation)]);
  await machine.say('the first message');
  const seconds = (from: number, to: number) => `${((to - from) / 1000).toFixed(1)} s`;
  figures.set('apt install, with Postfix, Dovecot and nginx', seconds(startedMs, installedMs));
  figures.set('chatmailctl init and apply', seconds(installedMs, appliedMs));
  figures.set('two accounts, securejoin, first message read', seconds(appliedMs, performance.now()));
  figures.set('from install to the first message read', seconds(startedMs, performance.now()));
  figures.set('disk, everything installed', megabytes((await usedBytes(machine)) - usedBefore));
  const own = await container.run('du -sxB1 /usr/lib/chatmail-sidecars | cut -f1');
  figures.set('disk, of that our package', megabytes(Number(own)));
}

/** What `apply` can restart. Debian's own services come and go by themselves. */
const SERVICES = ['doveauth*', 'filtermail*', 'metadata-push*', 'push-gateway*', 'postfix*', 'dovecot*', 'nginx*']
  .map((name) => `'${name}.service'`)
  .join(' ');

/** Every file of /etc with its time, and every program of a relay that runs. */
const FINGERPRINT = `find /etc -type f -printf '%p %T@ %m %u\\n' | sort
systemctl show --property=Id,ExecMainStartTimestampMonotonic ${SERVICES} | paste - - - | sort`;

/** `apply` again: nothing changes, nothing is restarted, and there is nothing to be done. */
export async function applyAgain(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await machine.becomesGreen();
  const before = (await container.run(FINGERPRINT)).split('\n');
  await container.run('chatmailctl apply');
  const after = (await container.run(FINGERPRINT)).split('\n');
  assert.deepEqual(
    after.filter((line) => !before.includes(line)),
    [],
  );
  assert.match(await container.run('chatmailctl apply --dry-run'), /nothing/i);
}

/** A name nobody has, and the password of somebody else. */
export async function strangers(machine: RelayMachine): Promise<void> {
  const [alice, bob] = machine.people;
  const wrong = { user: alice!.credentials.user, password: bob!.credentials.password };
  assert.match(await machine.tryLogin(wrong), /^NO \[AUTHENTICATIONFAILED\]/);
  const { code, text } = await machine.status();
  assert.equal(code, 0, text);
}

/** nginx hands out names and passwords, and reaches no socket that gives out anything else. */
export async function webServer({ address, container, names }: RelayMachine): Promise<void> {
  const owners = await container.run("cd /run/doveauth && stat --format='%n %U:%G %a' *.socket");
  assert.deepEqual(owners.trim().split('\n'), [
    'doveauth.socket root:vmail 660',
    'http.socket root:vmail 660',
    'new.socket www-data:root 600',
  ]);
  const outgoing = request({ host: address, path: '/new', method: 'POST', agent: false, rejectUnauthorized: false });
  outgoing.end();
  const [response] = await once(outgoing, 'response');
  assert.equal(response.statusCode, 200);
  let text = '';
  for await (const chunk of response) text += chunk;
  const { email } = JSON.parse(text) as { email: string };
  names.push(email.replace(/@.*/, ''));
}

async function usedBytes({ container }: RelayMachine): Promise<number> {
  return Number(await container.run('rm -f /var/cache/apt/*.bin; du -sxB1 / | cut -f1'));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
