/**
 * Nothing left of what a machine has: no room on the disk for mail, no memory. What was accepted is kept, everything else is
 * put off, and afterwards it goes on by itself.
 */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from '../load.ts';
import type { RelayMachine } from '../relay-machine.ts';

export async function fullDisk(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  const account = machine.people[0]!.credentials;
  const load = await Load.start(machine);
  await sleep(1000);
  // To the last block, those kept for root included.
  await container.attempt(
    `fallocate --length $(df --output=avail -B1 /home | tail -1) /home/fill; cat /dev/zero >/home/fill2`,
  );
  try {
    await sleep(4000);
    const { code, text, broken } = await machine.status();
    assert.equal(code, 1, `status with a full disk: ${text}`);
    assert.ok(broken.includes('disk'), `the fault is named: ${text}`);
    assert.equal(await machine.tryLogin(account), 'OK', 'an account that exists');
    assert.match(await machine.tryLogin(machine.invent()), /^NO /, 'no new account');
  } finally {
    await load.stop();
    await container.run('rm /home/fill /home/fill2');
  }
  assert.deepEqual(load.refused, [], 'nothing is refused for good');
  await load.allArrived();
  assert.equal(await machine.tryLogin(machine.invent()), 'OK', 'a new account, afterwards');
  await machine.becomesGreen();
}

/** So little that some of our daemons must be killed, again and again. */
export async function fullMemory(machine: RelayMachine): Promise<void> {
  const { container } = machine;
  const load = await Load.start(machine);
  await sleep(1000);
  const used = Number(
    await container.run(
      "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss_Anon/ {kb += $2} END {print kb * 1024}'",
    ),
  );
  const ballast = 200e6;
  await container.limitMemory(used + ballast);
  try {
    // In memory that cannot be reclaimed, by a process too small to be the one that is killed.
    const fill = `head -c ${Math.round(ballast + used * 0.3)} /dev/zero >/dev/shm/fill`;
    await container.run(`systemd-run --quiet --unit=fill sh -c '${fill}'`);
    await sleep(6000);
  } finally {
    await container.run('rm -f /dev/shm/fill');
    await container.limitMemory(undefined);
    await load.stop();
  }
  assert.ok((await container.outOfMemory()) > 0, 'something was killed for lack of memory');
  assert.deepEqual(load.refused, [], 'nothing is refused for good');
  assert.deepEqual(
    load.refusedLogins.filter((answer) => answer.includes('AUTHENTICATIONFAILED')),
    [],
    'no wrong password',
  );
  await machine.becomesGreen();
  await load.allArrived();
  await machine.sayAfresh('after the lack of memory');
}
