/**
 * [io] Who may connect to the sockets that systemd holds open. Owner and mode, also those of a drop-in, count when a socket is opened;
 * one that is open gets them here, and stays open. It cannot be opened anew while its daemon runs, and a connection to another socket
 * of that daemon starts it again at once, which cancels what was to stop it.
 */

import { type Host, mustRun } from './host.ts';
import { SOCKETS } from './units.ts';

/** What a socket unit says, with its drop-ins. */
export interface SocketAccess {
  readonly unit: string;
  readonly isOpen: boolean;
  readonly paths: readonly string[];
  /** As chown(1) takes it. */
  readonly owner: string;
  readonly mode: number;
}

const FIELDS = 'Id,ActiveState,Listen,SocketUser,SocketGroup,SocketMode';

/** Reads the answer to `systemctl show -p Id,ActiveState,Listen,SocketUser,SocketGroup,SocketMode UNIT...`, in the order asked. */
export function parseSocketAccess(units: readonly string[], output: string): SocketAccess[] {
  const blocks = output.trim().split(/\n\n+/);
  return units.map((unit, index) => {
    const values = (key: string) => [...(blocks[index] ?? '').matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))];
    const value = (key: string) => values(key)[0]?.[1] ?? '';
    const [user, group] = [value('SocketUser'), value('SocketGroup')];
    return {
      unit,
      isOpen: value('ActiveState') === 'active',
      paths: values('Listen').flatMap(([, text = '']) => /^(\/.*) \(Stream\)$/.exec(text)?.[1] ?? []),
      // A user without a group means the group of that user (systemd.socket(5)), also to chown.
      owner: user === '' ? `root:${group || 'root'}` : `${user}:${group}`,
      mode: Number.parseInt(value('SocketMode') || '0666', 8),
    };
  });
}

/**
 * Gives open sockets the owner and mode their units say. Who is connected stays connected until the daemon restarts.
 *
 * @returns the units of those that were changed
 * @throws ExitError 78 when systemd does not answer, or there is no such owner
 */
export async function updateOpenSockets(host: Host): Promise<string[]> {
  const answer = await mustRun(host, 'systemctl', ['show', '-p', FIELDS, ...SOCKETS]);
  const changed = new Set<string>();
  for (const { unit, paths, owner, mode } of parseSocketAccess(SOCKETS, answer).filter(({ isOpen }) => isOpen)) {
    for (const path of paths) {
      const { code, output } = await host.run('stat', ['--format=%a %U:%G', path]);
      // Somebody has removed it; the next start of the unit makes it.
      if (code !== 0) continue;
      const [modeNow = '', ownerNow = ''] = output.trim().split(' ');
      if (ownerNow === owner && Number.parseInt(modeNow, 8) === mode) continue;
      await mustRun(host, 'chown', [owner, path]);
      await mustRun(host, 'chmod', [mode.toString(8).padStart(4, '0'), path]);
      changed.add(unit);
    }
  }
  return [...changed];
}
