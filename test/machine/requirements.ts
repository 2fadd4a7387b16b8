/**
 * [io] Says on standard output why this machine cannot run the machine tests, or nothing when it can. Installs
 * systemd-nspawn and debootstrap where they are missing, and tries what the containers are going to do.
 */

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { aptInstall } from '../integration/debian13.ts';
import { run } from '../integration/dict-dovecot.ts';

const PROGRAMS = { 'systemd-container': '/usr/bin/systemd-nspawn', debootstrap: '/usr/sbin/debootstrap' };

/** What a container needs of the kernel: $1 is an empty directory on disk. */
const TRIAL = `set -e
mount --make-rprivate /
cd "$1"
mkdir lower upper work root disk
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root
truncate -s 8M disk.ext4
mkfs.ext4 -q disk.ext4
mount -o loop disk.ext4 disk
ip link add cm-trial type veth peer name cm-trial-2`;

async function obstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'they boot containers, which takes root';
  if (!existsSync('/sys/fs/cgroup')) return 'there are no cgroups under /sys/fs/cgroup';
  for (const [name, program] of Object.entries(PROGRAMS)) {
    if (existsSync(program)) continue;
    const failed = await aptInstall(name).then(
      () => !existsSync(program),
      () => true,
    );
    if (failed) return `${program} is missing, and apt-get install ${name} fails`;
  }
  const directory = await mkdtemp('/var/tmp/chatmail-machine-trial-');
  try {
    await run('unshare', ['--mount', '--net', 'sh', '-c', TRIAL, 'sh', directory]);
    return undefined;
  } catch (error) {
    return `no overlayfs, loop devices or network namespaces here: ${(error as { stderr?: string }).stderr?.trim()}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const reason = await obstacle();
if (reason !== undefined) console.log(reason);
