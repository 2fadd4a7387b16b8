/**
 * [io] The Debian package as `npm run deb` builds it: the same bytes twice, what is in it and what is not, programs that run
 * from it alone, and units that systemd accepts. What it does to a machine is in test/machine.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { formatFingerprints } from '../../debian/fingerprints.ts';

const ROOT = join(import.meta.dirname, '../..');
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const LOCK = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages as Record<
  string,
  { dev?: true }
>;
const ARCHITECTURE = process.arch === 'arm64' ? 'arm64' : 'amd64';
/** What `systemd-analyze security` may say at most. */
const MAX_EXPOSURE = 2.5;
/** Node is 112 of it. */
const MAX_INSTALLED_MB = 135;

const directory = mkdtempSync(join(tmpdir(), 'chatmail-package-'));
const tree = join(directory, 'tree');
const program = join(tree, 'usr/lib/chatmail-sidecars');
const units = join(tree, 'usr/lib/systemd/system');
let deb = '';

before(() => {
  deb = build('1.2.3');
  execFileSync('dpkg-deb', ['-x', deb, tree]);
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Builds as an operator with other habits would, packed quickly. */
function build(version: string, umask = '022', zone = 'UTC'): string {
  const out = mkdtempSync(join(directory, 'out-'));
  const script = `umask ${umask}; exec node debian/build.ts --fast --arch ${ARCHITECTURE} --version ${version} --out ${out}`;
  const env = { ...process.env, TZ: zone };
  return execFileSync('sh', ['-c', script], { cwd: ROOT, env, encoding: 'utf8' }).trim();
}

test('the same commit gives the same bytes', { timeout: 60_000 }, () => {
  const again = build('1.2.3', '077', 'Pacific/Auckland');
  assert.match(again, new RegExp(`/chatmail-sidecars_1\\.2\\.3_${ARCHITECTURE}\\.deb$`));
  assert.ok(readFileSync(again).equals(readFileSync(deb)));
});

test('what the package says of itself', () => {
  const field = (name: string) => execFileSync('dpkg-deb', ['-f', deb, name], { encoding: 'utf8' }).trim();
  assert.equal(field('Version'), '1.2.3');
  assert.equal(field('Architecture'), ARCHITECTURE);
  for (const name of [
    'postfix',
    'dovecot-imapd',
    'dovecot-lmtpd',
    'dovecot-auth-lua | dovecot-core (<< 1:2.4)',
    'libatomic1',
    'ca-certificates',
  ]) {
    assert.ok(field('Depends').split(', ').includes(name), name);
  }
  const mb = Number(field('Installed-Size')) / 1000;
  assert.ok(mb > 50 && mb < MAX_INSTALLED_MB, `${mb} MB installed`);
  const listing = execFileSync('dpkg-deb', ['-c', deb], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(
    listing.filter((line) => !/^[d-]rw[x-]r-[x-]r-[x-] root\/root |^lrwxrwxrwx root\/root /.test(line)),
    [],
  );
});

test('everything a relay needs, and nothing of the workshop', () => {
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  const sorted = (prefix: string) =>
    files
      .filter((path) => path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
      .sort();
  for (const path of [
    'usr/bin/chatmailctl',
    'usr/lib/sysusers.d/chatmail-sidecars.conf',
    'usr/lib/tmpfiles.d/chatmail-sidecars.conf',
    'usr/share/doc/chatmail-sidecars/copyright',
    'usr/share/doc/chatmail-sidecars/changelog.gz',
    'usr/share/doc/chatmail-sidecars/examples/chatmail.ini',
    'usr/share/man/man5/chatmail.ini.5.gz',
    'usr/lib/chatmail-sidecars/lua/chatmail-auth.lua',
  ]) {
    assert.ok(files.includes(path), path);
  }
  assert.deepEqual(
    sorted('usr/lib/systemd/system/'),
    readdirSync(join(ROOT, 'systemd'))
      .filter((name) => !name.endsWith('.conf'))
      .sort(),
  );
  assert.deepEqual(
    sorted('usr/share/man/man8/'),
    readdirSync(join(ROOT, 'man'))
      .filter((name) => name.endsWith('.8'))
      .map((name) => `${name}.gz`)
      .sort(),
  );
  assert.deepEqual(
    files.filter((path) => /\.ts$|\/(?:testing|test)\b|typescript|\.map$/.test(path) && !path.includes('node-linux')),
    [],
  );
  const nodes = files.filter((path) => path.endsWith('/bin/node'));
  assert.equal(nodes.length, 1, 'one Node for all');
  const packages = sorted('usr/lib/chatmail-sidecars/node_modules/').filter((path) => path.endsWith('/package.json'));
  for (const path of packages) {
    const locked = LOCK[`node_modules/${path.replace(/\/package\.json$/, '')}`];
    // The others say of a directory in a package what its files are.
    if (locked) assert.ok(!locked.dev, path);
  }
  assert.ok(Object.keys(MANIFEST.dependencies).every((name) => packages.includes(`${name}/package.json`)));
});

test('all of it runs from where it is', { timeout: 60_000 }, async () => {
  const env = { PATH: '/usr/bin:/bin' };
  for (const name of Object.keys(MANIFEST.bin).filter((name) => name !== 'doveauth-checkpassword')) {
    const { stdout, stderr } = spawnSync(join(program, 'bin', name), ['--version'], { env, encoding: 'utf8' });
    assert.equal(stdout, `${name} 1.2.3\n`, stderr);
  }
  // Some are loaded at their first use only.
  const load = `for (const name of ${JSON.stringify(Object.keys(MANIFEST.dependencies))}) await import(name); console.log('loaded');`;
  writeFileSync(join(program, 'load.mjs'), load);
  const node = execFileSync('find', [program, '-path', '*/bin/node'], { encoding: 'utf8' }).trim();
  assert.equal(execFileSync(node, [join(program, 'load.mjs')], { env, encoding: 'utf8' }), 'loaded\n');
  rmSync(join(program, 'load.mjs'));

  const [ini, socket] = [join(directory, 'chatmail.ini'), join(directory, 'socket')];
  writeFileSync(
    ini,
    `[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${directory}/mail\nstate_dir = ${directory}/state\n`,
  );
  mkdirSync(join(directory, 'mail'));
  const arguments_ = ['--config', ini, '--listen', `metadata=unix:${socket}`];
  const daemon = spawn(join(program, 'bin/metadata-push'), arguments_, {
    env,
    timeout: 20_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [daemon.stdout, daemon.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (text.includes('ready metadata=')) daemon.kill('SIGTERM');
    });
  }
  await once(daemon, 'close');
  assert.match(log, /ready metadata=[\s\S]*stopping/, 'with its database');
});

test('systemd takes the units, and keeps the daemons in', () => {
  const copies = join(directory, 'units');
  mkdirSync(copies);
  const names = readdirSync(units);
  for (const name of names) {
    const text = readFileSync(join(units, name), 'utf8').replaceAll('/usr/lib/chatmail-sidecars/', `${program}/`);
    assert.match(text, /^ConditionPathExists=\|\/etc\/chatmail\/chatmail\.ini$/m, `${name} waits for a configuration`);
    writeFileSync(join(copies, name), text);
  }
  const paths = names.map((name) => join(copies, name));
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', ...paths], { encoding: 'utf8' });
  const complaints = verified.stderr.split('\n').filter((line) => names.some((name) => line.includes(name)));
  assert.deepEqual(complaints, []);
  const documented = readFileSync(join(ROOT, 'docs/units.md'), 'utf8');
  for (const name of names.filter((name) => name.endsWith('.service'))) {
    const options = ['security', '--offline=yes', '--no-pager', join(copies, name)];
    const { stdout } = spawnSync('systemd-analyze', options, { encoding: 'utf8' });
    const exposure = /Overall exposure level for .*: ([\d.]+)/.exec(stdout)?.[1];
    assert.ok(Number(exposure) <= MAX_EXPOSURE, `${name}: ${exposure}`);
    const text = readFileSync(join(units, name), 'utf8');
    assert.match(text, /^User=(?:vmail|push-gateway)$/m, name);
    assert.match(text, /^CPUWeight=\d+$/m, name);
    assert.match(text, /^MemoryMax=\d+M$/m, name);
    assert.match(
      documented,
      new RegExp(`^\\| \`${name}\` .*\\| ${exposure} \\|$`, 'm'),
      `docs/units.md about ${name}: ${exposure}`,
    );
  }
});

test('removing the package leaves units of the same names to whoever they belong', () => {
  // The scripts name absolute paths: they get a mount namespace, and a systemctl and dpkg-query that write down and answer.
  const script = `set -e
mount -t tmpfs none /run && mount -t tmpfs none /etc/systemd && mount -t tmpfs none /usr/lib/systemd
mkdir -p /run/systemd/system /run/bin /run/doveauth /run/chatmail-lastlogin /run/chatmail-metadata /etc/systemd/system
cp -r "$TREE/usr/lib/systemd/system" /usr/lib/systemd/
cat >/run/bin/systemctl <<'END'
#!/bin/sh
for unit; do :; done
case $1 in
  show) for at in /etc /usr/lib; do if [ -e $at/systemd/system/$unit ]; then echo $at/systemd/system/$unit; break; fi; done ;;
  disable) echo "$unit" ;;
esac
END
printf '#!/bin/sh\\necho "chatmail-sidecars: $2"\\n' >/run/bin/dpkg-query
chmod +x /run/bin/*
cd /etc/systemd/system
for unit in $FOREIGN; do echo '[Unit]' >$unit; done
for unit in $OURS; do echo '# Written by chatmailctl from chatmail.ini; changes here are lost.' >$unit; done
export PATH=/run/bin:$PATH
sh -e "$DEBIAN/prerm" remove && sh -e "$DEBIAN/postrm" remove
cd /run && ls -d doveauth chatmail-* 2>/dev/null || true`;
  const remove = (foreign: string[], ours: string[]) => {
    const env = {
      ...process.env,
      TREE: tree,
      DEBIAN: join(ROOT, 'debian'),
      FOREIGN: foreign.join(' '),
      OURS: ours.join(' '),
    };
    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8', env });
    assert.equal(stderr, '');
    return stdout.trim().split('\n').sort();
  };
  const all = readdirSync(units)
    .filter((name) => /\.(?:socket|timer)$|^(?!chatmail-).*\.service$/.test(name))
    .sort();
  assert.deepEqual(remove([], ['chatmail-tls.timer']), [...all, 'chatmail-tls.timer'].sort());
  const stack = ['doveauth.service', 'filtermail.service', 'lastlogin.service', 'chatmail-metadata.service'];
  const foreign = [...stack, 'chatmail-expire.timer', 'chatmail-tls.timer'];
  const directories = ['chatmail-lastlogin', 'chatmail-metadata', 'doveauth'];
  assert.deepEqual(remove(foreign, []), [...all.filter((name) => !foreign.includes(name)), ...directories].sort());
});

test("an upgrade leaves another stack's daemons alone", () => {
  const script = `set -e
mount -t tmpfs none /run
mkdir -p /run/bin /run/systemd/system /run/chatmail-sidecars /run/lib
printf '%s\\n' 'doveauth.service new' 'filtermail.service new' 'metadata-push.service same' >/run/lib/fingerprints
printf '%s\\n' 'doveauth.service old' 'filtermail.service old' 'metadata-push.service same' >/run/chatmail-sidecars/fingerprints
cat >/run/bin/systemctl <<'END'
#!/bin/sh
case "$*" in
  *FragmentPath*filtermail.service) echo /etc/systemd/system/filtermail.service ;;
  *FragmentPath*) echo /usr/lib/systemd/system/doveauth.service ;;
  try-restart*) echo "$*" ;;
esac
END
printf '#!/bin/sh\\n' | tee /run/bin/systemd-sysusers >/run/bin/systemd-tmpfiles
chmod +x /run/bin/*
sed s,/usr/lib/chatmail-sidecars/,/run/lib/, "$0" >/run/postinst
PATH=/run/bin:$PATH sh -e /run/postinst configure 0.0 | grep restart`;
  const postinst = join(ROOT, 'debian/postinst');
  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, postinst], { encoding: 'utf8' });
  assert.equal(stderr, '');
  assert.equal(stdout, 'try-restart doveauth.service\n');
});

test('a new installation says what to do next', () => {
  const script = `set -e
mount -t tmpfs none /run && mount -t tmpfs none /usr/local/lib
mkdir -p /run/bin /run/systemd/system /usr/local/lib/chatmaild
printf '#!/bin/sh\\n' | tee /run/bin/systemctl /run/bin/systemd-sysusers >/run/bin/systemd-tmpfiles
chmod +x /run/bin/*
PATH=/run/bin:$PATH; sh -e "$0" configure
touch /usr/local/lib/chatmaild/chatmail.ini; sh -e "$0" configure`;
  const postinst = join(ROOT, 'debian/postinst');
  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, postinst], { encoding: 'utf8' });
  assert.equal(stderr, '');
  const [fresh = '', inherited = ''] = stdout.split('\n');
  assert.match(fresh, /^Next: chatmailctl init /);
  assert.match(inherited, /cmdeploy.*Next: chatmailctl adopt/);
  assert.ok(!inherited.includes('chatmailctl init'));
});

