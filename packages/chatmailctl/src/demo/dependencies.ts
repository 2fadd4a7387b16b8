/**
 * [io] What a demo needs of the host: root, Debian's Postfix and Dovecot 2.3, openssl. What is missing is installed with
 * apt-get, without starting it: a policy-rc.d that says no is put in place meanwhile (invoke-rc.d(8)), and the services that
 * came with the packages are disabled, so that neither now nor after a reboot a mail server runs that nobody asked for.
 */

import { access, rename, rm, writeFile } from 'node:fs/promises';
import { type RunResult, run } from '../run.ts';
import { DemoError } from './demo-error.ts';

/** A Debian package, and a file that shows it is there. */
const PACKAGES: Readonly<Record<string, string>> = {
  postfix: '/usr/sbin/postfix',
  'dovecot-imapd': '/usr/lib/dovecot/imap',
  'dovecot-lmtpd': '/usr/lib/dovecot/lmtp',
  openssl: '/usr/bin/openssl',
};

/** A service, and a file that shows that its package was there before. */
const SERVICES: Readonly<Record<string, string>> = { postfix: '/usr/sbin/postfix', dovecot: '/usr/sbin/dovecot' };

const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_KEPT = '/usr/sbin/policy-rc.d.before-chatmail-demo';

/** Postfix is installed without a configuration of its own in /etc/postfix. */
const POSTFIX_ANSWERS = 'postfix postfix/main_mailer_type select No configuration\n';

const APT_OPTIONS = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=2'];

/**
 * Checks the host and installs what is missing.
 *
 * @param say told in one line what is being installed
 * @throws DemoError `host` or `install`
 */
export async function ensureDependencies(say: (line: string) => void): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new DemoError('host', 'this must run as root, because Postfix and Dovecot do: try it with sudo.');
  }
  const packages = await missing(PACKAGES);
  if (packages.length > 0) await install(packages, say);
  const version = (await run('dovecot', ['--version'])).output.trim();
  if (!version.startsWith('2.3.')) {
    throw new DemoError('host', `Dovecot 2.3 is needed, as Debian 12 has it; this is ${version.split(' ')[0]}.`);
  }
}

/** The names whose file is not there. */
async function missing(files: Readonly<Record<string, string>>): Promise<string[]> {
  const found = await Promise.all(Object.values(files).map(exists));
  return Object.keys(files).filter((_, index) => !found[index]);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function install(packages: readonly string[], say: (line: string) => void): Promise<void> {
  const byHand = `apt-get install ${packages.join(' ')}`;
  if (!(await exists('/usr/bin/apt-get'))) {
    throw new DemoError('install', `there is no apt-get here to install ${packages.join(', ')}; please install them.`);
  }
  say(`installing ${packages.join(', ')} with apt-get (no service is started)`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  if (packages.includes('postfix')) await run('debconf-set-selections', [], { env, input: POSTFIX_ANSWERS });
  const aptGet = (...words: string[]) => run('apt-get', [...APT_OPTIONS, ...words], { env });

  const services = await missing(SERVICES);
  await withoutServiceStarts(async () => {
    // The package lists of a fresh machine or container are empty or old.
    let result = await aptGet('install', '--no-install-recommends', ...packages);
    if (result.code !== 0) {
      await aptGet('update');
      result = await aptGet('install', '--no-install-recommends', ...packages);
    }
    if (result.code !== 0) throw new DemoError('install', installTrouble(result, byHand));
  });
  for (const service of services) await run('update-rc.d', [service, 'disable']);
}

/** One sentence out of apt-get's many lines. */
export function installTrouble(result: RunResult, byHand: string): string {
  if (
    /Temporary failure resolving|Could not (?:resolve|connect)|Unable to locate|Failed to fetch/i.test(result.output)
  ) {
    return `no package source answers, is this machine online? When it is, run this again, or: ${byHand}`;
  }
  const reason =
    result.output.split('\n').find((line) => line.startsWith('E: ')) ?? `apt-get exited with ${result.code}`;
  return `installing failed (${reason.replace(/^E: /, '').trim()}); try: ${byHand}`;
}

/** Runs `work` while no maintainer script can start a service. What stood there before is back afterwards. */
async function withoutServiceStarts(work: () => Promise<void>): Promise<void> {
  // One that is left from a demo that was killed at the wrong moment is the real one.
  if (!(await exists(POLICY_KEPT)) && (await exists(POLICY))) await rename(POLICY, POLICY_KEPT);
  const restore = async () => {
    await rm(POLICY, { force: true });
    if (await exists(POLICY_KEPT)) await rename(POLICY_KEPT, POLICY);
  };
  try {
    await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    await work();
  } finally {
    await restore();
  }
}
