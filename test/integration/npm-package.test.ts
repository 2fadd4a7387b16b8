/**
 * [io] `npm pack`, then `npm install -g` into a prefix with whatever npm the machine has: the programs run from there, by the Node
 * that came along, and `chatmailctl units` finds the units.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const directory = mkdtempSync(join(tmpdir(), 'chatmail-npm-'));
const prefix = join(directory, 'prefix');
const installed = join(prefix, 'lib/node_modules/chatmail-sidecars');

/** The machine's own npm and Node, not ours. */
const PATH = (process.env.PATH ?? '')
  .split(':')
  .filter((part) => !part.includes('node_modules'))
  .join(':');

before(
  () => {
    const run = (args: string[]) =>
      execFileSync('npm', args, {
        cwd: ROOT,
        env: { ...process.env, PATH },
        encoding: 'utf8',
        stdio: 'pipe',
        timeout: 180_000,
      });
    // prepack makes dist/ anew, which somebody may be using in this checkout.
    const source = join(directory, 'source');
    execFileSync('git', ['clone', '--quiet', '--depth=1', `file://${ROOT}`, source]);
    execFileSync('ln', ['-s', join(ROOT, 'node_modules'), join(source, 'node_modules')]);
    const options = {
      cwd: source,
      env: { ...process.env, PATH: `${ROOT}/node_modules/.bin:${PATH}` },
      encoding: 'utf8',
    } as const;
    const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], options);
    const tarball = join(directory, packed.trim().split('\n').at(-1)!);
    run([
      'install',
      '--global',
      '--prefix',
      prefix,
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      tarball,
    ]);
  },
  { timeout: 240_000 },
);
after(() => rmSync(directory, { recursive: true, force: true }));

test('every program runs, by the Node that came along', { timeout: 60_000 }, () => {
  assert.deepEqual(readdirSync(join(prefix, 'bin')).sort(), Object.keys(MANIFEST.bin).sort());
  // Without any Node on the path.
  const env = { PATH: '/nonexistent:/usr/bin:/bin' };
  for (const name of Object.keys(MANIFEST.bin).filter((name) => name !== 'doveauth-checkpassword')) {
    const { stdout, stderr } = spawnSync(join(prefix, 'bin', name), ['--version'], { env, encoding: 'utf8' });
    assert.equal(stdout, `${name} ${MANIFEST.version}\n`, stderr);
  }
});

test('what is compiled is there, and no tests', () => {
  assert.ok(existsSync(join(installed, 'dist/packages/core/src/index.js')));
  assert.ok(!existsSync(join(installed, 'dist/packages/core/test')));
  assert.ok(!existsSync(join(installed, 'packages')));
  assert.deepEqual(readdirSync(join(installed, 'systemd')), readdirSync(join(ROOT, 'systemd')));
  assert.ok(!existsSync(join(installed, 'node_modules/typescript')));
});
