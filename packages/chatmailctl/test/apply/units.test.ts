import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Change } from '../../src/apply/plan.ts';
import {
  parseUnitStates,
  planServices,
  relayUnits,
  stoppable,
  unitFileOf,
  unitsToEnable,
} from '../../src/apply/units.ts';
import { HEADER } from '../../src/layout.ts';

const OURS = { text: `# ${HEADER}\ninet_protocols = all\n`, mode: 0o644 };
const STOCK = { text: 'stock', mode: 0o644 };
const change = (
  path: string,
  service: Change['service'],
  before: Change['before'] = OURS,
  after: Change['after'] = { ...OURS, text: `${OURS.text}x = 1\n` },
): Change => ({ path, service, before, after });
const NOTHING = { daemonReload: false, sysctl: [], restartJournal: false, restart: [], reload: [] };

t.test('who restarts and who reloads', async (t) => {
  const rows: [Change[], { configChanged?: boolean; readCertificate?: string[] }, object, string][] = [
    [[], {}, {}, 'nothing'],
    [[change('/etc/postfix/tls_policy', 'postfix')], {}, { reload: ['postfix.service'] }, 'a table'],
    [[change('/etc/postfix/main.cf', 'postfix', STOCK)], {}, { restart: ['postfix.service'] }, 'it was not ours'],
    [
      [change('/etc/postfix/main.cf', 'postfix', OURS, { ...OURS, text: 'inet_protocols = ipv4' })],
      {},
      { restart: ['postfix.service'] },
      'Postfix reads that only when it starts',
    ],
    [[change('/etc/dovecot/dovecot.conf', 'dovecot')], {}, { reload: ['dovecot.service'] }, 'Dovecot can reload'],
    [
      [change('/etc/dovecot/chatmail-log.sed', 'dovecot'), change('/etc/postfix/chatmail-log.sed', 'postfix')],
      {},
      { restart: ['postfix.service', 'dovecot.service'] },
      'what the log runs through is started with the server',
    ],
    [
      [change('/etc/systemd/system/dovecot.service.d/50-chatmail.conf', 'systemd', undefined)],
      {},
      { daemonReload: true, restart: ['dovecot.service'] },
      'a limit of the unit',
    ],
    [
      [change('/etc/systemd/system/postfix@-.service.d/50-chatmail.conf', 'systemd', undefined)],
      {},
      { daemonReload: true, restart: ['postfix.service'] },
      "Debian 12's instance",
    ],
    [
      [change('/etc/systemd/system/doveauth-new.socket.d/50-chatmail.conf', 'systemd', undefined)],
      {},
      { daemonReload: true },
      'a socket',
    ],
    [
      [],
      { configChanged: true },
      { reload: ['filtermail.service', 'doveauth.service', 'metadata-push.service'] },
      'chatmail.ini',
    ],
    [
      [change('/etc/systemd/system/filtermail.service.d/50-chatmail.conf', 'systemd')],
      { configChanged: true },
      { daemonReload: true, restart: ['filtermail.service'], reload: ['doveauth.service', 'metadata-push.service'] },
      'one that starts again reads it anyway',
    ],
    [[], { readCertificate: ['nginx.service'] }, { reload: ['nginx.service'] }, 'a new certificate'],
    [
      [change('/etc/sysctl.d/60-chatmail.conf', 'sysctl')],
      {},
      { sysctl: ['/etc/sysctl.d/60-chatmail.conf'] },
      'kernel',
    ],
    [[{ ...change('/etc/sysctl.d/60-chatmail.conf', 'sysctl'), after: undefined }], {}, {}, 'a file that is gone'],
    [[change('/var/lib/chatmail/web/index.html', 'web')], {}, {}, 'a page'],
  ];
  for (const [changes, { configChanged = false, readCertificate = [] }, expected, why] of rows) {
    t.same(planServices(changes, { configChanged, readCertificate }), { ...NOTHING, ...expected }, why);
  }
});

