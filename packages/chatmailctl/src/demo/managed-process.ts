/**
 * [io] A program the demo starts: leader of its own process group, so that it is ended with all its children and is not
 * reached by a Ctrl-C of the terminal (we stop things in order). Its output goes to a log file; the end of that is the
 * best explanation when it does not come up.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { DemoError } from './demo-error.ts';
import type { Guard } from './guard.ts';

export interface ProgramSpec {
  /** As it is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
  /** `pipe`: the caller talks to stdin and stdout; otherwise both outputs are logged. */
  readonly stdio?: 'pipe' | 'log';
}

/** How long a program may take to end after SIGTERM before its group gets SIGKILL. */
const STOP_MS = 12_000;

/** How long a program may take to do something at its start. A busy machine takes many times what it should. */
const START_MS = 60_000;

export class ManagedProcess {
  readonly child: ChildProcess;
  /** Resolves when the program has ended, with a phrase that says how. */
  readonly ended: Promise<string>;
  readonly #spec: ProgramSpec;
  readonly #guard: Guard;
  readonly #lineWatchers = new Set<(line: string) => void>();
  #running = true;
  #stopped: Promise<void> | undefined;

  constructor(spec: ProgramSpec, guard: Guard) {
    this.#spec = spec;
    this.#guard = guard;
    const log = createWriteStream(spec.logFile, { flags: 'a' });
    this.child = spawn(spec.command, spec.args, {
      cwd: '/',
      detached: true,
      env: spec.env ?? { PATH: process.env.PATH },
      stdio: [spec.stdio === 'pipe' ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    if (this.child.pid !== undefined) guard.started(this.child.pid);
    if (spec.stdio !== 'pipe') this.#keepLines(this.child.stdout!, log);
    this.#keepLines(this.child.stderr!, log);
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(`could not be started: ${error.message}`));
      this.child.once('exit', (code, signal) => resolve(signal ? `was ended by ${signal}` : `exited with ${code}`));
    });
    this.ended.then(() => {
      this.#running = false;
    });
  }

  get name(): string {
    return this.#spec.name;
  }

  get running(): boolean {
    return this.#running;
  }

  #keepLines(stream: NodeJS.ReadableStream, log: WriteStream): void {
    createInterface({ input: stream }).on('line', (line) => {
      log.write(`${line}\n`);
      for (const watcher of this.#lineWatchers) watcher(line);
    });
  }

  /**
   * Resolves when a line of output matches.
   *
   * @throws DemoError `start` when the program ends first or `timeoutMs` pass
   */
  async waitForLine(pattern: RegExp, timeoutMs = START_MS): Promise<void> {
    let watcher: (line: string) => void = () => {};
    const seen = new Promise<void>((resolve) => {
      watcher = (line) => pattern.test(line) && resolve();
      this.#lineWatchers.add(watcher);
    });
    try {
      await this.during(seen, timeoutMs);
    } finally {
      this.#lineWatchers.delete(watcher);
    }
  }

  /**
   * Waits for something that only makes sense while the program runs.
   *
   * @throws DemoError `start` when the program ends first or `timeoutMs` pass
   */
  async during<T>(wanted: Promise<T>, timeoutMs = START_MS): Promise<T> {
    const timer = new AbortController();
    const late = sleep(timeoutMs, `did not answer within ${timeoutMs / 1000} s`, { signal: timer.signal });
    late.catch(() => {});
    const trouble = Promise.race([this.ended, late]).then(async (how) => {
      throw new DemoError('start', `${this.#spec.name} ${how}${await this.#lastLines()}`);
    });
    trouble.catch(() => {});
    try {
      return await Promise.race([wanted, trouble]);
    } finally {
      timer.abort();
    }
  }

  async #lastLines(): Promise<string> {
    const text = await readFile(this.#spec.logFile, 'utf8').catch(() => '');
    const lines = text.trimEnd().split('\n').slice(-8);
    return text === '' ? '' : `; its last words were:\n  ${lines.join('\n  ')}`;
  }

  /** SIGTERM, then SIGKILL to whatever is left of the group. Resolves when the whole group is gone; may be called again. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const pid = this.child.pid;
    if (pid === undefined) return;
    if (this.#running) this.child.kill('SIGTERM');
    const timer = new AbortController();
    await Promise.race([this.ended, sleep(STOP_MS, undefined, { signal: timer.signal }).catch(() => {})]);
    timer.abort();
    // A master may be gone before its children.
    for (let waitedMs = 0; await groupLives(pid); waitedMs += 20) {
      signalGroup(pid, waitedMs < 3000 ? 'SIGTERM' : 'SIGKILL');
      await sleep(20);
    }
    this.#guard.ended(pid);
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Gone meanwhile.
  }
}

/** Whether a process group has a member that is more than a zombie, which only init can do away with (proc(5) stat). */
async function groupLives(pid: number): Promise<boolean> {
  try {
    process.kill(-pid, 0);
  } catch {
    return false;
  }
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'latin1').catch(() => '');
    const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(group) === pid && state !== 'Z' && state !== 'X') return true;
  }
  return false;
}
