/** [io] apply and undo on a directory that stands for a machine (machine.ts). On real ones: test/machine. */

import { mkdirSync, readdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { EXIT_CONFIG, EXIT_TEMPORARY } from '#core';
import { TestMachine } from './machine.ts';

const BACKUPS = '/var/lib/chatmail/backups';
const PENDING = '/var/lib/chatmail/apply-pending';
const LOCK = '/run/chatmailctl-apply.lock';

function machine(t: { teardown(work: () => void): void }): TestMachine {
  const made = new TestMachine();
  t.teardown(() => made.remove());
  return made;
}

t.test('a dry run shows and changes nothing', async (t) => {
  const m = machine(t);
  const before = m.etc();
  await m.apply({ dryRun: true });
  t.match(m.output, /^-protocols = imap$/m);
  t.match(m.output, /^replace {2}\/etc\/dovecot\/dovecot\.conf$/m);
  t.match(m.output, /^enable and start: filtermail-outgoing\.socket /m);
  t.same(m.etc(), before);
  t.same(
    m.ran.filter((line) => !line.startsWith('systemctl show')),
    [],
  );
});

t.test('apply, apply again, undo', async (t) => {
  const m = machine(t);
  const before = m.etc();
  await m.apply();
  t.match(m.read('/etc/postfix/main.cf'), /^milter_default_action = tempfail$/m);
  t.match(m.output, /A throw-away account logged in/);
  const place = (start: string) => m.ran.findIndex((line) => line.startsWith(start));
  const checks = ['doveconf -n', 'nginx -t', 'postfix check'].map(place);
  const starts = ['systemctl restart filtermail', 'systemctl restart dovecot', 'systemctl restart postfix'].map(place);
  const order = [...checks, ...starts, place('doveadm auth test')];
  t.same(
    order,
    order.filter((index) => index >= 0).sort((a, b) => a - b),
    `checked, started, logged in:\n${m.ran.join('\n')}`,
  );
  t.ok(
    m.enabled.has('filtermail.service') && m.active.has('doveauth-auth.socket') && m.active.has('chatmail-tls.timer'),
  );
  t.same(readdirSync(`${m.root}/home/vmail/mail/[10.1.2.3]`), ['.keep'], 'the throw-away account is gone');

  const applied = m.etc();
  await m.apply();
  t.same(m.lines, ['Nothing to change.']);
  t.same(m.etc(), applied);
  t.same(
    m.ran.filter((line) => !line.startsWith('systemctl show')),
    [],
  );

  await m.undo();
  t.same(m.etc(), before, 'every file, and no directory is left over');
  t.notOk(m.enabled.has('filtermail.service') || m.active.has('doveauth-auth.socket'));
  t.ok(m.active.has('postfix.service') && m.enabled.has('postfix.service'), 'it was there before');
  await t.rejects(m.undo(), { exitCode: EXIT_CONFIG, message: /no backup/ });
  await m.apply();
  t.same(m.etc(), applied, 'and once more');
});

t.test('undo goes back one step at a time', async (t) => {
  const m = machine(t);
  await m.apply();
  const first = m.etc();
  m.config += 'max_message_size = 1000000\n';
  await m.apply();
  t.match(m.output, /^\+message_size_limit = 1000000$/m, 'a difference to our own file is shown');
  t.ok(m.ran.includes('systemctl reload-or-restart postfix.service'), 'reloaded, not restarted');
  t.ok(m.ran.includes('systemctl reload doveauth.service'), 'our daemons read chatmail.ini again');
  await m.undo();
  t.same(m.etc(), first);
  t.ok(m.enabled.has('filtermail.service'), 'it was enabled before the step');
});

t.test('whatever fails, everything is put back', async (t) => {
  const rows: [string, string, RegExp][] = [
    ['postfix check', 'postfix: fatal: bad thing\n', /postfix check .*bad thing/],
    ['doveconf -n', 'doveconf: Fatal: Error in configuration\n', /doveconf -n .*Error in configuration/],
    ['nginx -t', 'nginx: [emerg] no\n', /nginx -t.*\[emerg\] no/],
    ['systemctl restart postfix', 'Job failed\n', /Job failed/],
    ['systemctl enable', 'no such thing\n', /no such thing/],
    ['doveadm auth test', 'passdb: auth failed\n', /throw-away account cannot log in/],
  ];
  for (const [start, says, message] of rows) {
    const m = machine(t);
    const [files, enabled] = [m.etc(), [...m.enabled]];
    m.failures.set(start, says);
    // What cannot restart with our files can with those of before.
    if (start === 'systemctl restart postfix') {
      const { host } = m;
      Object.defineProperty(m, 'host', {
        value: {
          ...host,
          run: (program: string, args: string[]) => {
            if (m.ran.includes('systemctl restart postfix.service')) m.failures.clear();
            return host.run(program, args);
          },
        },
      });
    }
    await t.rejects(m.apply(), { message }, start);
    t.same(m.etc(), files, `${start}: files`);
    const isChecked = /^(?:postfix check|doveconf|nginx)/.test(start);
    const restarts = m.ran.filter((line) =>
      /systemctl (?:restart|reload-or-restart) (?:postfix|dovecot|nginx)/.test(line),
    );
    t.equal(restarts.length === 0, isChecked, `${start}: who was told nothing is not disturbed: ${restarts}`);
    t.same([...m.enabled].sort(), enabled.sort(), `${start}: units`);
  }
});

t.test('back to before the first of several', async (t) => {
  const m = machine(t);
  const before = m.etc();
  for (const line of ['', 'max_message_size = 20000000\n', 'max_mailbox_size = 200M\n']) {
    m.config += line;
    await m.apply();
  }
  await m.undo();
  t.not(m.etc(), before);
  t.match(m.output, /--undo --all undoes them too/);
  m.lines.length = 0;
  m.ran.length = 0;
  await m.undo(true);
  t.equal(m.ran.filter((line) => line === 'systemctl restart dovecot.service').length, 1, 'systemd has its patience');
  t.notOk(m.enabled.has('filtermail.service') || m.active.has('doveauth-auth.socket'));
  t.same(m.etc(), before);
  t.notMatch(m.output, /--undo --all/);
  await t.rejects(m.undo(true), { exitCode: EXIT_CONFIG, message: /no backup/ });
});

t.test('an undo that was killed is begun anew', async (t) => {
  const m = machine(t);
  const before = m.etc();
  await m.apply();
  const { host } = m;
  let isKilled = true;
  Object.defineProperty(m, 'host', {
    value: {
      ...host,
      run: (program: string, args: string[]) => {
        if (isKilled && args[0] === 'daemon-reload') throw new Error('SIGKILL');
        return host.run(program, args);
      },
    },
  });
  await t.rejects(m.undo(), { message: 'SIGKILL' });
  isKilled = false;
  m.ran.length = 0;
  await m.undo();
  t.same(m.etc(), before);
  t.ok(m.ran.includes('systemctl restart dovecot.service'), 'who runs with what is gone');
});

t.test('a dry run says that the daemons would be told', async (t) => {
  const m = machine(t);
  await m.apply();
  await m.apply({ dryRun: true });
  t.equal(m.output, 'Nothing to change.');
  m.config += 'max_user_send_per_minute = 5\n';
  await m.apply({ dryRun: true });
  t.match(m.output, /chatmail\.ini has changed: our daemons read it again/);
  t.notMatch(m.output, /Nothing to change/);
});

t.test('a file that cannot be written is named, and so is what cannot be put back', async (t) => {
  const m = machine(t);
  const dropIns = '/etc/systemd/system/dovecot.service.d';
  mkdirSync(`${m.root}${dirname(dropIns)}`, { recursive: true });
  symlinkSync('/nowhere', m.root + dropIns);
  const files = m.etc();
  const message = /EEXIST.*dovecot\.service\.d.*\neverything was put back/;
  await t.rejects(m.apply(), { exitCode: EXIT_TEMPORARY, message });
  t.same(m.etc(), files);
  m.failures.set('systemctl daemon-reload', 'no systemd\n');
  await t.rejects(m.apply(), { message: /EEXIST.*failed too \(.*no systemd.*\): see \//s }, 'both reasons');
});

t.test('a unit that somebody has stopped is started again, and what went down with it', async (t) => {
  const m = machine(t);
  await m.apply();
  for (const unit of ['doveauth-http.socket', 'chatmail-expire.timer'])
    await m.host.run('systemctl', ['disable', '--now', unit]);
  t.notOk(m.active.has('doveauth.service'));
  m.active.add('doveauth.service');
  await m.apply();
  for (const unit of ['doveauth-http.socket', 'chatmail-expire.timer', 'doveauth.service'])
    t.ok(m.active.has(unit), unit);
  t.ok(
    m.active.has('postfix.service') && !m.ran.includes('systemctl restart postfix.service'),
    'nobody else is disturbed',
  );
});

const SITE = '/etc/nginx/conf.d/chatmail.conf';
const dropInOf = (unit: string) => `/etc/systemd/system/${unit}.d/50-chatmail.conf`;
const accessOf = (m: TestMachine) => ['http', 'new'].map((name) => m.access.get(`/run/doveauth/${name}.socket`));
const SEPARATE = ['660 root:vmail', '600 www-data:root'];
const TOGETHER = ['660 www-data:vmail', '600 root:root'];

/** A machine as the first versions left it: nginx has access to the socket with the hashes. The upgrade has opened the new one. */
async function upgraded(t: { teardown(work: () => void): void }): Promise<TestMachine> {
  const m = machine(t);
  await m.apply();
  const manifest = `${BACKUPS}/2026-01-02T030405Z/manifest.json`;
  m.write(dropInOf('doveauth-http.socket'), m.read(dropInOf('doveauth-new.socket')));
  rmSync(dirname(m.root + dropInOf('doveauth-new.socket')), { recursive: true });
  m.write(SITE, m.read(SITE).replaceAll('new.socket', 'http.socket'));
  const record = '/var/lib/chatmail/applied.json';
  m.write(record, m.read(record).replaceAll('doveauth-new.socket', 'doveauth-http.socket'));
  m.write(
    manifest,
    m
      .read(manifest)
      .replace('"doveauth-new.socket",', '')
      .replaceAll('doveauth-new.socket.d', 'doveauth-http.socket.d'),
  );
  await m.host.run('systemctl', ['daemon-reload']);
  m.access.set('/run/doveauth/http.socket', TOGETHER[0]!);
  m.access.set('/run/doveauth/new.socket', TOGETHER[1]!);
  m.isBusy = true;
  return m;
}

t.test('a relay whose web server reached the socket with the hashes, while people log in', async (t) => {
  const m = await upgraded(t);
  const before = m.etc();
  await m.apply();
  t.throws(() => m.read(dropInOf('doveauth-http.socket')), { code: 'ENOENT' });
  t.match(m.read(SITE), /new\.socket/);
  t.same(accessOf(m), SEPARATE);
  const place = (start: string) => m.ran.findIndex((line) => line.startsWith(start));
  const order = ['systemctl daemon-reload', 'chown', 'systemctl restart doveauth', 'systemctl reload-or-restart nginx'];
  const places = order.map(place);
  t.same(
    places,
    places.filter((index) => index >= 0).sort((a, b) => a - b),
    `who was connected is no longer, and nginx comes last:\n${m.ran.join('\n')}`,
  );
  t.notOk(
    m.ran.some((line) => /systemctl .*(?:stop|--now)/.test(line)),
    'no socket is closed',
  );

  m.ran.length = 0;
  await m.undo();
  t.same(m.etc(), before);
  t.same(accessOf(m), TOGETHER, 'and when it is undone');
  t.ok(place('chown') < place('systemctl try-restart doveauth') && place('systemctl try-restart doveauth') >= 0);

  // Killed when the file was gone and the socket not yet changed.
  rmSync(m.root + dropInOf('doveauth-http.socket'));
  m.write(PENDING, '');
  await m.apply();
  t.same(accessOf(m), SEPARATE, 'also after an interruption');

  await m.undo(true);
  for (const unit of ['doveauth-new.socket', 'doveauth-http.socket', 'doveauth.service'])
    t.notOk(m.enabled.has(unit) || m.active.has(unit), `${unit}: before the first apply there was none`);
});

t.test('the same, and it fails', async (t) => {
  const m = await upgraded(t);
  const before = m.etc();
  m.failures.set('doveadm auth test', 'passdb: auth failed\n');
  await t.rejects(m.apply(), { message: /cannot log in.*\neverything was put back as it was$/s });
  t.same(m.etc(), before);
  t.same(accessOf(m), TOGETHER);
});

t.test('a socket that was not enabled, as after an upgrade by npm, while people log in', async (t) => {
  const m = await upgraded(t);
  m.enabled.delete('doveauth-new.socket');
  await m.apply();
  t.ok(m.enabled.has('doveauth-new.socket'));
  await m.undo();
  t.notOk(m.enabled.has('doveauth-new.socket'));
  t.ok(m.active.has('doveauth-new.socket') && m.active.has('doveauth.service'), 'the daemon cannot do without it');
});

t.test('a socket that is closed while its daemon runs is opened', async (t) => {
  const m = await upgraded(t);
  m.enabled.delete('doveauth-new.socket');
  m.active.delete('doveauth-new.socket');
  m.access.delete('/run/doveauth/new.socket');
  await m.apply();
  t.ok(m.enabled.has('doveauth-new.socket') && m.active.has('doveauth-new.socket'));
  t.same(accessOf(m), SEPARATE);
});

t.test('a daemon that sleeps for lack of work is left to sleep', async (t) => {
  const m = machine(t);
  await m.apply();
  m.active.delete('filtermail.service');
  m.config += 'max_message_size = 1000000\n';
  await m.apply();
  t.notOk(m.active.has('filtermail.service'));
  t.notOk(m.ran.some((line) => line.includes('reload filtermail')));
});

t.test('a Postfix that Debian left without a configuration', async (t) => {
  const m = machine(t);
  unlinkSync(`${m.root}/etc/postfix/main.cf`);
  m.active.delete('postfix.service');
  const before = m.etc();
  await m.apply();
  t.ok(m.active.has('postfix.service'));
  await m.undo();
  t.same(m.etc(), before);
  t.notOk(m.active.has('postfix.service'), 'there is nothing it could start with');
});

t.test('a server that does not start does not keep undo from the others', async (t) => {
  const m = machine(t);
  const before = m.etc();
  await m.apply();
  m.failures.set('systemctl restart dovecot', 'Job failed');
  await t.rejects(m.undo(), {
    exitCode: EXIT_CONFIG,
    message: /files are as before, but systemctl restart dovecot\.service: Job failed/,
  });
  t.same(m.etc(), before);
  t.ok(
    m.ran.includes('systemctl restart postfix.service') && m.ran.includes('systemctl reload-or-restart nginx.service'),
  );
});

t.test('a file that cannot be restored does not keep undo from the rest', async (t) => {
  const m = machine(t);
  const before = m.etc();
  await m.apply();
  // Nothing was written when a backup was cut short.
  m.write(`${BACKUPS}/2026-01-03T000000Z/files/etc/postfix/main.cf`, '');
  rmSync(`${m.root}/etc/dovecot/dovecot.conf`);
  m.write('/etc/dovecot/dovecot.conf/in-the-way', '');
  m.failures.set('systemctl restart dovecot', 'Job failed');
  await t.rejects(m.undo(), {
    exitCode: EXIT_CONFIG,
    message: /^not all is as before: \/etc\/dovecot\/dovecot\.conf: .*restart dovecot\.service: Job failed; .*--undo/,
  });
  t.ok(m.ran.includes('systemctl restart postfix.service'));
  t.notOk(m.enabled.has('filtermail.service'));
  rmSync(`${m.root}/etc/dovecot/dovecot.conf`, { recursive: true });
  t.same({ ...m.etc(), [`${m.root}/etc/dovecot/dovecot.conf`]: 'protocols = imap\n!include conf.d/*.conf\n' }, before);
  m.failures.clear();
  await m.undo();
  t.same(m.etc(), before, 'once it is out of the way');
});

t.test('a daemon that crashes is noticed, whatever systemd calls it', async (t) => {
  const m = machine(t);
  const files = m.etc();
  m.crashing.add('metadata-push.service');
  await t.rejects(m.apply(), { exitCode: EXIT_CONFIG, message: /metadata-push\.service does not stay up.*put back/s });
  t.same(m.etc(), files);
});

t.test('an apply that was killed is made up for by the next', async (t) => {
  const m = machine(t);
  await m.apply();
  t.throws(() => m.read(PENDING), { code: 'ENOENT' });
  m.config += 'max_message_size = 1000000\n';
  const { host } = m;
  // Killed: after the files were written nothing comes back, not even an error.
  let reached = () => {};
  const killed = new Promise<void>((resolve) => {
    reached = resolve;
  });
  Object.defineProperty(m, 'host', {
    configurable: true,
    value: {
      ...host,
      run: (program: string, args: string[]) => {
        if (program !== 'postconf') return host.run(program, args);
        reached();
        return new Promise(() => {});
      },
    },
  });
  void m.apply();
  await killed;
  Object.defineProperty(m, 'host', { value: host });
  t.match(m.read('/etc/postfix/main.cf'), /^message_size_limit = 1000000$/m);
  await t.rejects(m.apply(), { exitCode: EXIT_TEMPORARY, message: /another chatmailctl apply is at work/ });
  await t.rejects(m.undo(), { exitCode: EXIT_TEMPORARY, message: /another chatmailctl apply is at work/ });
  // The number belongs to somebody else by now.
  m.write(LOCK, `${process.pid} 1\n`);
  m.failures.set('systemctl restart postfix', 'Job failed');
  await t.rejects(m.apply(), { message: /Job failed/ });
  m.failures.clear();
  await m.apply();
  t.match(m.output, /the last apply was interrupted/, 'also when the one in between failed');
  const units = ['dovecot', 'postfix', 'nginx', 'doveauth', 'filtermail', 'metadata-push'];
  const wanted = [
    'systemctl daemon-reload',
    'systemctl restart systemd-journald.service',
    ...units.map((unit) => `systemctl restart ${unit}.service`),
  ];
  t.same(
    wanted.filter((line) => !m.ran.includes(line)),
    [],
  );
  t.ok(m.ran.includes('doveconf -n') && m.ran.includes('postfix check'), 'checked first');
  await m.apply();
  t.same(m.lines, ['Nothing to change.']);
  t.throws(() => m.read(LOCK), { code: 'ENOENT' });
});

t.test('what others wrote is not touched, until that is asked for', async (t) => {
  const m = machine(t);
  m.write('/etc/postfix/main.cf', 'virtual_alias_maps = hash:/etc/postfix/virtual\n');
  m.write('/etc/dovecot/conf.d/10-auth.conf', 'auth_mechanisms = plain login\n');
  const before = m.etc();
  await t.rejects(m.apply(), {
    exitCode: EXIT_CONFIG,
    message:
      /replace \/etc\/postfix\/main\.cf and would no longer use \/etc\/dovecot\/conf\.d\/10-auth\.conf.*--take-over/,
  });
  t.same(m.etc(), before);
  await m.apply({ takeOver: true });
  t.match(m.read(`${BACKUPS}/2026-01-02T030405Z/files/etc/postfix/main.cf`), /virtual_alias_maps/);
  t.match(m.read('/etc/dovecot/conf.d/10-auth.conf'), /plain login/, 'not read any more, but left');
  await m.undo();
  t.same(m.etc(), before);
});

t.test('a symbolic link is replaced, and comes back', async (t) => {
  const m = machine(t);
  m.write('/srv/main.cf', m.read('/etc/postfix/main.cf'));
  unlinkSync(`${m.root}/etc/postfix/main.cf`);
  symlinkSync(`${m.root}/srv/main.cf`, `${m.root}/etc/postfix/main.cf`);
  const [before, target] = [m.etc(), m.read('/srv/main.cf')];
  await m.apply();
  t.equal(m.read('/srv/main.cf'), target, 'what it led to is not ours');
  await m.undo();
  t.same(m.etc(), before);
});

t.test('files and units that are no longer rendered go', async (t) => {
  const m = machine(t);
  m.config = `${m.config}journal_retention_days = 3\n`;
  await m.apply();
  const applied = m.etc();
  m.config = m.config.replace('= 3', '= 0');
  await m.apply();
  t.match(m.output, /^remove {3}\/etc\/systemd\/journald\.conf\.d\/60-chatmail\.conf$/m);
  t.throws(() => m.read('/etc/systemd/journald.conf.d/60-chatmail.conf'));
  await m.undo();
  t.same(m.etc(), applied);
});

t.test('refusals say what to do', async (t) => {
  const rows: [(m: TestMachine) => void, RegExp, string][] = [
    [
      (m) => void m.owners.push({ port: 25, pid: 9, program: 'exim4', unit: 'exim4.service' }),
      /port 25 is taken by exim4.*systemctl disable --now exim4\.service/,
      'another mail server',
    ],
    [
      (m) => m.write('/etc/passwd', 'root:x:0:0::/root:/bin/sh\n'),
      /no user vmail.*chatmailctl init 10\.1\.2\.3/,
      'no init',
    ],
    [(m) => m.write('/etc/postfix/tls_policy/x', ''), /tls_policy is a directory/, 'a directory in the way'],
    [(m) => m.write('/var/lib/chatmail/applied.json', '{'), /applied\.json is damaged/, 'our own record'],
  ];
  for (const [prepare, message, why] of rows) {
    const m = machine(t);
    prepare(m);
    const before = m.etc();
    await t.rejects(m.apply(), { exitCode: EXIT_CONFIG, message }, why);
    t.same(m.etc(), before, why);
  }
});
