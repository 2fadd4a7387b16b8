/**
 * [io] The temporary directory of one benchmark and the programs it starts. A guard process removes and ends them whatever
 * happens: success, failure, Ctrl-C, or SIGKILL.
 */

import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';

/** A benchmark that cannot go on; the message is one sentence for whoever started it. */
export class BenchError extends Error {
  override readonly name = 'BenchError';
}

export class Workspace {
  readonly directory: string;
  readonly guard: Guard;

  private constructor(directory: string) {
    this.directory = directory;
    this.guard = new Guard(directory);
  }

  /** Makes a directory that other users, such as postfix, may pass through but not list. */
  static async create(): Promise<Workspace> {
    const workspace = new Workspace(await mkdtemp(join(tmpdir(), 'chatmail-bench-')));
    await chmod(workspace.directory, 0o711);
    return workspace;
  }

  path(name: string): string {
    return join(this.directory, name);
  }
}

/** Runs a benchmark in a workspace of its own and sets the exit code. */
export async function runBenchmark(work: (workspace: Workspace) => Promise<void>): Promise<void> {
  const workspace = await Workspace.create();
  let isInterrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isInterrupted = true;
      void workspace.guard.finish().finally(() => process.exit(130));
    });
  }
  try {
    await work(workspace);
  } catch (error) {
    // What fails after an interruption fails because of it.
    if (isInterrupted) return;
    process.exitCode = 1;
    console.error(error instanceof BenchError ? `bench: ${error.message}` : error);
  } finally {
    await workspace.guard.finish();
  }
}
