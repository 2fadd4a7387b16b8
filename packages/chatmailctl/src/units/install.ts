/**
 * [io] Puts the units of an installation by npm in place, with the users and directories they need, and takes them away again. A
 * second run changes nothing. Nothing is enabled here: that is for `chatmailctl apply`, when there is a configuration.
 */

import { readdir, readFile, realpath, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EXIT_CONFIG, ExitError } from '#core';
import { isAdopted, readAdoption } from '../adopt/adoption-file.ts';
import { INHERITED_CONFIG, isUnitOfCmdeploy } from '../adopt/inherited.ts';
import { exists, type Host, mustRun, readText, writePath } from '../apply/host.ts';
import { requireSystemd } from '../apply/services.ts';
import {
  isUnitOfOurs,
  PACKAGED_ROOT,
  planUnits,
  SYSUSERS,
  servicesIn,
  TMPFILES,
  UNIT_DIRECTORY,
  type UnitFile,
  wantedFiles,
} from './plan.ts';

/** What the first versions rendered; the socket has had password hashes on it all the time. debian/postinst looks for the same. */
const WEB_SERVER_DROP_IN = '/etc/systemd/system/doveauth-http.socket.d/50-chatmail.conf';

export interface UnitsOptions {
  readonly host: Host;
  /** Where bin/ and systemd/ of this installation are. */
  readonly root: string;
  readonly version: string;
  /** Only says what would be done. */
  readonly dryRun: boolean;
  readonly print: (line: string) => void;
}

/**
 * Installs the units, or brings them up to date.
 *
 * @throws ExitError 78 when the Debian package has done so, when the daemons could not reach the installation, when a file of
 *   somebody else is in the way, or when a program of systemd fails
 */
export async function installUnits({ host, root, version, dryRun, print }: UnitsOptions): Promise<void> {
  await requireSystemd(host);
  await requireNoPackage(host);
  await requireReachable(await realpath(root));
  const wanted = await unitsOf(root, version);
  const adoption = await readAdoption(host);
  const { write, remove, left, foreign } = planUnits(wanted, await readExisting(host, wanted), (path, text) =>
    isAdopted(adoption, path, text),
  );
  if (foreign.length > 0) await refuseForeign(host, foreign);
  const would = dryRun ? 'would be ' : '';
  for (const { path } of write) print(`${path}: ${would}written`);
  for (const path of remove) print(`${path}: ${would}removed`);
  for (const path of left) print(`${path}: of the relay before; chatmailctl apply replaces it`);
  if (write.length + remove.length === 0) print('All units are in place; nothing to do.');
  if (dryRun) return;

  for (const { path, text } of write) await writePath(host, path, text, { mode: 0o644 });
  const gone = remove.map((path) => basename(path));
  if (gone.length > 0) await mustRun(host, 'systemctl', ['disable', '--now', '--quiet', ...gone]);
  for (const path of remove) await unlink(host.root + path);
  await mustRun(host, 'systemd-sysusers', [SYSUSERS]);
  await mustRun(host, 'systemd-tmpfiles', ['--create', TMPFILES]);
  if ((await readText(host, WEB_SERVER_DROP_IN))?.includes('www-data'))
    print("Run chatmailctl apply now: until then, every program of the web server's user can read password hashes");
  if (write.length + remove.length === 0) return;
  await mustRun(host, 'systemctl', ['daemon-reload']);
  // Their sockets stay open: who comes meanwhile waits.
  const changed = servicesIn(write.map(({ path }) => path));
  if (changed.length > 0) await mustRun(host, 'systemctl', ['try-restart', ...changed]);
  if (!(await exists(host, '/etc/chatmail/chatmail.ini'))) {
    const first = (await exists(host, INHERITED_CONFIG)) ? 'adopt' : 'init';
    print(`Next: chatmailctl ${first}, then chatmailctl apply`);
  }
}

