/**
 * [io] A Debian 13 with Dovecot 2.4 on a Debian 12 host: debootstrapped once into a cache directory, used through chroot in a
 * mount namespace of each command's own, so nothing of it is ever changed and nothing stays mounted. Needs root.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './dict-dovecot.ts';

/** libatomic1 is for the pinned Node, where Dovecot runs a program of ours. */
const PACKAGES = ['dovecot-auth-lua', 'dovecot-imapd', 'dovecot-lmtpd', 'libatomic1'];
/** Where our programs are, at the same path inside. */
const CHECKOUT = join(import.meta.dirname, '../..');
/** Part of the name in the cache: another list of packages is another tree. */
const KEY = createHash('sha256').update(PACKAGES.join()).digest('hex').slice(0, 12);

/** Binds two directories to the same paths in the tree, then becomes the command: $1 tree, $2 ours, $3 checkout, $4... command. */
const ENTER = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/tmp"
for directory in "$2" "$3"; do
  mkdir -p "$1$directory"
  mount --bind "$directory" "$1$directory"
done
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1; shift 3
exec chroot "$root" "$@"`;

export interface Debian13 {
  /**
   * A command line that runs another in there, with one directory of ours and the checkout at the same paths; its pid is the
   * command's.
   */
  inside(directory: string, command: readonly string[]): string[];
}

/** Finds the tree in the cache, or makes it, which takes a minute or two and the Debian mirror. */
export async function debian13(): Promise<Debian13> {
  const cache = join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'chatmail-sidecars-test');
  const tree = join(cache, `debian-13-${KEY}`);
  if (!existsSync(tree)) await bootstrap(cache, tree);
  return {
    inside: (directory, command) => [
      'unshare',
      '--mount',
      'sh',
      '-c',
      ENTER,
      'sh',
      tree,
      directory,
      CHECKOUT,
      ...command,
    ],
  };
}

async function bootstrap(cache: string, tree: string): Promise<void> {
  if (!existsSync('/usr/sbin/debootstrap')) await aptInstall('debootstrap');
  await mkdir(cache, { recursive: true });
  const building = await mkdtemp(`${tree}.`);
  try {
    await run('debootstrap', ['--variant=minbase', `--include=${PACKAGES.join()}`, 'trixie', building]);
    await rm(join(building, 'var/cache/apt/archives'), { recursive: true });
    // mkdtemp made it private; it is going to be the / of unprivileged processes.
    await chmod(building, 0o755);
    // Another run may have been quicker: then theirs is as good.
    await rename(building, tree).catch(() => rm(building, { recursive: true }));
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    throw error;
  }
}

/** Installs a package of the host's Debian without starting what is in it. */
export async function aptInstall(name: string): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  // Another apt-get on this machine, or a mirror that is busy for a moment, is no reason to fail.
  const options = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=2'];
  const install = () => run('apt-get', [...options, 'install', '--no-install-recommends', name], { env });
  await install().catch(async () => {
    await run('apt-get', [...options, 'update'], { env });
    await install();
  });
}
