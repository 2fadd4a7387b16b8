/**
 * The ways back: `apply --undo`, removing the package, purging it. Mail and keys are nobody's to delete but the operator's.
 */

import assert from 'node:assert/strict';
import type { RelayMachine } from '../relay-machine.ts';

/**
 * Names of all messages, without where in the mailbox they are and their flags, and checksums of configuration and keys. What
 * begins with a dot is no message, but wakes sessions.
 */
const KEPT = `find /home/vmail '(' -path '*/cur/*' -o -path '*/new/*' ')' ! -name '.*' | sed 's/.*[/]//; s/:.*//' | sort
find /etc/chatmail /etc/dkimkeys -type f 2>/dev/null | sort | xargs sha256sum`;

/** Everything of /etc that Debian made, as it was before. */
export async function undo(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await machine.pause();
  const mail = await container.run(KEPT);
  await container.run('chatmailctl apply --undo', 120_000);
  assert.deepEqual(await stockFiles(machine), machine.stock);
  assert.equal(await container.run(KEPT), mail);
  await container.run('postfix check && doveconf -n >/dev/null && nginx -t');
  await container.run('chatmailctl apply', 120_000);
  await machine.becomesGreen();
  await machine.sayAfresh('after undo and apply');
}

/** What `apply` replaces, as Debian's packages left it. */
export async function stockFiles({ container }: RelayMachine): Promise<Record<string, string>> {
  const files = await container.run('cd /etc; find postfix dovecot nginx -type f | sort | xargs sha256sum');
  return Object.fromEntries(files.split('\n').map((line) => [line.slice(66), line.slice(0, 64)]));
}

/** Mail, keys and `chatmail.ini` are left and named, everything else of the package is gone. */
export async function removeAndPurge(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  await machine.pause();
  const kept = await container.run(KEPT);
  assert.match(kept, /\.relay/, 'there is mail');
  await container.run('apt-get -q -y remove chatmail-sidecars', 120_000);
  assert.equal((await container.attempt('command -v chatmailctl; ls /usr/lib/chatmail-sidecars')).stdout, '');
  const said = await container.run('apt-get -q -y purge chatmail-sidecars', 120_000);
  assert.match(said, /\/home\/vmail/, 'purge says where the mail is');
  assert.equal(await container.run(KEPT), kept);
  const units = "systemctl list-units --no-legend --plain 'chatmail*' 'filtermail*' 'doveauth*' 'metadata*'";
  assert.equal(await container.run(units), '', 'no unit is left');
}
