/**
 * [io] The benchmarks' C programs, compiled into the workspace, and the Debian packages they need.
 */

import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { runToEnd } from './process.ts';
import { BenchError, type Workspace } from './workspace.ts';

const BENCH = join(import.meta.dirname, '..');

/**
 * Compiles bench/NAME.c and returns the program's path.
 *
 * @param libraries linker names, as in `milter` for libmilter
 * @throws BenchError with the compiler's words
 */
export async function compile(
  workspace: Workspace,
  source: string,
  libraries: readonly string[] = [],
): Promise<string> {
  const program = workspace.path(basename(source, '.c'));
  const flags = ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-pthread'];
  await runToEnd('cc', [...flags, '-o', program, join(BENCH, source), ...libraries.map((name) => `-l${name}`)]);
  return program;
}

/**
 * Installs Debian packages whose file is not there, with a sentence that says so. For compilers and headers: a package with
 * a service in it would start that, so those belong to {@link requirePackages}.
 *
 * @param packages package name to a file it brings
 * @throws BenchError when apt-get is missing or fails
 */
export async function ensurePackages(packages: Readonly<Record<string, string>>): Promise<void> {
  const missing: string[] = [];
  for (const [name, file] of Object.entries(packages)) {
    await access(file).catch(() => missing.push(name));
  }
  if (missing.length === 0) return;
  const byHand = `apt-get install ${missing.join(' ')}`;
  if (process.getuid?.() !== 0) throw new BenchError(`${missing.join(', ')} missing: run this as root, or ${byHand}`);
  console.error(`installing ${missing.join(', ')} with apt-get`);
  const install = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=120', 'install', '--no-install-recommends', ...missing];
  const aptGet = (...words: string[]) => runToEnd('env', ['DEBIAN_FRONTEND=noninteractive', 'apt-get', ...words]);
  // The package lists of a fresh machine are empty.
  await aptGet(...install).catch(() => aptGet('-q', 'update').then(() => aptGet(...install)));
}

/** @throws BenchError naming what is not installed */
export async function requirePackages(packages: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, file] of Object.entries(packages)) {
    await access(file).catch(() => {
      throw new BenchError(
        `${name} is not installed: apt-get install ${name} (npm run demo does it without starting it)`,
      );
    });
  }
}