test("an upgrade from before the web server's socket", () => {
  const script = `set -e
mount -t tmpfs none /run
mkdir -p /run/bin /run/systemd/system /run/lib /run/etc/chatmail /run/etc/systemd/system/doveauth-http.socket.d
touch /run/etc/chatmail/chatmail.ini /run/lib/fingerprints
[ -z "$OWNER" ] || echo "SocketUser=$OWNER" >/run/etc/systemd/system/doveauth-http.socket.d/50-chatmail.conf
cat >/run/bin/systemctl <<'END'
#!/bin/sh
case "$*" in
  'is-active --quiet doveauth-http.socket') exit $INACTIVE ;;
  enable*) echo "$*" ;;
esac
END
printf '#!/bin/sh\\n' | tee /run/bin/systemd-sysusers >/run/bin/systemd-tmpfiles
chmod +x /run/bin/*
sed -e s,/usr/lib/chatmail-sidecars/,/run/lib/, -e s,/etc/,/run/etc/, "$0" >/run/postinst
PATH=/run/bin:$PATH sh -e /run/postinst configure 0.0`;
  const upgrade = (owner: string, inactive: number) => {
    const env = { ...process.env, OWNER: owner, INACTIVE: String(inactive) };
    const postinst = join(ROOT, 'debian/postinst');
    const options = { encoding: 'utf8', env } as const;
    const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, postinst], options);
    assert.equal(stderr, '');
    return stdout.trim().split('\n');
  };
  const [listens, warning] = upgrade('www-data', 0);
  assert.equal(listens, 'enable --quiet --now doveauth-new.socket', 'the new one listens where the other does');
  assert.match(warning!, /^Run chatmailctl apply now: .* password hashes$/);
  assert.match(upgrade('', 3).join(), /^To bring the configuration/, 'no socket, nothing to warn of');
});

