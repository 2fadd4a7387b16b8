/**
 * [io] Builds the Debian package: `npm run deb -- [--arch amd64|arm64|all] [--version V] [--out DIR] [--fast]`. Needs no root, and
 * no Debian tools but dpkg-deb. The same commit gives the same bytes: every file has the time of the commit, and dpkg-deb
 * sorts. What is in it: our code compiled, the packages it runs with, one stripped Node, units, manuals, the sample chatmail.ini.
 */

import { execFileSync } from 'node:child_process';
import { cpSync, lutimesSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatSampleConfig } from '../packages/core/src/index.ts';
import { formatFingerprints } from './fingerprints.ts';
import { type Architecture, copyModules, NODE_ARCH } from './modules.ts';
import { placeDocumentation, placePrograms, placeUnits } from './place.ts';

const ROOT = join(import.meta.dirname, '..');
const SCRIPTS = ['preinst', 'postinst', 'prerm', 'postrm'];

interface BuildOptions {
  readonly architecture: Architecture;
  readonly version: string;
  readonly out: string;
  /** Packs quickly instead of small; for tests. */
  readonly isFast: boolean;
  readonly seconds: number;
}

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'all' },
    version: { type: 'string', default: manifest().version },
    out: { type: 'string', default: ROOT },
    fast: { type: 'boolean', default: false },
  },
});
if (!/^\d[A-Za-z0-9.+~]*$/.test(values.version))
  throw new Error(`'${values.version}' is no version of a Debian package`);
const architectures =
  values.arch === 'all' ? (Object.keys(NODE_ARCH) as Architecture[]) : [values.arch as Architecture];
for (const architecture of architectures) {
  if (!(architecture in NODE_ARCH)) throw new Error(`--arch is one of ${Object.keys(NODE_ARCH).join(', ')}, or all`);
  const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? git('log', '-1', '--format=%ct'));
  const out = resolve(values.out);
  process.stdout.write(
    `${await build({ architecture, version: values.version, out, isFast: values.fast, seconds })}\n`,
  );
}

async function build(options: BuildOptions): Promise<string> {
  const stage = mkdtempSync(join(tmpdir(), 'chatmail-deb-'));
  try {
    const program = join(stage, 'usr/lib/chatmail-sidecars');
    placePrograms(ROOT, stage, program);
    writeFileSync(join(program, 'package.json'), `${JSON.stringify(installedManifest(options.version), null, 2)}\n`);
    await copyModules(ROOT, join(program, 'node_modules'), options.architecture);
    placeUnits(ROOT, stage);
    const maintainer = /^Maintainer: (.*)$/m.exec(readFileSync(join(ROOT, 'debian/control'), 'utf8'))?.[1] ?? '';
    placeDocumentation(ROOT, stage, formatSampleConfig('chat.example.org'), { ...options, maintainer });
    writeFileSync(join(program, 'fingerprints'), formatFingerprints(program, join(stage, 'usr/lib/systemd/system')));
    placeControl(stage, options);
    settle(stage, options.seconds);
    const file = join(options.out, `chatmail-sidecars_${options.version}_${options.architecture}.deb`);
    const packing = options.isFast ? ['-Zgzip', '-z1'] : ['-Zxz', '--threads-max=1'];
    execFileSync('dpkg-deb', [...packing, '--root-owner-group', '--build', stage, file], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(options.seconds) },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return file;
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

function placeControl(stage: string, { version, architecture }: BuildOptions): void {
  const control = join(stage, 'DEBIAN');
  const kib = Math.ceil(
    Number(execFileSync('du', ['-sk', '--apparent-size', stage], { encoding: 'utf8' }).split('\t')[0]),
  );
  mkdirSync(control);
  const fields = readFileSync(join(ROOT, 'debian/control'), 'utf8')
    .replace('@VERSION@', version)
    .replace('@ARCHITECTURE@', architecture)
    .replace('@INSTALLED_SIZE@', String(kib));
  writeFileSync(join(control, 'control'), fields);
  for (const script of SCRIPTS) cpSync(join(ROOT, 'debian', script), join(control, script));
  const files = execFileSync('find', ['usr', '-type', 'f', '-print0'], { cwd: stage, encoding: 'utf8' })
    .split('\0')
    .sort();
  const sums = execFileSync('md5sum', files.filter(Boolean), { cwd: stage, encoding: 'utf8', maxBuffer: 2 ** 26 });
  writeFileSync(join(control, 'md5sums'), sums);
}

/** One time and one of two modes for everything. */
function settle(stage: string, seconds: number): void {
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', stage]);
  // Loaded, not run.
  execFileSync('find', [stage, '-name', '*.node', '-exec', 'chmod', '644', '{}', '+']);
  for (const script of SCRIPTS) execFileSync('chmod', ['755', join(stage, 'DEBIAN', script)]);
  for (const entry of readdirSync(stage, { recursive: true, withFileTypes: true })) {
    lutimesSync(join(entry.parentPath, entry.name), seconds, seconds);
  }
  lutimesSync(stage, seconds, seconds);
}

/** What the installed programs and Node read of package.json. */
function installedManifest(version: string): object {
  const { name, description, license, type, imports } = manifest();
  return { name, version, description, license, type, imports };
}

function manifest() {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
}

function git(...words: string[]): string {
  return execFileSync('git', words, { cwd: ROOT, encoding: 'utf8' }).trim();
}