t.test('what systemd answers', async (t) => {
  const names = ['a.socket', 'b.timer', 'c.service', 'doveauth.service'];
  const output = `Id=a.socket
LoadState=loaded
UnitFileState=enabled
ActiveState=active

Id=b.timer
LoadState=loaded
UnitFileState=disabled
ActiveState=inactive

LoadState=not-found
Id=c.service
UnitFileState=
ActiveState=inactive

Id=doveauth.service
LoadState=loaded
UnitFileState=enabled
ActiveState=inactive
`;
  const states = parseUnitStates(names, output);
  t.same(
    states.map(({ isInstalled, isEnabled, isActive }) => [isInstalled, isEnabled, isActive]),
    [
      [true, true, true],
      [true, false, false],
      [false, false, false],
      [true, true, false],
    ],
  );
  t.same(unitsToEnable(states), ['b.timer', 'c.service'], 'a daemon that has ended for lack of work is left alone');
  const failed = parseUnitStates(['doveauth.service'], 'LoadState=loaded\nUnitFileState=enabled\nActiveState=failed\n');
  t.same(unitsToEnable(failed), ['doveauth.service'], 'one that a wrong configuration has ended is not');
});

const SYSTEMD = join(import.meta.dirname, '../../../../systemd');
const shipped = readdirSync(SYSTEMD).filter((name) => name.endsWith('.socket') && name !== 'push-gateway.socket');
const unitText = (name: string) => readFileSync(join(SYSTEMD, name), 'utf8');

t.test('every socket that is shipped', async (t) => {
  t.same(
    relayUnits(false, [])
      .filter((name) => name.endsWith('.socket'))
      .sort(),
    shipped,
    'is enabled by apply and watched by status',
  );
  for (const name of shipped) {
    const daemon = /^Service=(.*)$/m.exec(unitText(name))?.[1] ?? name.replace('.socket', '.service');
    for (const key of ['Requires', 'After', 'Also']) {
      const line = new RegExp(`^${key}=(.*)$`, 'm').exec(unitText(daemon))?.[1];
      t.ok(line?.split(' ').includes(name), `${daemon}: ${key}=${name}`);
    }
  }
});

t.test('who may connect, as shipped', async (t) => {
  for (const name of shipped.filter((name) => !name.startsWith('filtermail'))) {
    const owner = /^SocketUser=(.*)\nSocketGroup=(.*)\nSocketMode=(.*)$/m.exec(unitText(name))?.slice(1);
    const expected = name === 'doveauth-new.socket' ? ['root', 'root', '0600'] : ['root', 'vmail', '0660'];
    t.same(owner, expected, name);
  }
});

t.test('which units can be stopped', async (t) => {
  const http = 'doveauth-http.socket';
  const doveauth = ['doveauth-auth.socket', 'doveauth-lastlogin.socket', http, 'doveauth-new.socket'];
  const others = ['metadata-push.socket', 'metadata-push.service', 'chatmail-expire.timer'];
  const all = [...doveauth, 'doveauth.service', ...others];
  t.same(stoppable(all, [...doveauth, 'filtermail-sign.socket']), all, 'a daemon with all its sockets');
  t.same(stoppable([http, ...others], doveauth), others, 'not a socket without the others of its daemon');
  t.same(stoppable(['doveauth.service'], doveauth), [], 'nor the daemon without them');
  t.same(
    stoppable(['doveauth.service', http], [http]),
    ['doveauth.service', http],
    'those that are closed do not count',
  );
});

t.test('the units of a relay', async (t) => {
  const paths = ['/etc/systemd/system/chatmail-tls.timer', '/etc/systemd/system/chatmail-tls.service', '/etc/x.timer'];
  const units = relayUnits(false, paths);
  t.ok(units.includes('chatmail-tls.timer'));
  t.notOk(units.includes('chatmail-tls.service'), 'the timer starts it');
  t.notOk(units.includes('nginx.service'));
  t.ok(relayUnits(true, []).includes('nginx.service'));
  const timer = 'chatmail-expire.timer';
  t.strictSame(
    relayUnits(false, [`/etc/systemd/system/${timer}`]).filter((unit) => unit === timer),
    [timer],
    'once, also where apply writes it',
  );
  t.equal(unitFileOf('/etc/systemd/system/x.service.d/50-chatmail.conf'), undefined);
});