/** The unit files as the installation in `root` wants them. */
export async function unitsOf(root: string, version: string): Promise<UnitFile[]> {
  const program = await realpath(root);
  return wantedFiles(await shippedFiles(program), program, version);
}

/** Ends the daemons and takes the units away. Users, directories, mail and keys stay. */
export async function removeUnits({ host, dryRun, print }: UnitsOptions): Promise<void> {
  await requireSystemd(host);
  const ours = [...(await readExisting(host, []))].filter(([, text]) => isUnitOfOurs(text)).map(([path]) => path);
  for (const path of ours) print(`${path}: ${dryRun ? 'would be ' : ''}removed`);
  if (ours.length === 0) print('There are no units of chatmailctl units; nothing to do.');
  if (dryRun || ours.length === 0) return;
  const units = ours.filter((path) => path.startsWith(`${UNIT_DIRECTORY}/`)).map((path) => basename(path));
  // Sockets and timers first: what they would start again must not come back.
  const order = [...units].sort((a, b) => Number(a.endsWith('.service')) - Number(b.endsWith('.service')));
  if (order.length > 0) await mustRun(host, 'systemctl', ['disable', '--now', '--quiet', ...order]);
  for (const path of ours) await unlink(host.root + path);
  await mustRun(host, 'systemctl', ['daemon-reload']);
  print('The users vmail and push-gateway, mail, keys and configuration stay.');
}

/** Whether the Debian package is on the machine, with units of its own. */
export async function hasPackage(host: Host): Promise<boolean> {
  return await exists(host, `${PACKAGED_ROOT}/bin/chatmailctl`);
}

async function requireNoPackage(host: Host): Promise<void> {
  if (!(await hasPackage(host))) return;
  throw refusal(
    'the Debian package chatmail-sidecars is installed and brings its own units; remove it first to run this installation',
  );
}

/** Daemons run as vmail, and must get to their program. @throws ExitError 78 naming the directory that is closed */
async function requireReachable(program: string): Promise<void> {
  for (let directory = program; directory !== '/'; directory = dirname(directory)) {
    const { mode } = await stat(directory);
    if ((mode & 0o001) === 0) {
      throw refusal(
        `the daemons, which run as vmail, cannot get to ${program}: ${directory} is closed to them; install the package elsewhere (npm install -g --prefix /usr/local) or open it (chmod o+x ${directory})`,
      );
    }
  }
}

async function refuseForeign(host: Host, foreign: readonly string[]): Promise<never> {
  const paths = foreign.join(', ');
  if (foreign.every(isUnitOfCmdeploy) && (await exists(host, INHERITED_CONFIG))) {
    throw refusal(
      `${paths}: of the relay that cmdeploy has set up here; run chatmailctl adopt first, then chatmailctl units again, then chatmailctl apply, which replaces them`,
    );
  }
  throw refusal(`${paths}: not written by chatmailctl units; move what is there to another place first`);
}

async function shippedFiles(program: string): Promise<Map<string, string>> {
  const directory = join(program, 'systemd');
  const names = (await readdir(directory)).sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')] as const)),
  );
}

/** Texts of what is at the wanted paths, and of every unit and fragment of ours. */
async function readExisting(host: Host, wanted: readonly { path: string }[]): Promise<Map<string, string>> {
  const names = await readdir(host.root + UNIT_DIRECTORY, { withFileTypes: true }).catch(() => []);
  const units = names.filter((entry) => entry.isFile()).map(({ name }) => `${UNIT_DIRECTORY}/${name}`);
  const wantedPaths = new Set(wanted.map(({ path }) => path));
  const found = new Map<string, string>();
  for (const path of new Set([...wantedPaths, ...units, SYSUSERS, TMPFILES])) {
    const text = await readText(host, path);
    if (text !== undefined && (wantedPaths.has(path) || isUnitOfOurs(text))) found.set(path, text);
  }
  return found;
}

function refusal(message: string): ExitError {
  return new ExitError(EXIT_CONFIG, message);
}
