/**
 * Which units make a relay, and which of them have to hear of a change. Pure: the state of the units and the changed files in, names
 * out.
 */

import { LOG_SCRIPT } from '../render/log.ts';
import { type Change, isOurs } from './plan.ts';
import { settingsOf } from './stock.ts';

/** Sockets come first: what connects waits there until its daemon is up. */
export const SOCKETS = [
  'filtermail-outgoing.socket',
  'filtermail-incoming.socket',
  'filtermail-sign.socket',
  'doveauth-auth.socket',
  'doveauth-lastlogin.socket',
  'doveauth-http.socket',
  'doveauth-new.socket',
  'metadata-push.socket',
] as const;
export const DAEMONS = ['filtermail.service', 'doveauth.service', 'metadata-push.service'] as const;
/** The one that delivers before the one that accepts. */
export const SERVERS = ['dovecot.service', 'postfix.service', 'nginx.service'] as const;
const TIMERS = ['chatmail-expire.timer', 'chatmail-fsreport.timer'] as const;

/** Units of ours that run on every relay, and the servers beside them. Rendered timers and paths come on top. */
export function relayUnits(hasNginx: boolean, renderedPaths: readonly string[]): string[] {
  const rendered = renderedPaths
    .flatMap((path) => unitFileOf(path) ?? [])
    .filter((unit) => /\.(?:timer|path)$/.test(unit) && !TIMERS.some((timer) => timer === unit));
  const servers = SERVERS.filter((unit) => hasNginx || unit !== 'nginx.service');
  return [...SOCKETS, ...DAEMONS, ...TIMERS, ...rendered, ...servers];
}

/** Whether a unit is one of the servers that are not ours. */
export function isServer(unit: string): boolean {
  return SERVERS.some((server) => server === unit);
}

/** The unit whose file this is. */
export function unitFileOf(path: string): string | undefined {
  return /^\/etc\/systemd\/system\/([^/]+\.(?:service|socket|timer|path))$/.exec(path)?.[1];
}

/** The unit whose drop-in this is. */
function dropInUnitOf(path: string): string | undefined {
  return /^\/etc\/systemd\/system\/([^/]+)\.d\//.exec(path)?.[1];
}

/** The sockets that a daemon requires: it opens them when it starts, and ends when one of them is stopped. */
export function socketsOf(daemon: string): string[] {
  return SOCKETS.filter((unit) => unit.startsWith(daemon.replace('.service', '')));
}

/**
 * Which of the units that are taken out of service can be stopped: a daemon and its sockets only all together. A socket that stays
 * open starts the daemon again at the next connection, the daemon opens the others, and systemd cancels the stop.
 */
export function stoppable(units: readonly string[], open: readonly string[]): string[] {
  const staying = open.filter((socket) => !units.includes(socket));
  const kept = DAEMONS.map((daemon) => [daemon, ...socketsOf(daemon)]).filter((family) =>
    family.some((unit) => staying.includes(unit)),
  );
  return units.filter((unit) => !kept.flat().includes(unit));
}

/** What systemd says of a unit. */
export interface UnitState {
  readonly name: string;
  /** systemd knows the unit. */
  readonly isInstalled: boolean;
  readonly isEnabled: boolean;
  readonly isActive: boolean;
  /** It ended with an error, and systemd does not start it again by itself. */
  readonly isFailed: boolean;
  /** How often systemd has started it again after it ended by itself. */
  readonly restarts: number;
}

/** Reads the answer to `systemctl show -p Id,LoadState,UnitFileState,ActiveState,SubState,NRestarts UNIT...`, in the order asked. */
export function parseUnitStates(names: readonly string[], output: string): UnitState[] {
  const blocks = output.trim().split(/\n\n+/);
  return names.map((name, index) => {
    const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(blocks[index] ?? '')?.[1] ?? '';
    // What waits to be started again after a crash is 'activating' to systemd.
    const isCrashing = value('SubState') === 'auto-restart';
    return {
      name,
      isInstalled: value('LoadState') === 'loaded',
      isEnabled: ['enabled', 'static', 'indirect', 'generated'].includes(value('UnitFileState')),
      isActive: ['active', 'activating', 'reloading'].includes(value('ActiveState')) && !isCrashing,
      isFailed: value('ActiveState') === 'failed' || isCrashing,
      restarts: Number(value('NRestarts') || 0),
    };
  });
}

