/**
 * [io] Our daemons, started the way an operator would: through `bin/`, with --config and --listen, as the user that owns
 * the mail. filtermail runs with Postfix's group, which makes the sockets it creates reachable for smtpd and nobody else.
 */

import { fileURLToPath } from 'node:url';
import { run } from '../run.ts';
import type { SystemAccount } from './accounts.ts';
import type { Guard } from './guard.ts';
import { ManagedProcess } from './managed-process.ts';

/** The checkout, or the installed package. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/\/$/, '');

export interface DaemonSpec {
  readonly name: 'filtermail' | 'doveauth' | 'metadata-push';
  /** Listener name to socket path. */
  readonly sockets: Readonly<Record<string, string>>;
  readonly account: Pick<SystemAccount, 'uid' | 'gid'>;
  readonly args?: readonly string[];
}

/**
 * Starts a daemon and resolves when it says that all its listeners accept.
 *
 * @throws DemoError `start`
 */
export async function startDaemon(
  spec: DaemonSpec,
  configPath: string,
  logFile: string,
  guard: Guard,
): Promise<ManagedProcess> {
  const listen = Object.entries(spec.sockets).flatMap(([name, path]) => ['--listen', `${name}=unix:${path}`]);
  const [command, ...args] = await asAccount(spec.account, [
    `${PACKAGE_ROOT}/bin/${spec.name}`,
    ...['--config', configPath],
    ...listen,
    ...(spec.args ?? []),
  ]);
  const daemon = new ManagedProcess({ name: spec.name, command: command!, args, logFile }, guard);
  try {
    await daemon.waitForLine(/\bready \w+=/);
    return daemon;
  } catch (error) {
    await daemon.stop();
    throw error;
  }
}

/** A command line that runs another as some account, without supplementary groups. */
export async function asAccount(
  account: Pick<SystemAccount, 'uid' | 'gid'>,
  command: readonly string[],
): Promise<string[]> {
  const drop = ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'];
  return [...drop, ...(await capabilityToRead(drop)), '--', ...command];
}

let known: string[] | undefined;

/**
 * A checkout in /root is closed to other accounts, so the daemons could not even read their own program. They are then
 * left the one capability that lets them in: to read (CAP_DAC_READ_SEARCH), or where a container withholds that, to
 * read and write (CAP_DAC_OVERRIDE). Only a demo may do so; an installed relay lies where everyone can read it.
 */
async function capabilityToRead(drop: readonly string[]): Promise<string[]> {
  if (known) return known;
  const choices = [
    [],
    ...['dac_read_search', 'dac_override'].map((name) => [`--inh-caps=+${name}`, `--ambient-caps=+${name}`]),
  ];
  for (const choice of choices) {
    const [command, ...args] = [...drop, ...choice, '--', 'head', '-c', '1', `${PACKAGE_ROOT}/package.json`];
    if ((await run(command!, args)).code === 0) {
      known = choice;
      return choice;
    }
  }
  return [];
}
