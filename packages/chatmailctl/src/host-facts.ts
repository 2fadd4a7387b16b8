/**
 * [io] What of the host decides how the relay's configuration is written: which Dovecot and Postfix, how much memory, whether
 * there is nginx or IPv6. Read once; everything after it computes.
 */

import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT_CONFIG, ExitError } from '#core';
import { HEADER, type HostFacts } from './layout.ts';

export type { HostFacts } from './layout.ts';

/**
 * Looks at the host.
 *
 * @throws ExitError 78 when Dovecot or Postfix is missing, or is one we have no configuration for
 */
export async function readHostFacts(): Promise<HostFacts> {
  const [dovecotVersion, postfixVersion] = await Promise.all([
    outputOf('Dovecot', 'dovecot-imapd dovecot-lmtpd', 'dovecot', ['--version']),
    outputOf('Postfix', 'postfix', 'postconf', ['-dh', 'mail_version']),
  ]);
  return {
    debian: debianOf(readOr('/etc/os-release', '')),
    dovecot: dovecotSeries(dovecotVersion),
    dovecotVersion,
    postfixVersion,
    memoryBytes: memoryOf(readOr('/proc/meminfo', '')),
    nginx: {
      installed: existsSync('/usr/sbin/nginx'),
      streamModule: existsSync('/usr/lib/nginx/modules/ngx_stream_module.so'),
      port443Taken: isPort443Taken(readSites()),
    },
    hasIpv6: readOr('/proc/net/if_inet6', '') !== '',
    programRoot: programRoot(),
  };
}

/** Which of our two Dovecot configurations a version takes.
 *
 * @throws ExitError 78 for any other version */
export function dovecotSeries(version: string): '2.3' | '2.4' {
  const series = /^(2\.[34])\./.exec(version)?.[1];
  if (series === '2.3' || series === '2.4') return series;
  throw new ExitError(
    EXIT_CONFIG,
    `Dovecot '${version}' is neither 2.3 nor 2.4; install the one of Debian 12 or 13 (apt-get install dovecot-imapd dovecot-lmtpd)`,
  );
}

/** The major version in the text of /etc/os-release; undefined where it is no Debian. */
export function debianOf(osRelease: string): number | undefined {
  if (!/^ID="?debian"?$/m.test(osRelease)) return undefined;
  const version = /^VERSION_ID="?(\d+)/m.exec(osRelease)?.[1];
  return version === undefined ? undefined : Number(version);
}

/** Whether one of these configuration files listens on port 443; ours do not count. */
export function isPort443Taken(files: readonly string[]): boolean {
  return files.some((text) => !text.includes(HEADER) && /^[^#\n]*\blisten\s+(?:\S+:)?443\b/m.test(text));
}

/** What Debian's nginx.conf includes. */
function readSites(): string[] {
  return ['/etc/nginx/sites-enabled', '/etc/nginx/conf.d', '/etc/nginx/modules-enabled'].flatMap((directory) => {
    const names = existsSync(directory) ? readdirSync(directory) : [];
    return names.map((name) => readOr(`${directory}/${name}`, ''));
  });
}

/** Bytes of memory, from the text of /proc/meminfo. */
export function memoryOf(meminfo: string): number {
  return Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

/** The checkout, or the installed package: the next directory above with our programs in it. */
export function programRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (directory !== '/' && !existsSync(`${directory}/libexec/launch`)) directory = dirname(directory);
  return directory;
}

/** What a program answers.
 *
 * @throws ExitError 78 when it does not run, naming the packages it comes in */
async function outputOf(name: string, packages: string, program: string, args: readonly string[]): Promise<string> {
  return await new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) => {
      if (!error) return resolve(stdout.trim());
      const reason = error.code === 'ENOENT' ? 'not installed' : stderr.trim() || error.message;
      const remedy = `install it: apt-get install ${packages}`;
      reject(
        new ExitError(EXIT_CONFIG, `${name} does not run on this machine (${reason}); ${remedy}`, { cause: error }),
      );
    });
  });
}

function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return fallback;
  }
}
