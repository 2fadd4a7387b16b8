/**
 * [io] What a container boots from: a fresh Debian by debootstrap, and over it the lists and packages that `apt` needs to
 * install our .deb without a network. Both are made once, into a cache directory, and never changed: a container writes to
 * a layer of its own. The mirror is debootstrap's; a proxy is taken from the environment.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../integration/dict-dovecot.ts';

export type Suite = 'bookworm' | 'trixie';

/** What makes a minimal Debian a machine: an init, and what every installation has beside it. */
const BASE = ['ca-certificates', 'dbus', 'iproute2', 'procps', 'systemd', 'systemd-sysv'];

/** Downloads what the package $3 depends on into the layer $2 over the tree $1. */
const DOWNLOAD = `set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/tmp"
cp "$3" "$2/root/tmp/package.deb"
cp /etc/resolv.conf "$2/root/tmp/resolv.conf"
chroot "$2/root" sh -c '
  set -e
  export DEBIAN_FRONTEND=noninteractive
  cat /tmp/resolv.conf >/etc/resolv.conf
  apt-get -q update
  apt-get -q -y install --download-only /tmp/package.deb
  : >/etc/resolv.conf
'`;

/** Directories to lay over each other, the uppermost first, as overlayfs wants them. */
export async function image(suite: Suite, deb: string): Promise<string[]> {
  const cache = join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'chatmail-sidecars-test');
  const { stdout: wanted } = await run('dpkg-deb', ['--field', deb, 'Depends', 'Recommends', 'Pre-Depends']);
  const base = join(cache, `machine-${suite}-${key(BASE.join())}`);
  const packages = join(cache, `machine-${suite}-${key(BASE.join(), wanted)}-packages`);
  await mkdir(cache, { recursive: true });
  await make(base, async (building) => {
    await run('debootstrap', ['--variant=minbase', `--include=${BASE.join()}`, suite, building]);
    await writeFile(join(building, 'etc/hostname'), 'relay\n');
    await rm(join(building, 'var/cache/apt/archives'), { recursive: true });
    // mkdtemp made it private; it is going to be the / of unprivileged processes.
    await chmod(building, 0o755);
  });
  await make(packages, async (building) => {
    for (const name of ['upper', 'work', 'root']) await mkdir(join(building, name));
    await run('unshare', ['--mount', 'sh', '-c', DOWNLOAD, 'sh', base, building, deb], { maxBuffer: 2 ** 26 });
  });
  return [join(packages, 'upper'), base];
}

/** Makes a directory of the cache, unless it is there. One that is there is complete: it was renamed to its name. */
async function make(directory: string, fill: (building: string) => Promise<void>): Promise<void> {
  if (existsSync(directory)) return;
  const building = await mkdtemp(`${directory}.`);
  try {
    await fill(building);
    // Another run may have been quicker: then theirs is as good.
    await rename(building, directory).catch(() => rm(building, { recursive: true }));
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    throw error;
  }
}

function key(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 12);
}
