/**
 * [io] A container with a real systemd, as a server somebody rented: booted by systemd-nspawn from a layer of its own over a
 * cached image (image.ts), with one network card whose other end is the only thing the host sees of it. Nothing is
 * registered, shared or left: mounts and network are in namespaces that end with it, and a guard ends it when we are killed.
 */

import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import { until } from '../../packages/chatmailctl/src/demo/wait.ts';

/** The disk that mail is on, of its own so that it can be filled; a relay wants 1 GB free (min_free_disk_space). */
const HOME_BYTES = 2 * 1024 ** 3;

/**
 * Runs in mount and network namespaces of its own. $1 directory, $2 lower layers, $3 our end of the cable, $4 network (three
 * octets), $5 its cgroups. A container that reboots ends with 133 (systemd-nspawn(1), --keep-unit) and is started again.
 */
const SUPERVISOR = `set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
truncate -s ${HOME_BYTES} "$1/home.ext4"
mkfs.ext4 -q "$1/home.ext4"
mount -o loop "$1/home.ext4" "$1/home"
ip link set lo up
ip link add host0 type veth peer name "$3" netns $PPID
ip address add "$4.2/24" dev host0
ip link set host0 up
nsenter --target $PPID --net sh -c "ip address add $4.1/24 dev $3 && ip link set $3 up"
for group in $5; do
  mkdir "$group"
  echo $$ >"$group/cgroup.procs"
done
trap 'kill "$container" || :' TERM
status=133
while [ $status = 133 ]; do
  systemd-nspawn --quiet --directory="$1/root" --boot --register=no --keep-unit --link-journal=no --resolv-conf=off \\
    --timezone=off --console=pipe --machine="$3" --hostname=relay --capability=CAP_NET_ADMIN \\
    --network-namespace-path=/proc/$$/ns/net --bind-ro="$1/host:/mnt" --bind="$1/home:/home" </dev/null &
  container=$!
  status=0
  wait $container || status=$?
  while kill -0 $container 2>/dev/null; do wait $container || status=$?; done
done
for group in $5; do
  echo $$ >"$group/../cgroup.procs"
  find "$group" -depth -type d -exec rmdir {} +
done`;