/** Units that must be enabled or started although no file changed. A daemon that has ended for lack of work is no fault. */
export function unitsToEnable(states: readonly UnitState[]): string[] {
  return states
    .filter(
      ({ name, isEnabled, isActive, isFailed }) =>
        !isEnabled || isFailed || (!isActive && !DAEMONS.some((daemon) => daemon === name)),
    )
    .map(({ name }) => name);
}

/** What to do with services after files have changed. */
export interface ServicePlan {
  readonly daemonReload: boolean;
  /** Files for sysctl(8). */
  readonly sysctl: readonly string[];
  readonly restartJournal: boolean;
  readonly restart: readonly string[];
  readonly reload: readonly string[];
}

/** Settings of main.cf that Postfix looks at only when it starts (postconf(5)). */
const POSTFIX_AT_START = ['inet_interfaces', 'inet_protocols', 'queue_directory', 'data_directory', 'maillog_file'];

/** What concerns services besides changed files. */
export interface Occasions {
  readonly configChanged: boolean;
  /** Servers a new certificate is there for. */
  readonly readCertificate: readonly string[];
  /** Units that restart whatever changed: nobody knows what they have read. */
  readonly restartAll?: readonly string[];
}

/** Decides who restarts and who only reads its configuration again. */
export function planServices(
  changes: readonly Change[],
  { configChanged, readCertificate, restartAll = [] }: Occasions,
): ServicePlan {
  const of = (service: Change['service']) => changes.filter((change) => change.service === service);
  const dropIns = of('systemd').flatMap(({ path }) => dropInUnitOf(path) ?? []);
  const hasDropIn = (pattern: RegExp) => dropIns.some((unit) => pattern.test(unit));
  const isFirst = (list: readonly Change[]) => list.some(({ before }) => before !== undefined && !isOurs(before.text));

  const restart = new Set<string>([
    ...dropIns.filter((unit) => DAEMONS.some((daemon) => daemon === unit)),
    ...restartAll,
  ]);
  const reload = new Set<string>();
  const postfix = of('postfix');
  if (hasDropIn(/^postfix(@-)?\.service$/) || isFirst(postfix) || postfix.some(changesStart) || changesLog(postfix)) {
    restart.add('postfix.service');
  } else if (postfix.length > 0) reload.add('postfix.service');
  const dovecot = of('dovecot');
  if (hasDropIn(/^dovecot\.service$/) || isFirst(dovecot) || changesLog(dovecot)) restart.add('dovecot.service');
  else if (dovecot.length > 0) reload.add('dovecot.service');
  if (of('nginx').length > 0) reload.add('nginx.service');
  for (const unit of readCertificate) if (!restart.has(unit)) reload.add(unit);
  if (configChanged) for (const daemon of DAEMONS) if (!restart.has(daemon)) reload.add(daemon);
  return {
    daemonReload: of('systemd').length > 0 || restartAll.length > 0,
    sysctl: of('sysctl').flatMap(({ path, after }) => (after ? [path] : [])),
    restartJournal: of('journald').length > 0 || restartAll.length > 0,
    restart: [...restart],
    reload: [...reload].filter((unit) => !restart.has(unit)),
  };
}

/** The script a server's log runs through; it is read when the server starts. */
function changesLog(changes: readonly Change[]): boolean {
  return changes.some(({ path }) => path.endsWith(`/${LOG_SCRIPT}`));
}

function changesStart({ path, before, after }: Change): boolean {
  if (!path.endsWith('/main.cf')) return false;
  const [old, now] = [new Map(settingsOf(before?.text ?? '')), new Map(settingsOf(after?.text ?? ''))];
  return POSTFIX_AT_START.some((name) => old.get(name) !== now.get(name));
}
