/**
 * [io] What apply finds on the machine, and everything it refuses: nothing has been written when a refusal comes.
 */

import { type Config, EXIT_CONFIG, ExitError, packageVersion } from '#core';
import { adoptedFiles, isAdopted, readAdoption } from '../adopt/adoption-file.ts';
import { type Adoption, INHERITED_CONFIG, replacedUnitPaths, STOPPED_UNITS } from '../adopt/inherited.ts';
import type { HostFacts, RenderedFile } from '../layout.ts';
import { productionLayout } from '../production-layout.ts';
import { checkKeys } from '../tls/tls.ts';
import { hasPackage, unitsOf } from '../units/install.ts';
import { isUnitOfOurs, PACKAGED_ROOT } from '../units/plan.ts';
import { readRecord } from './backup.ts';
import { exists, type Host, readText, statPath } from './host.ts';
import { isPending } from './pending.ts';
import { type AppliedRecord, type Change, type CurrentFile, foreignFiles, planChanges } from './plan.ts';
import { neededPorts, portConflicts } from './ports.ts';
import { readUnitStates, requireInstalled, requireSystemd, unitsInUse } from './services.ts';
import { isStock } from './stock.ts';
import { readLostDovecotFiles, readStockKnowledge } from './stock-files.ts';
import { relayUnits, type UnitState, unitFileOf, unitsToEnable } from './units.ts';

export interface ApplyInput {
  readonly host: Host;
  readonly config: Config;
  /** SHA-256 of chatmail.ini. */
  readonly configHash: string;
  readonly facts: HostFacts;
  readonly rendered: readonly RenderedFile[];
  readonly now: Date;
  readonly dryRun: boolean;
  readonly takeOver: boolean;
  print(line: string): void;
  note(line: string): void;
}

/** What was found before anything is touched. */
export interface Survey {
  readonly changes: readonly Change[];
  readonly record: AppliedRecord | undefined;
  readonly states: readonly UnitState[];
  readonly enable: readonly string[];
  /** Units that run or are enabled and must not any longer: those whose file goes, and those of the relay before. */
  readonly retire: readonly UnitState[];
  /** Everything that was rendered, and what an adopted relay needs besides. */
  readonly rendered: readonly RenderedFile[];
  /** The last run was killed before its end. */
  readonly isPending: boolean;
}

/**
 * Looks at everything.
 *
 * @throws ExitError 78 with what is in the way and how to move it
 */
export async function look(input: ApplyInput): Promise<Survey> {
  const { host, facts } = input;
  await requireSystemd(host);
  await checkKeys(input, facts.nginx.installed);
  const adoption = await readAdoption(host);
  const [record, unitFiles] = [await readRecord(host), adoption ? await unitFilesBefore(host, adoption) : []];
  const replacements = await unitsInstead(host, facts.programRoot, unitFiles);
  const rendered = [...input.rendered, ...adoptedFiles(adoption), ...replacements];
  const paths = [...rendered, ...(record?.files ?? [])].map(({ path }) => path);
  const current = await readCurrent(host, [...paths, ...unitFiles]);
  const gone = unitFiles.flatMap((path): Change[] => {
    const before = current.get(path);
    return before && !replacements.some((file) => file.path === path)
      ? [{ path, service: 'systemd', before, after: undefined }]
      : [];
  });
  const changes = [...planChanges(rendered, current, record), ...gone];
  if (!input.takeOver) await refuseForeign(host, changes, adoption);

  const goneUnits = changes.flatMap(({ path, after }) =>
    after && !unitFiles.includes(path) ? [] : (unitFileOf(path) ?? []),
  );
  const retire = await unitsInUse(host, [...goneUnits, ...(adoption ? STOPPED_UNITS : [])]);
  await refusePorts(input, retire);
  const units = relayUnits(
    facts.nginx.installed,
    rendered.map(({ path }) => path),
  );
  const states = await readUnitStates(host, units);
  requireInstalled(states.filter(({ name }) => !rendered.some(({ path }) => path === `/etc/systemd/system/${name}`)));
  // A unit of the relay before may have the name of one of ours, and hide it.
  const hidden = states.filter(({ name }) => goneUnits.includes(name)).map(({ name }) => name);
  const enable = units.filter((name) => hidden.includes(name) || unitsToEnable(states).includes(name));
  const wasKilled = await isPending(host);
  if (wasKilled)
    input.note('the last apply was interrupted: all servers and daemons are restarted with what there is now');
  return { changes, record, states, enable, retire, rendered, isPending: wasKilled };
}

/** Unit files of the relay before that are still there. Ours, by `chatmailctl units`, may have their names. */
async function unitFilesBefore(host: Host, adoption: Adoption): Promise<string[]> {
  const found = await Promise.all(
    replacedUnitPaths(adoption).map(async (path) => [path, await readText(host, path)] as const),
  );
  return found.flatMap(([path, text]) => (text === undefined || isUnitOfOurs(text) ? [] : [path]));
}

/** Without the Debian package there is nothing below a unit that goes: what `chatmailctl units` had to leave out takes its place. */
async function unitsInstead(host: Host, programRoot: string, unitFiles: readonly string[]): Promise<RenderedFile[]> {
  if (unitFiles.length === 0 || programRoot === PACKAGED_ROOT || (await hasPackage(host))) return [];
  const ours = await unitsOf(programRoot, packageVersion());
  return ours
    .filter(({ path }) => unitFiles.includes(path))
    .map(({ path, text }) => ({ path, text, mode: 0o644, service: 'systemd' }));
}

async function refusePorts({ host, config, facts }: ApplyInput, retire: readonly UnitState[]): Promise<void> {
  const ports = neededPorts(productionLayout(config, facts), facts.nginx.installed);
  const owners = await host.portOwners(ports);
  const staying = owners.filter(({ unit }) => !retire.some(({ name }) => name === unit));
  const conflicts = portConflicts(ports, staying);
  if (conflicts.length > 0) throw new ExitError(EXIT_CONFIG, conflicts.join('; '));
}

async function readCurrent(host: Host, paths: readonly string[]): Promise<Map<string, CurrentFile>> {
  const current = new Map<string, CurrentFile>();
  for (const path of new Set(paths)) {
    const found = await statPath(host, path);
    if (!found) continue;
    if (found.isDirectory)
      throw new ExitError(EXIT_CONFIG, `${path} is a directory, where a file of ours belongs; move it away`);
    const text = (await readText(host, path)) ?? '';
    current.set(path, { text, mode: found.mode, isLink: found.link !== undefined });
  }
  return current;
}

async function refuseForeign(host: Host, changes: readonly Change[], adoption: Adoption | undefined): Promise<void> {
  const knowledge = await readStockKnowledge(host);
  const foreign = foreignFiles(
    changes,
    (path, text) => isStock(path, text, knowledge) || isAdopted(adoption, path, text),
  );
  const lost = await readLostDovecotFiles(host, knowledge);
  if (foreign.length + lost.length === 0) return;
  const parts = [
    foreign.length > 0 ? `would replace ${foreign.join(', ')}` : '',
    lost.length > 0 ? `would no longer use ${lost.join(', ')}` : '',
  ].filter(Boolean);
  if (adoption === undefined && (await exists(host, INHERITED_CONFIG))) {
    throw new ExitError(
      EXIT_CONFIG,
      `this ${parts.join(' and ')}, of a relay that cmdeploy has set up: run chatmailctl adopt first`,
    );
  }
  throw new ExitError(
    EXIT_CONFIG,
    `this ${parts.join(' and ')}, which chatmailctl did not write; see the changes with --dry-run --take-over, and make them with --take-over, which keeps a backup`,
  );
}
