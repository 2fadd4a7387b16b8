/**
 * [io] Our daemons, compiled and started through `bin/` as an installed package starts them. From a checkout Node strips the
 * types itself, and its stripper alone takes 30 MB of memory: that is not what an operator runs.
 */

import { chmod, cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Program, runToEnd } from './process.ts';
import type { Workspace } from './workspace.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The flags of libexec/launch, for servers of the bench that are not daemons. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=128', '--v8-pool-size=1', '--disable-proto=throw'];

/** A copy of this package as npm would install it. */
export class InstalledPackage {
  readonly #workspace: Workspace;
  readonly #directory: string;

  private constructor(workspace: Workspace, directory: string) {
    this.#workspace = workspace;
    this.#directory = directory;
  }

  /** @throws BenchError with the compiler's words when the sources do not compile */
  static async build(workspace: Workspace): Promise<InstalledPackage> {
    const directory = workspace.path('package');
    await mkdir(directory);
    await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
    for (const name of ['package.json', 'bin', 'libexec']) {
      await cp(join(ROOT, name), join(directory, name), { recursive: true });
    }
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const output = ['--outDir', join(directory, 'dist'), '--noCheck'];
    await runToEnd(process.execPath, [tsc, '--project', join(ROOT, 'tsconfig.json'), ...output]);
    return new InstalledPackage(workspace, directory);
  }

  /** Path of a program that is no daemon. */
  program(name: string): string {
    return join(this.#directory, 'bin', name);
  }

  /** @param sockets listener name to socket path */
  async startDaemon(
    name: 'filtermail' | 'doveauth' | 'metadata-push',
    config: string,
    sockets: Readonly<Record<string, string>>,
  ): Promise<Program> {
    const listen = Object.entries(sockets).flatMap(([listener, path]) => ['--listen', `${listener}=unix:${path}`]);
    const command = [join(this.#directory, 'bin', name), '--config', config, ...listen];
    const daemon = await Program.start(this.#workspace, name, command, (output) => /\bready \w+=/.test(output));
    for (const path of Object.values(sockets)) await openToAll(path);
    return daemon;
  }

  /** Starts one of the bench's own servers with the same Node and the same flags as the daemons. */
  async startBareServer(name: string, socket: string): Promise<Program> {
    const file = join(this.#directory, 'dist/bench', `${name}.js`);
    const command = [process.execPath, ...NODE_FLAGS, '--conditions=chatmail-dist', file, socket];
    const server = await Program.start(this.#workspace, name, command, isReady);
    await openToAll(socket);
    return server;
  }
}

/** The bench's own servers say `ready` on a line alone. */
export function isReady(output: string): boolean {
  return /^ready$/m.test(output);
}

/** The directory of the socket belongs to root; smtpd runs as postfix. */
export async function openToAll(socket: string): Promise<void> {
  await chmod(socket, 0o666);
}