/** systemd is to see cgroup v2 alone, whatever the host has: Debian 13 has no other. */
const ENVIRONMENT = { PATH: process.env.PATH, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' };

/** Not those of the host. */
const INSIDE = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8', 'DEBIAN_FRONTEND=noninteractive'];

const BOOT_MS = 180_000;

/**
 * A host that knows the first version of cgroups, even beside the second, has its memory controller there. What systemd inside
 * makes must be below a cgroup of the container's own in the second, or two containers would share it.
 */
const CGROUP_1 = existsSync('/sys/fs/cgroup/memory');
const MEMORY_CGROUPS = CGROUP_1 ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup';
const CGROUPS = CGROUP_1 ? [MEMORY_CGROUPS, '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'] : [MEMORY_CGROUPS];

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Container {
  /** Of its network card; the host's end of the cable has 1 as its last octet. */
  readonly address: string;
  /** Ours: `host/` is `/mnt` inside, `log/` and `clients/` are for the clients outside. */
  readonly directory: string;
  readonly guard: Guard;
  readonly clients: ManagedProcess[] = [];
  readonly #supervisor: ManagedProcess;
  readonly #cgroup: string;

  private constructor(directory: string, lower: readonly string[]) {
    const network = `10.${randomInt(100, 250)}.${randomInt(1, 250)}`;
    const cable = `cm${network.slice(3).replace('.', '-')}`;
    this.directory = directory;
    this.address = `${network}.2`;
    this.#cgroup = `${MEMORY_CGROUPS}/${cable}`;
    const cgroups = CGROUPS.map((parent) => `${parent}/${cable}`).join(' ');
    this.guard = new Guard(directory);
    this.#supervisor = new ManagedProcess(
      {
        name: 'systemd-nspawn',
        command: 'unshare',
        args: ['--mount', '--net', 'sh', '-c', SUPERVISOR, 'sh', directory, lower.join(':'), cable, network, cgroups],
        logFile: `${directory}/log/console.log`,
        env: ENVIRONMENT,
      },
      this.guard,
    );
  }

  /** Boots one, with the files of `host/` as /mnt inside; resolves when systemd has started what it wanted to. */
  static async boot(lower: readonly string[]): Promise<Container> {
    const directory = await mkdtemp('/var/tmp/chatmail-machine-');
    for (const name of ['upper', 'work', 'root', 'home', 'host', 'log', 'clients']) await mkdir(`${directory}/${name}`);
    const container = new Container(directory, lower);
    try {
      await container.#booted();
      return container;
    } catch (error) {
      await container.stop();
      throw error;
    }
  }

  async #booted(before?: number): Promise<void> {
    await this.#supervisor.during(
      until(async () => {
        const leader = await this.#leader();
        if (leader === undefined || leader === before) return false;
        const { stdout } = await this.attempt('systemctl is-system-running');
        return stdout === 'running' || stdout === 'degraded';
      }, BOOT_MS),
      BOOT_MS,
    );
  }

  /** Pid, seen from the host, of what is pid 1 inside. */
  async #leader(): Promise<number | undefined> {
    for (const nspawn of await childrenOf(this.#supervisor.child.pid!)) {
      for (const pid of await childrenOf(nspawn)) {
        const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
        if (/^Name:\tsystemd$/m.test(status) && /^NSpid:.*\t1$/m.test(status)) return pid;
      }
    }
    return undefined;
  }

  /** Runs a shell script inside as root and says how it ended. */
  async attempt(script: string, timeoutMs = 60_000): Promise<Outcome> {
    const leader = await this.#leader();
    if (leader === undefined) return { status: -1, stdout: '', stderr: 'the container does not run' };
    const enter = [`--target=${leader}`, '--all', 'env', '-i', ...INSIDE];
    return await new Promise((resolve) => {
      const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 2 ** 28 } as const;
      const child = execFile('nsenter', [...enter, 'sh', '-c', `cd; ${script}`], options, (error, stdout, stderr) => {
        const late = error?.killed ? `\nstill ran after ${timeoutMs / 1000} s` : '';
        resolve({ status: child.exitCode ?? -1, stdout: stdout.trimEnd(), stderr: `${stderr.trimEnd()}${late}` });
      });
      child.stdin?.end();
    });
  }

  /**
   * As {@link attempt}, for what must succeed: returns what was printed.
   *
   * @throws Error with both outputs and the last lines of the journal
   */
  async run(script: string, timeoutMs?: number): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(script, timeoutMs);
    if (status === 0) return stdout;
    const journal = await this.journal('-n 25');
    throw new Error(`inside, ${script} ended with ${status}:\n${stdout.slice(-3000)}\n${stderr}\njournal:\n${journal}`);
  }

  /** Lines of its journal, chosen by words of journalctl(1). */
  async journal(words: string): Promise<string> {
    return (await this.attempt(`journalctl --no-pager --quiet --output=short-iso ${words}`)).stdout;
  }

  /** Reboots it from inside, as an operator would. */
  async reboot(): Promise<void> {
    const before = await this.#leader();
    await this.attempt('systemctl reboot');
    await this.#booted(before);
  }

  /** Caps the memory of everything in it, or with `undefined` lets it have all there is. */
  async limitMemory(bytes: number | undefined): Promise<void> {
    if (CGROUP_1) await writeFile(`${this.#cgroup}/memory.limit_in_bytes`, `${bytes ?? -1}`);
    else await writeFile(`${this.#cgroup}/memory.max`, `${bytes ?? 'max'}`);
  }

  /** How often the kernel had to kill something in it for lack of memory. */
  async outOfMemory(): Promise<number> {
    const file = CGROUP_1 ? 'memory.oom_control' : 'memory.events';
    return Number(/^oom_kill (\d+)/m.exec(await readFile(`${this.#cgroup}/${file}`, 'utf8'))?.[1]);
  }

  /** Ends the clients, then the container, and removes what it wrote. */
  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
    await this.#supervisor.stop();
    // The cgroup's last process may be gone a moment after its parent knows.
    await sleep(50);
    await this.guard.finish();
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}
