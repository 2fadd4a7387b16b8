/**
 * [io] The npm packages our programs run with, as package-lock.json names them, without what only developers read. Those of the
 * machine's own architecture are in node_modules; another one's two binary packages are fetched by npm and compared with the
 * lockfile.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

export type Architecture = 'amd64' | 'arm64';

/** Node's names of Debian's architectures. */
export const NODE_ARCH = { amd64: 'x64', arm64: 'arm64' } as const;

/** Speeds up something we do not use, and would be one binary more; and what only compiling needs. */
const LEFT_OUT = /^node_modules\/(?:@msgpackr-extract\/|msgpackr-extract$|node-addon-api$)/;
const BINARY = /^node_modules\/(?:node-linux-|@lmdb\/lmdb-)/;

/** What Node does not load: papers, types, sources of binaries, tests, builds for browsers. */
const NOT_LOADED =
  /\.(?:md|map|ts|cts|mts|gyp|html|ico|sh)$|\/\.[^/]+$|\/(?:\.github|benchmarks?|docs|examples|test|tests|types|browser)$|\/(?:rollup|eslint)\.config\.js$|\/CNAME$/;
const NOT_LOADED_OF: readonly [name: string, pattern: RegExp][] = [
  [
    'openpgp',
    /\/(?:lightweight|dist\/lightweight|dist\/openpgp[^/]*|dist\/node\/openpgp(?:\.min)?\.cjs|dist\/node\/openpgp\.min\.mjs)$/,
  ],
  ['lmdb', /\/(?:dependencies|src|bin|dict|dist)$/],
  ['msgpackr', /\/(?:dist|test-worker\.js|benchmark\.md)$/],
  ['pino', /\/bin\.js$/],
  ['node-gyp-build-optional-packages', /\/(?:bin|optional|build-test)\.js$/],
  ['@lmdb/', /\/node\.(?:abi\d+\.glibc|napi\.musl)\.node$/],
  ['node-linux-', /\/(?:include|share)$/],
];

interface LockedPackage {
  readonly version: string;
  readonly integrity: string;
  readonly dev?: boolean;
  readonly cpu?: readonly string[];
  readonly os?: readonly string[];
}

/** Copies the packages to `target`. @throws when one is missing, or is not the one of the lockfile */
export async function copyModules(root: string, target: string, architecture: Architecture): Promise<void> {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  for (const [path, locked] of Object.entries(lock.packages)) {
    if (path === '' || locked.dev || LEFT_OUT.test(path) || !isFor(locked, architecture)) continue;
    const name = path.slice('node_modules/'.length);
    const place = join(target, name);
    const own = join(root, path);
    if (existsSync(own)) copyPackage(name, own, place);
    else if (BINARY.test(path)) fetchPackage(name, locked, place);
    else throw new Error(`${path} is missing: run npm ci`);
  }
  strip(join(target, `node-linux-${NODE_ARCH[architecture]}/bin/node`), architecture);
}

function isFor({ cpu, os }: LockedPackage, architecture: Architecture): boolean {
  return (!os || os.includes('linux')) && (!cpu || cpu.includes(NODE_ARCH[architecture]));
}

function copyPackage(name: string, from: string, to: string): void {
  const patterns = NOT_LOADED_OF.filter(([prefix]) => name.startsWith(prefix)).map(([, pattern]) => pattern);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, {
    recursive: true,
    filter: (path) => {
      const inside = path.slice(from.length);
      if (/\/LICEN[CS]E[^/]*$/i.test(inside)) return true;
      return ![NOT_LOADED, ...patterns].some((pattern) => pattern.test(inside));
    },
  });
}

function fetchPackage(name: string, { version, integrity }: LockedPackage, to: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'chatmail-npm-'));
  try {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', directory, `${name}@${version}`], { stdio: 'pipe' });
    const tarball = join(directory, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`);
    const hash = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
    if (hash !== integrity) throw new Error(`${basename(tarball)} is not the one package-lock.json names`);
    execFileSync('tar', ['-xzf', tarball, '-C', directory]);
    copyPackage(name, join(directory, 'package'), to);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Takes the symbols out of Node, a fifth of it. Debian's binutils know only the machine's own architecture. */
function strip(node: string, architecture: Architecture): void {
  const isOwn = NODE_ARCH[architecture] === process.arch;
  const gnu = architecture === 'arm64' ? 'aarch64-linux-gnu-strip' : 'x86_64-linux-gnu-strip';
  const tools = isOwn ? ['strip', 'llvm-strip'] : [gnu, 'llvm-strip', 'llvm-strip-14', 'llvm-strip-19'];
  for (const tool of tools) if (spawnSync(tool, ['--strip-unneeded', node]).status === 0) return;
  process.stderr.write(`Node for ${architecture} keeps its symbols (33 MB): none of ${tools.join(', ')} works here\n`);
}
