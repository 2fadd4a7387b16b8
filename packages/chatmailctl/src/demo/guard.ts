/**
 * [io] What makes sure that a demo leaves nothing behind, even when it is killed: a shell in a session of its own, told of
 * every process we start, that waits for our end of its pipe to close. Then it ends what still runs and removes the directory.
 * The normal end takes the same way, so the clean-up after a crash is not a second, untested one.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Arguments: the directory to remove. Input: `start PID` and `end PID`, PID leading a process group of its own.
 * Groups get SIGTERM, five seconds, SIGKILL.
 */
const GUARD_SCRIPT = `
trap '' HUP INT TERM
groups=' '
while read -r verb pid; do
  case $verb in
    start) groups="$groups$pid " ;;
    end) groups="\${groups%% "$pid" *} \${groups#* "$pid" }" ;;
  esac
done
signal() { for pid in $groups; do kill -s "$1" -- "-$pid" 2>/dev/null && alive=1; done; }
signal TERM
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
  alive=0
  signal 0
  [ "$alive" = 1 ] || break
  sleep 0.2
done
signal KILL
rm -rf -- "$1" || { sleep 0.2; rm -rf -- "$1"; }
`;

export class Guard {
  readonly #shell: ChildProcess;

  /** @param directory removed with all that is in it when the guard's work begins */
  constructor(directory: string) {
    this.#shell = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'chatmail-demo-guard', directory], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // The guard must not be what keeps us from ending; its pipe closes with us.
    this.#shell.unref();
    this.#shell.stdin?.on('error', () => {});
  }

  /** Hands the leader of a process group into the guard's care. One that comes too late for that is ended at once. */
  started(pid: number): void {
    if (this.#shell.stdin?.writable) this.#shell.stdin.write(`start ${pid}\n`);
    else process.kill(-pid, 'SIGKILL');
  }

  /** Takes a group that has ended out of it, before its number is used again. */
  ended(pid: number): void {
    if (this.#shell.stdin?.writable) this.#shell.stdin.write(`end ${pid}\n`);
  }

  /** Ends what still runs, removes the directory, and resolves when both are done. */
  async finish(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    this.#shell.ref();
    const exited = once(this.#shell, 'exit');
    this.#shell.stdin?.end();
    await exited;
  }
}
