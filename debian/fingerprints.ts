/**
 * [io] For each daemon a hash of everything it consists of, in the package as `fingerprints`. An upgrade compares them with those
 * of the version before and restarts only what changed (debian/preinst, debian/postinst).
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** The package that each daemon's program is in. */
const PACKAGES = {
  doveauth: 'doveauth',
  filtermail: 'filtermail',
  'metadata-push': 'metadata-push',
  'push-gateway': 'metadata-push',
} as const;

/** One line for each daemon, and one for Dovecot, whose auth processes run our Lua: unit name, hash. */
export function formatFingerprints(program: string, units: string): string {
  const lua = createHash('sha256');
  addTree(lua, program, 'lua');
  const daemons = Object.entries(PACKAGES)
    .map(([daemon, name]) => {
      const hash = createHash('sha256');
      const packages = [...withImported(program, name)].sort();
      const trees = ['libexec', 'node_modules', ...packages.map((part) => `dist/packages/${part}`)];
      for (const tree of trees) addTree(hash, program, tree);
      hash.update(readFileSync(join(units, `${daemon}.service`)));
      return `${daemon}.service ${hash.digest('hex')}\n`;
    })
    .join('');
  return `${daemons}dovecot.service ${lua.digest('hex')}\n`;
}

/** A package of ours and those it imports, as `#name`. */
function withImported(program: string, name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  const directory = join(program, 'dist/packages', name);
  for (const file of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js')) continue;
    const imports = readFileSync(join(directory, file), 'utf8').matchAll(/\b(?:from|import)\b[ (]*'#([\w-]+)/g);
    for (const [, part] of imports) withImported(program, part!, found);
  }
  return found;
}

function addTree(hash: ReturnType<typeof createHash>, root: string, tree: string): void {
  const entries = readdirSync(join(root, tree), { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => [join(entry.parentPath, entry.name), entry] as const);
  for (const [path, entry] of paths.sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash
      .update(`${path.slice(root.length)}\0`)
      .update(entry.isSymbolicLink() ? readlinkSync(path) : readFileSync(path));
  }
}
