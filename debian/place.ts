/**
 * [io] Where the files of the package go.
 */

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Commands on everybody's path: `su` without `-` leaves an operator without /usr/sbin. */
const COMMANDS = [
  'chatmailctl',
  'chatmail-expire',
  'chatmail-fsreport',
  'chatmail-quota-expire',
  'doveauth-checkpassword',
];

/** Launchers, Lua files and compiled code. */
export function placePrograms(root: string, stage: string, program: string): void {
  mkdirSync(program, { recursive: true });
  for (const directory of ['bin', 'libexec', 'lua'])
    cpSync(join(root, directory), join(program, directory), { recursive: true });
  compile(root, join(program, 'dist'));
  mkdirSync(join(stage, 'usr/bin'), { recursive: true });
  for (const name of COMMANDS) symlinkSync(`../lib/chatmail-sidecars/bin/${name}`, join(stage, 'usr/bin', name));
  placeCompletion(root, stage, 'bash', 'bash-completion/completions', 'chatmailctl');
  placeCompletion(root, stage, 'fish', 'fish/vendor_completions.d', 'chatmailctl.fish');
}

/** What teaches a shell our commands, as chatmailctl itself prints it. */
function placeCompletion(root: string, stage: string, shell: string, directory: string, name: string): void {
  const target = join(stage, 'usr/share', directory);
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, name), execFileSync(join(root, 'bin/chatmailctl'), ['completion', shell]));
}

function compile(root: string, dist: string): void {
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['--outDir', dist], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  for (const name of readdirSync(dist)) if (name !== 'packages') rmSync(join(dist, name), { recursive: true });
  for (const name of readdirSync(join(dist, 'packages'))) {
    for (const part of readdirSync(join(dist, 'packages', name))) {
      if (part !== 'src') rmSync(join(dist, 'packages', name, part), { recursive: true });
    }
    rmSync(join(dist, 'packages', name, 'src/testing.js'), { force: true });
  }
}

/** Units, and the users and directories they need. */
export function placeUnits(root: string, stage: string): void {
  const units = join(stage, 'usr/lib/systemd/system');
  mkdirSync(units, { recursive: true });
  for (const name of readdirSync(join(root, 'systemd'))) {
    if (/\.(?:service|socket|timer|path)$/.test(name)) cpSync(join(root, 'systemd', name), join(units, name));
  }
  for (const kind of ['sysusers', 'tmpfiles']) {
    mkdirSync(join(stage, `usr/lib/${kind}.d`));
    cpSync(join(root, `systemd/${kind}.conf`), join(stage, `usr/lib/${kind}.d/chatmail-sidecars.conf`));
  }
}

export interface Release {
  readonly version: string;
  readonly maintainer: string;
  /** Time of the commit. */
  readonly seconds: number;
}

/** Manuals, and what Debian wants in /usr/share/doc. */
export function placeDocumentation(root: string, stage: string, sampleIni: string, release: Release): void {
  const documents = join(stage, 'usr/share/doc/chatmail-sidecars');
  mkdirSync(join(documents, 'examples'), { recursive: true });
  writeFileSync(join(documents, 'examples/chatmail.ini'), sampleIni);
  cpSync(join(root, 'debian/copyright'), join(documents, 'copyright'));
  writeFileSync(join(documents, 'CHANGELOG.md.gz'), pack(readFileSync(join(root, 'CHANGELOG.md'))));
  writeFileSync(join(documents, 'changelog.gz'), pack(changelog(release)));
  for (const page of readdirSync(join(root, 'man'))) {
    const section = join(stage, `usr/share/man/man${page.slice(-1)}`);
    mkdirSync(section, { recursive: true });
    writeFileSync(join(section, `${page}.gz`), pack(readFileSync(join(root, 'man', page))));
  }
  const overrides = join(stage, 'usr/share/lintian/overrides');
  mkdirSync(overrides, { recursive: true });
  cpSync(join(root, 'debian/lintian-overrides'), join(overrides, 'chatmail-sidecars'));
}

/** gzip as Debian's policy wants it: small, and without a name or a time in it. */
function pack(text: string | Buffer): Buffer {
  return gzipSync(text, { level: 9 });
}

/** What changed is in CHANGELOG.md; this is for apt-listchanges and its like: deb-changelog(5). */
function changelog({ version, maintainer, seconds }: Release): string {
  const date = new Date(seconds * 1000).toUTCString().replace('GMT', '+0000');
  return `chatmail-sidecars (${version}) stable; urgency=medium

  * See /usr/share/doc/chatmail-sidecars/CHANGELOG.md.gz.

 -- ${maintainer}  ${date}
`;
}
