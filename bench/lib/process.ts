/**
 * [io] Programs under measurement: started in a process group of their own, ended with all their children, and their CPU
 * time and peak memory as /proc has them (proc(5)).
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { BenchError, type Workspace } from './workspace.ts';

const execFileAsync = promisify(execFile);

/** Clock ticks per second in /proc/PID/stat: USER_HZ, 100 on every Linux architecture Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * Runs a program to its end and returns its standard output.
 *
 * @throws BenchError with the program's own words
 */
export async function runToEnd(command: string, args: readonly string[]): Promise<string> {
  try {
    return (await execFileAsync(command, args, { maxBuffer: 64 * 1024 * 1024 })).stdout;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new BenchError(`${command} failed: ${stderr?.trim() || message}`);
  }
}

export class Program {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #guard: Guard;
  #output = '';
  #readyMb = NaN;

  private constructor(name: string, child: ChildProcess, guard: Guard) {
    this.name = name;
    this.#guard = guard;
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-4096);
      });
    }
  }

  /**
   * Starts a program and resolves when `isReady` does, given the last 4 KB of its output.
   *
   * @throws BenchError when it ends first or is not ready within 20 s
   */
  static async start(
    { guard }: Workspace,
    name: string,
    command: readonly string[],
    isReady: (output: string) => boolean | Promise<boolean>,
  ): Promise<Program> {
    const child = spawn(command[0]!, command.slice(1), {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const program = new Program(name, child, guard);
    await once(child, 'spawn');
    guard.started(program.pid);
    for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 20) {
      if (await isReady(program.#output)) {
        program.#readyMb = await program.#statusMb('VmRSS');
        return program;
      }
      if (!program.isRunning()) throw new BenchError(`${name} ended at its start: ${program.#output.trim()}`);
      await sleep(20);
    }
    await program.kill();
    throw new BenchError(`${name} was not ready within 20 s: ${program.#output.trim()}`);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Ends the group at once: libmilter alone takes 5 s to notice a SIGTERM. */
  async kill(): Promise<void> {
    while (killGroup(this.pid)) await sleep(5);
    this.#guard.ended(this.pid);
  }

  /** CPU time so far of the process, its threads and its ended children, ms (in steps of 10). */
  async cpuMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.pid}/stat`, 'latin1');
    // The second field, the name in parentheses, may hold blanks; utime, stime, cutime and cstime are fields 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return (ticks * 1000) / TICKS_PER_SECOND;
  }

  /** Resident memory, MB: when it was ready, and the most it ever had (VmHWM), as in `52 → 81`. */
  async memory(): Promise<string> {
    return `${this.#readyMb.toFixed(0)} → ${(await this.#statusMb('VmHWM')).toFixed(0)}`;
  }

  async #statusMb(field: 'VmHWM' | 'VmRSS'): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'latin1');
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1];
    return (Number(kilobytes) * 1024) / 1e6;
  }
}

/** False when the group has no process left. */
function killGroup(pid: number): boolean {
  try {
    process.kill(-pid, 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}
