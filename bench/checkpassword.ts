/**
 * [io] How long doveauth-checkpassword takes, from starting it to its end, beside `node -e 0` on the same machine: a login, which
 * verifies a password, and a look-up. bench/README.md says how to read the table.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { InstalledPackage } from './lib/daemon.ts';
import { readOptions } from './lib/options.ts';
import { describeMachine } from './lib/rounds.ts';
import { digits, markdownTable, median } from './lib/table.ts';
import { BenchError, runBenchmark, type Workspace } from './lib/workspace.ts';

const USAGE = 'usage: checkpassword.ts [--quick] [--rounds N]';
const USER = 'benchmark@[127.0.0.1]';
const REPLY = '/usr/lib/dovecot/checkpassword-reply';

interface Variant {
  readonly label: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly exitCode: number;
}

async function main(workspace: Workspace): Promise<void> {
  const { rounds } = readOptions(USAGE, { full: { rounds: 100, seconds: 1 }, quick: { rounds: 10, seconds: 1 } });
  const machine = describeMachine();
  const installed = await InstalledPackage.build(workspace);
  const sockets = { auth: 'auth', lastlogin: 'lastlogin', http: 'http' };
  for (const name of ['auth', 'lastlogin', 'http'] as const) sockets[name] = workspace.path(`${name}.sock`);
  await installed.startDaemon('doveauth', await writeConfig(workspace), sockets);

  const command = [installed.program('doveauth-checkpassword'), '--socket', sockets.auth, REPLY];
  const variants: Variant[] = [
    { label: 'node -e 0', command: [process.execPath, '-e', '0'], environment: {}, exitCode: 0 },
    { label: 'look-up', command, environment: { AUTHORIZED: '1' }, exitCode: 2 },
    { label: 'login', command, environment: {}, exitCode: 0 },
  ];
  // Creates the account, and warms up.
  for (const variant of variants.toReversed()) await timeOf(variant);

  const times = new Map<Variant, number[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < variants.length; i++) {
      const variant = variants[(round + i) % variants.length]!;
      times.get(variant)!.push(await timeOf(variant));
    }
  }
  const node = times.get(variants[0]!)!;
  const rows = variants.map((variant) => {
    const all = times.get(variant)!;
    const ratio = median(all.map((ms, round) => ms / node[round]!));
    return [variant.label, digits(Math.min(...all)), digits(median(all)), digits(ratio)];
  });
  console.log(`${machine}\n\n${markdownTable(['process', 'least ms', 'median ms', 'x node -e 0'], rows, 1)}`);
}

async function writeConfig(workspace: Workspace): Promise<string> {
  await mkdir(workspace.path('mailboxes'));
  const config = workspace.path('chatmail.ini');
  const limits = 'max_load_1m = 100000\nmin_available_memory = 0\nmin_free_disk_space = 0\n';
  const paths = `mailboxes_dir = ${workspace.path('mailboxes')}\nstate_dir = ${workspace.path('state')}\n`;
  await writeFile(config, `[params]\nmail_domain = 127.0.0.1\n${paths}${limits}`);
  return config;
}

/**
 * Runs it as Dovecot does: name and password on descriptor 3, the reply on 4. Milliseconds.
 *
 * @throws BenchError when it does not end as it should
 */
async function timeOf({ label, command, environment, exitCode }: Variant): Promise<number> {
  const begin = performance.now();
  const child = spawn(command[0]!, command.slice(1), {
    env: { ORIG_UID: String(process.getuid?.()), ...environment },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
  });
  const credentials = child.stdio[3] as Duplex;
  // node(1) does not read them.
  credentials.on('error', () => {});
  credentials.end(`${USER}\0password1\0\0`);
  const [[code]] = await Promise.all([once(child, 'exit'), buffer(child.stdio[4] as Duplex)]);
  if (code !== exitCode) throw new BenchError(`${label} ended with ${code} instead of ${exitCode}`);
  return performance.now() - begin;
}

await runBenchmark(main);
