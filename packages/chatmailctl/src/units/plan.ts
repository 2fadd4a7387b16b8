/**
 * The units of an installation that Debian's package manager knows nothing about: what we ship, with the paths of the
 * installation, beside what the machine has. Pure, so that a dry run and the real one cannot differ. systemd.unit(5): what lies
 * in /etc is the administrator's, which is whom npm works for.
 */

import { quoted } from '../render/systemd.ts';

/** Where the Debian package puts everything, and what the shipped units say. */
export const PACKAGED_ROOT = '/usr/lib/chatmail-sidecars';
export const UNIT_DIRECTORY = '/etc/systemd/system';

/** In the first line of each file; how a later run knows its own. */
const MARK = 'Written by chatmailctl units';

/** Files that are no units, and where systemd looks for them. */
const FRAGMENTS: Readonly<Record<string, string>> = {
  'sysusers.conf': '/etc/sysusers.d/chatmail-sidecars.conf',
  'tmpfiles.conf': '/etc/tmpfiles.d/chatmail-sidecars.conf',
};
export const SYSUSERS = FRAGMENTS['sysusers.conf']!;
export const TMPFILES = FRAGMENTS['tmpfiles.conf']!;

export interface UnitFile {
  readonly path: string;
  readonly text: string;
}

export interface UnitPlan {
  readonly write: readonly UnitFile[];
  /** Of ours, and no longer shipped. */
  readonly remove: readonly string[];
  /** Of the relay before: they go on until `apply` replaces them. */
  readonly left: readonly string[];
  /** In the way, and not of ours. */
  readonly foreign: readonly string[];
}

/** The path a shipped file goes to; undefined for what is neither a unit nor known otherwise. */
function pathOf(name: string): string | undefined {
  return /\.(?:service|socket|timer|path)$/.test(name) ? `${UNIT_DIRECTORY}/${name}` : FRAGMENTS[name];
}

/**
 * What the installation in `root` wants on the machine. The version is part of each file, so that another one is a change, and
 * the daemons are restarted.
 *
 * @param shipped the files of systemd/, by name
 */
export function wantedFiles(shipped: ReadonlyMap<string, string>, root: string, version: string): UnitFile[] {
  return [...shipped].flatMap(([name, text]) => {
    const path = pathOf(name);
    if (path === undefined) return [];
    const placed = text.replace(/\/usr\/lib\/chatmail-sidecars(\/[\w./-]*)/g, (_all, rest: string) =>
      quoted(`${root}${rest}`),
    );
    return [{ path, text: `# ${MARK}, chatmail-sidecars ${version}.\n${placed}` }];
  });
}

/** Whether a text is that of a file of ours. */
export function isUnitOfOurs(text: string): boolean {
  return text.startsWith(`# ${MARK}`);
}

/**
 * Compares what is wanted with what is there.
 *
 * @param existing texts by path: of the wanted ones, and of the unit directory
 * @param isAdopted whether a file is one of the relay before that `chatmailctl adopt` has seen
 */
export function planUnits(
  wanted: readonly UnitFile[],
  existing: ReadonlyMap<string, string>,
  isAdopted: (path: string, text: string) => boolean,
): UnitPlan {
  const paths = new Set(wanted.map(({ path }) => path));
  const others = [...existing].filter(([path, text]) => paths.has(path) && !isUnitOfOurs(text));
  const left = others.filter(([path, text]) => isAdopted(path, text)).map(([path]) => path);
  return {
    write: wanted.filter(({ path, text }) => existing.get(path) !== text && !left.includes(path)),
    left,
    remove: [...existing].filter(([path, text]) => isUnitOfOurs(text) && !paths.has(path)).map(([path]) => path),
    foreign: others.map(([path]) => path).filter((path) => !left.includes(path)),
  };
}

/** Names of the daemons' units among paths: what is running and must be started again when it is something else. */
export function servicesIn(paths: readonly string[]): string[] {
  return paths
    .flatMap((path) => /\/([^/]+\.service)$/.exec(path)?.[1] ?? [])
    .filter((name) => !/^chatmail-/.test(name));
}
