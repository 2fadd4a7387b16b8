/**
 * [io] Carries out what units.ts has planned, through systemctl(1).
 */

import { EXIT_CONFIG, ExitError } from '#core';
import { exists, type Host, mustRun } from './host.ts';
import { updateOpenSockets } from './sockets.ts';
import { DAEMONS, isServer, parseUnitStates, SERVERS, type ServicePlan, socketsOf, type UnitState } from './units.ts';

/** Says what is being done. */
export type Note = (line: string) => void;

/** Refuses a machine without systemd.
 *
 * @throws ExitError 78 */
export async function requireSystemd(host: Host): Promise<void> {
  if (await exists(host, '/run/systemd/system')) return;
  throw new ExitError(
    EXIT_CONFIG,
    'this machine does not run systemd, which holds the sockets of our daemons; see chatmailctl render for the files alone',
  );
}

/** Asks systemd about units.
 *
 * @throws ExitError 78 when one is not installed, or systemd does not answer */
export async function readUnitStates(host: Host, names: readonly string[]): Promise<UnitState[]> {
  const fields = 'Id,LoadState,UnitFileState,ActiveState,SubState,NRestarts';
  return parseUnitStates(names, await mustRun(host, 'systemctl', ['show', '-p', fields, ...names]));
}

/** Those of some units that run or are enabled. */
export async function unitsInUse(host: Host, names: readonly string[]): Promise<UnitState[]> {
  if (names.length === 0) return [];
  const states = await readUnitStates(host, names);
  return states.filter(({ isInstalled, isEnabled, isActive }) => isInstalled && (isEnabled || isActive));
}

/** Refuses to go on without the units.
 *
 * @throws ExitError 78 naming the missing ones */
export function requireInstalled(states: readonly UnitState[]): void {
  const missing = states.filter(({ isInstalled }) => !isInstalled);
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  throw new ExitError(
    EXIT_CONFIG,
    `systemd does not know ${names}; install the Debian packages postfix and dovecot-imapd, and our units with the package or with chatmailctl units`,
  );
}

/** Before any server is told of new files: systemd, the kernel and the journal read theirs. */
export async function prepareServices(host: Host, plan: ServicePlan, note: Note): Promise<void> {
  if (plan.daemonReload) await mustRun(host, 'systemctl', ['daemon-reload']);
  for (const path of plan.sysctl) {
    const { code, output } = await host.run('sysctl', ['--quiet', '--load', path]);
    // In a container the kernel is somebody else's; mail works, until very many sessions wait at once.
    if (code !== 0) note(`warning: the kernel does not take ${path}: ${output.trim().replaceAll('\n', '; ')}`);
  }
  if (plan.restartJournal) await mustRun(host, 'systemctl', ['restart', 'systemd-journald.service']);
}

/** Enables and starts units, then restarts and reloads those that must hear of changes. */
export async function runServices(host: Host, plan: ServicePlan, enable: readonly string[], note: Note): Promise<void> {
  const started = enable.filter((unit) => !isServer(unit));
  const changed = plan.daemonReload ? await updateOpenSockets(host) : [];
  if (started.length > 0) await mustRun(host, 'systemctl', ['enable', ...started]);
  // A socket that is closed cannot be opened while its daemon runs; a restart opens it in between. It also ends the connections
  // of those who may no longer connect. The other sockets stay open: who comes meanwhile waits.
  const daemons = DAEMONS.filter((daemon) =>
    socketsOf(daemon).some((socket) => changed.includes(socket) || started.includes(socket)),
  );
  const restart = new Set([...daemons, ...plan.restart.filter((unit) => !isServer(unit))]);
  for (const unit of restart) await mustRun(host, 'systemctl', ['restart', unit]);
  if (started.length > 0) await mustRun(host, 'systemctl', ['start', ...started]);
  for (const unit of SERVERS) {
    if (enable.includes(unit)) await mustRun(host, 'systemctl', ['enable', '--quiet', unit]);
    if (plan.restart.includes(unit)) await mustRun(host, 'systemctl', ['restart', unit]);
    else if (plan.reload.includes(unit)) await mustRun(host, 'systemctl', ['reload-or-restart', unit]);
    else if (enable.includes(unit)) await mustRun(host, 'systemctl', ['start', unit]);
    else continue;
    note(`${unit}: ${plan.restart.includes(unit) ? 'restarted' : plan.reload.includes(unit) ? 'reloaded' : 'started'}`);
  }
  for (const unit of plan.reload.filter((name) => !isServer(name))) {
    const { isActive } = (await readUnitStates(host, [unit]))[0]!;
    if (isActive) await mustRun(host, 'systemctl', ['reload', unit]);
  }
}

/** A daemon that cannot run ends within a second of its start, and is started again a second later. */
const CRASH_MS = 2500;

/**
 * Watches our daemons for a moment: systemd calls one that crashes at once started.
 *
 * @throws ExitError 78 naming the one that does not stay up, with its last words
 */
export async function requireRunning(host: Host): Promise<void> {
  const before = await readUnitStates(host, DAEMONS);
  await host.pause(CRASH_MS);
  const after = await readUnitStates(host, DAEMONS);
  for (const [index, { name, isFailed, restarts }] of after.entries()) {
    // One that has ended for lack of work is neither.
    if (!isFailed && restarts <= before[index]!.restarts) continue;
    const { output } = await host.run('journalctl', ['--unit', name, '--lines=12', '--output=cat', '--no-pager']);
    throw new ExitError(EXIT_CONFIG, `${name} does not stay up (journalctl -u ${name}):\n${output.trim()}`);
  }
}
