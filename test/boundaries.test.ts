/**
 * The import rules of docs/architecture.md, as a test: what may import what, and which files may touch the outside.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, resolve } from 'node:path';
import t from 'tap';

const ROOT = resolve(import.meta.dirname, '..');
const MAX_LINES = 300;

/** Which of our packages a package may import, always through its index. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  milter: [],
  'dovecot-dict': [],
  wasm: [],
  filtermail: ['core', 'milter', 'wasm'],
  doveauth: ['core', 'dovecot-dict', 'wasm'],
  'metadata-push': ['core', 'dovecot-dict'],
  expire: ['core'],
  chatmailctl: ['core', 'dovecot-dict'],
};

/** Part of an index, for a program that must start quickly. */
const SECOND_ENTRIES: readonly string[] = ['#dovecot-dict/client'];

/** What a file without [io] may import from Node: it computes, and neither sees nor changes the world. */
const PURE_MODULES = ['node:buffer', 'node:crypto', 'node:util'];

/** Ways to the clock, to randomness and to the process that need no import. */
const IMPURE_GLOBALS =
  /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.now|randomBytes|randomUUID|process\.|setTimeout|setInterval|setImmediate|fetch\()/;

interface SourceFile {
  readonly path: string;
  readonly packageName: string;
  readonly text: string;
}

/** The rules a file breaks, each as one sentence. */
export function violations({ path, packageName, text }: SourceFile): string[] {
  const found: string[] = [];
  const allowed = MAY_IMPORT[packageName];
  if (!allowed) return [`package ${packageName} has no entry in MAY_IMPORT`];
  const header = /^(?:#!.*\n)?\s*\/\*\*[\s\S]*?\*\//.exec(text)?.[0];
  if (!header) found.push('has no header comment');
  const isIo = header?.includes('[io]') ?? false;

  for (const specifier of importsOf(text)) {
    if (specifier.startsWith('#')) {
      const [target = '', ...rest] = specifier.slice(1).split('/');
      if (rest.length > 0 && !SECOND_ENTRIES.includes(specifier))
        found.push(`imports ${specifier}: production code never imports testing`);
      else if (!allowed.includes(target)) found.push(`imports ${specifier}: ${packageName} may not`);
    } else if (specifier.startsWith('.')) {
      const target = normalize(join(dirname(path), specifier));
      if (!target.startsWith(`packages/${packageName}/src/`))
        found.push(`imports ${specifier}: goes past the index of a package`);
      if (/(?:^|\/)main\.ts$/.test(target)) found.push(`imports ${specifier}: nothing imports a main`);
      if (/(?:^|\/)testing\.ts$/.test(target))
        found.push(`imports ${specifier}: production code never imports testing`);
      if (!target.endsWith('.ts')) found.push(`imports ${specifier}: a relative import names its .ts file`);
    } else if (specifier.startsWith('node:') && !isIo && !PURE_MODULES.includes(specifier)) {
      found.push(`imports ${specifier} without [io] in its header`);
    }
  }
  if (!isIo && IMPURE_GLOBALS.test(withoutComments(text))) {
    found.push(`uses ${IMPURE_GLOBALS.exec(withoutComments(text))?.[0]} without [io] in its header`);
  }
  const lines = text.split('\n').length - 1;
  if (lines > MAX_LINES) found.push(`has ${lines} lines; ${MAX_LINES} are the limit`);
  return found;
}

function importsOf(text: string): string[] {
  const pattern = /\b(?:from|import)\s*\(?\s*'([^']+)'/g;
  return [...withoutComments(text).matchAll(pattern)].map((match) => match[1]!);
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

function* sourceFiles(): Generator<SourceFile> {
  for (const packageName of readdirSync(join(ROOT, 'packages'))) {
    const src = join(ROOT, 'packages', packageName, 'src');
    for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const file = join(entry.parentPath, entry.name);
      yield { path: relative(ROOT, file), packageName, text: readFileSync(file, 'utf8') };
    }
  }
}

t.test('every source file keeps the import rules', async (t) => {
  let count = 0;
  for (const file of sourceFiles()) {
    count++;
    t.same(violations(file), [], file.path);
  }
  t.ok(count > 20, 'the files were found');
});

t.test('each rule is noticed when it is broken', async (t) => {
  const pure = '/** Pure. */\n';
  const io = '/** [io] */\n';
  const rows: [broken: string, packageName: string, text: string][] = [
    ['daemon imports daemon', 'doveauth', `${io}import { a } from '#filtermail';`],
    ['protocol imports core', 'milter', `${io}import { a } from '#core';`],
    ['core imports protocol', 'core', `${io}export { a } from '#milter';`],
    ['production imports testing', 'filtermail', `${io}import { a } from '#milter/testing';`],
    ['second entry of a package it may not use', 'filtermail', `${io}import { a } from '#dovecot-dict/client';`],
    ['past the index', 'filtermail', `${io}import { a } from '../../milter/src/frame.ts';`],
    ['imports a main', 'doveauth', `${io}import './main.ts';`],
    ['dynamic import of a daemon', 'expire', `${io}await import('#doveauth');`],
    ['socket in a pure file', 'core', `${pure}import { connect } from 'node:net';`],
    ['clock in a pure file', 'core', `${pure}export const now = Date.now();`],
    ['randomness in a pure file', 'core', `${pure}export const id = Math.random();`],
    ['environment in a pure file', 'core', `${pure}export const home = process.env.HOME;`],
    ['no header comment', 'core', 'export const one = 1;'],
    ['too long', 'core', pure + 'x;\n'.repeat(MAX_LINES + 1)],
    ['unknown package', 'surprise', pure],
  ];
  for (const [name, packageName, text] of rows) {
    t.equal(violations({ path: `packages/${packageName}/src/x.ts`, packageName, text }).length, 1, name);
  }
  t.same(
    violations({ path: 'packages/core/src/x.ts', packageName: 'core', text: `${pure}// Date.now() in words` }),
    [],
    'comments are free',
  );
});