test('purge says what it leaves', () => {
  const script = `set -e
mount -t tmpfs none /etc
mkdir -p /etc/systemd/system/filtermail.service.d /etc/sysctl.d /etc/chatmail
touch /etc/systemd/system/filtermail.service.d/50-chatmail.conf /etc/systemd/system/chatmail-tls.timer /etc/sysctl.d/60-chatmail.conf
echo 'mailboxes_dir = /srv/elsewhere' > /etc/chatmail/chatmail.ini
getent() { [ "$1 $2" = 'passwd vmail' ]; }
. "$0"`;
  const postrm = join(ROOT, 'debian/postrm');
  const { stdout, stderr } = spawnSync('unshare', ['--mount', 'sh', '-c', script, postrm, 'purge'], {
    encoding: 'utf8',
  });
  assert.equal(stderr, '');
  const left = ['filtermail.service.d/50-chatmail.conf', 'chatmail-tls.timer'].map(
    (name) => `/etc/systemd/system/${name}`,
  );
  const elsewhere = ['/etc/sysctl.d/60-chatmail.conf', '/srv/elsewhere'];
  for (const what of [...left, ...elsewhere, 'user:vmail']) assert.ok(stdout.includes(` ${what}`), what);
  assert.ok(!stdout.includes('*') && !stdout.includes('push-gateway'), 'and nothing that is not there');
});

test('an upgrade restarts what changed', () => {
  const copy = join(directory, 'next');
  cpSync(program, copy, { recursive: true, filter: (path) => !path.includes('node_modules/node-linux') });
  const changed = (path: string) => {
    const lines = formatFingerprints(copy, units).split('\n');
    appendFileSync(join(copy, path), '\n// changed\n');
    const then = formatFingerprints(copy, units).split('\n');
    return then.filter((line) => !lines.includes(line)).map((line) => line.split('.')[0]);
  };
  const all = ['doveauth', 'filtermail', 'metadata-push', 'push-gateway'];
  assert.deepEqual(changed('lua/chatmail-auth.lua'), ['dovecot']);
  assert.deepEqual(changed('dist/packages/milter/src/index.js'), ['filtermail']);
  assert.deepEqual(changed('dist/packages/wasm/src/index.js'), ['doveauth', 'filtermail']);
  assert.deepEqual(changed('dist/packages/dovecot-dict/src/index.js'), ['doveauth', 'metadata-push', 'push-gateway']);
  assert.deepEqual(changed('dist/packages/core/src/index.js'), all);
  assert.deepEqual(changed('dist/packages/expire/src/main.js'), []);
  assert.deepEqual(changed('libexec/launch'), all);
});
