/**
 * [io] `chatmailctl apply --undo`, and what apply does by itself when something fails: files as before, units as before, and the servers
 * told of it.
 */

import { EXIT_CONFIG, ExitError } from '#core';
import { type Backup, type Manifest, readBackups, restoreBackup, retireBackup } from './backup.ts';
import { exists, type Host } from './host.ts';
import { alone, clearPending, markPending } from './pending.ts';
import { type Note, readUnitStates, requireSystemd, unitsInUse } from './services.ts';
import { updateOpenSockets } from './sockets.ts';
import { DAEMONS, isServer, SERVERS, SOCKETS, stoppable } from './units.ts';

/**
 * Undoes the last apply that was not undone yet, or all of them, the newest first.
 *
 * @throws ExitError 78 when there is none, or a server does not start with what was restored; 75 when an apply is at work
 */
export async function undo(host: Host, print: Note, note: Note, all = false): Promise<void> {
  await requireSystemd(host);
  await alone(host, async () => {
    const kept = await readBackups(host);
    const backups = all ? kept : kept.slice(0, 1);
    const oldest = backups.at(-1);
    if (!oldest) {
      const reason = 'nothing was applied, or all of it was undone';
      throw new ExitError(EXIT_CONFIG, `there is no backup to go back to: ${reason}`);
    }
    for (const { path, was } of merge(backups).files) print(`${was ? 'restore' : 'remove '}  ${path}`);
    await markPending(host);
    await putBack(host, backups, note);
    await clearPending(host);
    print(`The machine is as it was before ${oldest.directory.replace(/.*\//, '')}.`);
    if (kept.length > backups.length) print('Earlier applies are still in force; --undo --all undoes them too.');
  });
}

/** What several backups restore together: of a file or unit, what it was before the oldest that has it. */
function merge(backups: readonly Backup[]): Manifest {
  const files = new Map<string, Manifest['files'][number]>();
  const units = new Map<string, Manifest>();
  for (const { manifest } of backups) {
    for (const file of manifest.files) files.set(file.path, file);
    for (const unit of [...manifest.retiredUnits, ...manifest.enabledUnits]) units.set(unit, manifest);
  }
  const unitsIn = (list: 'enabledUnits' | 'retiredUnits') =>
    [...units].filter(([unit, manifest]) => manifest[list].includes(unit)).map(([unit]) => unit);
  return {
    ...backups.at(-1)!.manifest,
    files: [...files.values()],
    enabledUnits: unitsIn('enabledUnits'),
    retiredUnits: unitsIn('retiredUnits'),
  };
}

/**
 * Restores backups, and starts the servers with what was then. A file or unit that makes trouble does not keep the others from
 * coming back.
 *
 * @param backups the newest first, with none left out in between
 * @param told the servers that may have read what is taken back; the others, and our daemons when it is none, go on undisturbed
 * @throws ExitError 78 with all that went wrong, when everything that can be done is done
 */
export async function putBack(
  host: Host,
  backups: readonly Backup[],
  note: Note,
  told: readonly string[] = SERVERS,
): Promise<void> {
  const manifest = merge(backups);
  const problems: string[] = [];
  const systemctl = async (...args: string[]) => {
    const { code, output } = await host.run('systemctl', args);
    if (code !== 0) problems.push(`systemctl ${args.join(' ')}: ${output.trim() || `exit code ${code}`}`);
    return code === 0;
  };
  // While their files are still there: systemd cannot disable what it does not know.
  const { stopped, disabled } = await unitsToRetire(host, manifest);
  const haveStarted = told.length === SERVERS.length;
  if (haveStarted && disabled.length > 0) await systemctl('disable', ...disabled);
  if (haveStarted && stopped.length > 0) await systemctl('disable', '--now', ...stopped);
  const lost: string[] = [];
  for (const backup of backups) lost.push(...(await restoreBackup(host, backup.directory, backup.manifest)));
  const services = new Set(manifest.files.map(({ service }) => service));
  if (services.has('systemd')) await systemctl('daemon-reload');
  if (services.has('journald')) await systemctl('restart', 'systemd-journald.service');
  if (manifest.retiredUnits.length > 0) await systemctl('enable', '--now', ...manifest.retiredUnits);
  const gone = [...stopped, ...manifest.retiredUnits];
  // Before the daemons restart, which ends the connections of those who may no longer connect.
  if (haveStarted && services.has('systemd'))
    await updateOpenSockets(host).catch((error: Error) => problems.push(error.message));
  for (const daemon of DAEMONS) if (haveStarted && !gone.includes(daemon)) await systemctl('try-restart', daemon);
  for (const unit of (await concernedServers(host, manifest)).filter((name) => told.includes(name))) {
    // Debian's answer to "No configuration" is no main.cf: there is nothing to start with.
    const isBare = unit === 'postfix.service' && !(await exists(host, '/etc/postfix/main.cf'));
    const verb = isBare ? 'stop' : unit === 'nginx.service' ? 'reload-or-restart' : 'restart';
    if (await systemctl(verb, unit))
      note(`${unit}: ${isBare ? 'stopped, it had no configuration before' : VERBS[verb]}`);
  }
  // Not before: what was not all restored, or not told to the servers, can be undone again.
  if (lost.length === 0) for (const { directory } of backups) await retireBackup(host, directory);
  if (lost.length > 0) {
    const all = [...lost, ...problems].join('; ');
    throw new ExitError(EXIT_CONFIG, `not all is as before: ${all}; chatmailctl apply --undo tries again`);
  }
  if (problems.length > 0) throw new ExitError(EXIT_CONFIG, `the files are as before, but ${problems.join('; ')}`);
}

const VERBS = { restart: 'restarted', stop: 'stopped', 'reload-or-restart': 'reloaded' } as const;

/** Units of ours that were not enabled before: those that stop as well, and those that cannot. */
async function unitsToRetire(host: Host, { record, enabledUnits }: Manifest) {
  const ours = enabledUnits.filter((unit) => !isServer(unit));
  // A systemd that does not answer says so again when they are disabled.
  const sockets = await unitsInUse(host, SOCKETS).catch(() => []);
  // Before the first apply there was none. One that came with an upgrade is in no manifest.
  const isFirst = record === undefined && DAEMONS.every((daemon) => ours.includes(daemon));
  const units = isFirst ? [...new Set([...ours, ...sockets.map(({ name }) => name)])] : ours;
  const open = sockets.filter(({ isActive }) => isActive).map(({ name }) => name);
  const stopped = stoppable(units, open);
  return { stopped, disabled: units.filter((unit) => !stopped.includes(unit)) };
}

/** The servers whose files, or drop-ins of their units, a backup has. */
async function concernedServers(host: Host, { files }: Manifest): Promise<string[]> {
  const states = await readUnitStates(host, SERVERS);
  return states
    .filter(({ name, isInstalled }) => {
      const server = name.replace('.service', '');
      return (
        isInstalled &&
        files.some(({ service, path }) => service === server || path.startsWith(`/etc/systemd/system/${server}`))
      );
    })
    .map(({ name }) => name);
}
