/**
 * Who listens where: reads the kernel's tables of sockets (proc(5), /proc/net/tcp and tcp6), and says which ports of a relay
 * somebody else has.
 */

import type { RelayLayout } from '../layout.ts';

export interface Listener {
  readonly port: number;
  /** Of its socket; names the process through /proc/PID/fd. */
  readonly inode: string;
}

/** A process with an open port. */
export interface PortOwner {
  readonly port: number;
  readonly pid: number;
  /** The name of its program. */
  readonly program: string;
  /** The unit it belongs to, if it is one. */
  readonly unit: string | undefined;
}

/** Programs whose ports these are. systemd holds sockets for others. */
const OURS = ['master', 'dovecot', 'nginx', 'systemd'];
/** Their children hold the sockets too. */
const OUR_UNITS = /^(?:postfix(?:@.*)?|dovecot|nginx)\.service$/;
const LISTEN_STATE = '0A';

/** The sockets that listen, from one of the kernel's tables. */
export function parseListeners(table: string): Listener[] {
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTEN_STATE)
    .map((fields) => ({ port: Number.parseInt(fields[1]!.replace(/.*:/, ''), 16), inode: fields[9]! }));
}

/** The ports a relay needs for itself. */
export function neededPorts({ ports, behindWebServer }: RelayLayout, hasNginx: boolean): number[] {
  return [
    ...Object.values(ports).filter((port) => port !== undefined),
    ...(hasNginx ? [80, 443] : []),
    ...Object.values(behindWebServer ?? {}),
  ];
}

/** One sentence for each port that another program has. */
export function portConflicts(needed: readonly number[], owners: readonly PortOwner[]): string[] {
  const others = owners.filter(
    ({ port, program, unit }) => needed.includes(port) && !OURS.includes(program) && !OUR_UNITS.test(unit ?? ''),
  );
  const byPid = new Map<number, PortOwner[]>();
  for (const owner of others) byPid.set(owner.pid, [...(byPid.get(owner.pid) ?? []), owner]);
  return [...byPid.values()].map((list) => {
    const { program, pid, unit } = list[0]!;
    const ports = [...new Set(list.map(({ port }) => port))].sort((a, b) => a - b);
    const remedy = unit ? `systemctl disable --now ${unit}` : `end process ${pid}`;
    return `port ${ports.join(', ')} is taken by ${program}: stop it first (${remedy})`;
  });
}
