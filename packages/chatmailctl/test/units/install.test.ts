import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Host, localHost } from '../../src/apply/host.ts';
import { installUnits, removeUnits, type UnitsOptions } from '../../src/units/install.ts';

const SHIPPED = join(import.meta.dirname, '../../../../systemd');

/** A machine, and an installation on it with the units we ship. */
function machine(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'units-'));
  chmodSync(directory, 0o755);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const [root, program] = [join(directory, 'root'), join(directory, 'program')];
  for (const path of [join(root, 'run/systemd/system'), join(root, 'etc/systemd/system'), join(program, 'systemd')])
    mkdirSync(path, { recursive: true });
  for (const name of readdirSync(SHIPPED))
    writeFileSync(join(program, 'systemd', name), readFileSync(join(SHIPPED, name)));
  const calls: string[] = [];
  const lines: string[] = [];
  const host: Host = {
    ...localHost(),
    root,
    run: async (name, args) => {
      calls.push([name, ...args].join(' '));
      return { code: 0, output: '' };
    },
  };
  const options: UnitsOptions = {
    host,
    root: program,
    version: '1.0.0',
    dryRun: false,
    print: (line) => void lines.push(line),
  };
  return { root, program, calls, lines, options, units: () => readdirSync(join(root, 'etc/systemd/system')) };
}

t.test('installed once, and again', async (t) => {
  const { root, program, calls, lines, options, units } = machine(t);
  await installUnits({ ...options, dryRun: true });
  t.strictSame([units(), calls], [[], []], 'a dry run only talks');
  t.match(lines[0], /would be written$/);

  await installUnits(options);
  t.strictSame(
    units(),
    readdirSync(SHIPPED).filter((name) => !name.endsWith('.conf')),
  );
  const service = join(root, 'etc/systemd/system/doveauth.service');
  t.match(readFileSync(service, 'utf8'), `ExecStart=${program}/bin/doveauth\n`);
  t.equal(statSync(service).mode & 0o777, 0o644);
  t.strictSame(
    calls.map((call) => call.split(' ', 2).join(' ')),
    [
      'systemd-sysusers /etc/sysusers.d/chatmail-sidecars.conf',
      'systemd-tmpfiles --create',
      'systemctl daemon-reload',
      'systemctl try-restart',
    ],
  );
  t.match(calls[3], /try-restart .*doveauth\.service/);
  t.notMatch(calls[3], /chatmail-expire/, 'timers start that');

  calls.length = lines.length = 0;
  await installUnits(options);
  t.strictSame(lines, ['All units are in place; nothing to do.']);
  t.notOk(
    calls.some((call) => call.startsWith('systemctl')),
    'nothing is restarted',
  );
});

t.test('an upgrade of a relay whose web server can read password hashes', async (t) => {
  const { root, lines, options } = machine(t);
  const directory = join(root, 'etc/systemd/system/doveauth-http.socket.d');
  mkdirSync(directory);
  writeFileSync(join(directory, '50-chatmail.conf'), '[Socket]\nSocketUser=www-data\n');
  await installUnits(options);
  t.match(lines.join('\n'), /^Run chatmailctl apply now: .* can read password hashes$/m);
  rmSync(directory, { recursive: true });
  lines.length = 0;
  await installUnits({ ...options, version: '1.1.0' });
  t.notMatch(lines.join('\n'), /hashes/, 'not once apply has been run');
});

t.test('a newer version, with one unit less', async (t) => {
  const { program, calls, options, units } = machine(t);
  await installUnits(options);
  rmSync(join(program, 'systemd/push-gateway.service'));
  calls.length = 0;
  await installUnits({ ...options, version: '1.1.0' });
  t.notOk(units().includes('push-gateway.service'));
  t.ok(calls.includes('systemctl disable --now --quiet push-gateway.service'));
  t.ok(calls.some((call) => /try-restart .*filtermail\.service/.test(call)));
});

t.test('removed', async (t) => {
  const { root, calls, lines, options, units } = machine(t);
  const foreign = join(root, 'etc/systemd/system/other.service');
  writeFileSync(foreign, '[Service]\n');
  await installUnits(options);
  calls.length = 0;
  await removeUnits({ ...options, dryRun: true });
  t.strictSame(calls, []);
  await removeUnits(options);
  t.strictSame(units(), ['other.service'], 'what is not ours stays');
  t.strictSame(readdirSync(join(root, 'etc/sysusers.d')), []);
  const [disable = '', reload] = calls;
  t.match(disable, /^systemctl disable --now/);
  t.ok(disable.indexOf('doveauth-http.socket') < disable.indexOf('doveauth.service'), 'sockets first');
  t.equal(reload, 'systemctl daemon-reload');
  lines.length = 0;
  await removeUnits(options);
  t.match(lines[0], /nothing to do/);
});

t.test('refused', async (t) => {
  const { root, program, calls, options } = machine(t);
  const path = join(root, 'etc/systemd/system/filtermail.service');
  writeFileSync(path, '[Service]\n');
  await t.rejects(installUnits(options), { exitCode: 78, message: /filtermail\.service: not written by/ });
  rmSync(path);
  chmodSync(program, 0o700);
  await t.rejects(installUnits(options), { exitCode: 78, message: /cannot get to .* is closed to them/ });
  chmodSync(program, 0o755);
  mkdirSync(join(root, 'usr/lib/chatmail-sidecars/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/lib/chatmail-sidecars/bin/chatmailctl'), '');
  await t.rejects(installUnits(options), { exitCode: 78, message: /Debian package/ });
  rmSync(join(root, 'run'), { recursive: true });
  await t.rejects(installUnits(options), { exitCode: 78, message: /systemd/ });
  t.strictSame(calls, [], 'nothing was done');
});
