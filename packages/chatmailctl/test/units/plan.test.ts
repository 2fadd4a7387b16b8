import t from 'tap';
import { planUnits, servicesIn, wantedFiles } from '../../src/units/plan.ts';

const shipped = new Map([
  ['a.service', '[Service]\nExecStart=/usr/lib/chatmail-sidecars/bin/a --b\nStateDirectory=chatmail/state\n'],
  ['a.socket', '[Socket]\nListenStream=/run/a\n'],
  ['chatmail-b.service', '[Service]\nExecStart=/usr/lib/chatmail-sidecars/bin/chatmail-b\n'],
  ['sysusers.conf', 'u vmail - "Mail"\n'],
  ['README', 'nothing for systemd\n'],
]);
const wanted = wantedFiles(shipped, '/usr/local/lib/node_modules/chatmail-sidecars', '1.2.3');
const there = new Map(wanted.map(({ path, text }) => [path, text]));

const nobody = () => false;

t.test('units say where this installation is', async (t) => {
  t.strictSame(
    wanted.map(({ path }) => path),
    [
      '/etc/systemd/system/a.service',
      '/etc/systemd/system/a.socket',
      '/etc/systemd/system/chatmail-b.service',
      '/etc/sysusers.d/chatmail-sidecars.conf',
    ],
  );
  const [service] = wanted;
  t.match(service!.text, /^ExecStart=\/usr\/local\/lib\/node_modules\/chatmail-sidecars\/bin\/a --b$/m);
  t.match(service!.text, /^StateDirectory=chatmail\/state$/m);
  t.match(
    wantedFiles(shipped, '/opt/my relay/50%', '1')[0]!.text,
    /^ExecStart="\/opt\/my relay\/50%%\/bin\/a" --b$/m,
    'a path systemd would take apart',
  );
});

t.test('what has to be done', async (t) => {
  t.strictSame(
    planUnits(wanted, there, nobody),
    { write: [], remove: [], left: [], foreign: [] },
    'nothing, the second time',
  );
  t.equal(planUnits(wanted, new Map(), nobody).write.length, 4, 'everything, the first time');
  const next = wantedFiles(shipped, '/usr/local/lib/node_modules/chatmail-sidecars', '1.2.4');
  t.equal(planUnits(next, there, nobody).write.length, 4, 'another version');
  const path = '/etc/systemd/system/a.service';
  t.strictSame(
    planUnits(wanted, new Map([...there, [path, '[Service]\n']]), nobody).foreign,
    [path],
    'written by somebody else',
  );
  t.match(
    planUnits(wanted, new Map([...there, [path, '[Service]\n']]), () => true),
    { write: [], left: [path], foreign: [] },
    'of the relay before',
  );
  const old = '/etc/systemd/system/old.service';
  t.strictSame(
    planUnits(wanted, new Map([...there, [old, there.get(path)!]]), nobody).remove,
    [old],
    'no longer shipped',
  );
});

t.test('daemons, not what timers start', async (t) => {
  t.strictSame(servicesIn(wanted.map(({ path }) => path)), ['a.service']);
});
