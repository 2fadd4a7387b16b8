/**
 * What our daemons take of a machine's memory: the proportional share (PSS, proc_pid_smaps(5)), so that the one copy of Node
 * they run from is counted once.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DAEMONS, type RelayMachine } from '../relay-machine.ts';

/** Adds the shares of all processes in the cgroups of our daemons, kB. */
const PSS = `for unit in ${Object.keys(DAEMONS).join(' ')}; do
  kb=0
  for pid in $(cat /sys/fs/cgroup/system.slice/$unit.service/cgroup.procs 2>/dev/null); do
    kb=$((kb + $(sed -n 's/^Pss: *\\([0-9]*\\).*/\\1/p' /proc/$pid/smaps_rollup)))
  done
  echo $unit $kb
done`;

/** Megabytes by daemon; 0 for one that does not run. */
export async function memoryOfDaemons({ container }: RelayMachine): Promise<Map<string, number>> {
  const lines = (await container.run(PSS)).split('\n').map((line) => line.split(' '));
  return new Map(lines.map(([name, kilobytes]) => [name!, (Number(kilobytes) * 1024) / 1e6]));
}

/** Measures a quiet relay: nobody has come for half a minute. */
export async function idleMemory(machine: RelayMachine): Promise<number> {
  await sleep(30_000);
  const shares = await memoryOfDaemons(machine);
  const total = [...shares.values()].reduce((sum, share) => sum + share, 0);
  const parts = [...shares].map(([name, share]) => `${name} ${share.toFixed(1)}`).join(', ');
  machine.figures.set('memory of our daemons, idle (PSS)', `${total.toFixed(1)} MB (${parts})`);
  return total;
}

/**
 * The same as a machine of 512 MB sees it, where `apply` lets the daemons end when nobody needs them: /proc/meminfo is one of
 * such a machine (lxcfs does the same).
 */
export async function idleExitMemory(machine: RelayMachine): Promise<number> {
  const { container, figures } = machine;
  await container.run(`sed 's/^MemTotal:.*/MemTotal:         524288 kB/' /proc/meminfo >/run/meminfo
    mount --bind /run/meminfo /proc/meminfo
    chatmailctl apply`);
  await machine.sayAfresh('on a small machine');
  const quietMs = performance.now();
  let total = Number.POSITIVE_INFINITY;
  // A client that has sent keeps its session, and with it filtermail, until Postfix ends it after five minutes.
  while (total > 0 && performance.now() < quietMs + 480_000) {
    await sleep(5000);
    const shares = await memoryOfDaemons(machine);
    total = [...shares.values()].reduce((sum, share) => sum + share, 0);
  }
  const after = `${((performance.now() - quietMs) / 1000).toFixed(0)} s`;
  figures.set(
    'memory of our daemons on a machine of 512 MB, two clients idle',
    `${total.toFixed(1)} MB after ${after}`,
  );
  const startedMs = performance.now();
  await machine.say('after the daemons have ended');
  figures.set('a message that starts them again', `${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  return total;
}
