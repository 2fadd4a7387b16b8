import t from 'tap';
import { neededPorts, parseListeners, portConflicts } from '../../src/apply/ports.ts';
import { INSTALLED } from '../layouts.ts';

t.test('the table of the kernel', async (t) => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0 10 0
   1: 0100007F:0CEA 0100007F:0019 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0000 100 0 0 10 0
`;
  t.same(parseListeners(table), [{ port: 25, inode: '12345' }]);
  t.same(
    parseListeners(`head\n 0: 00000000000000000000000000000000:03E1 0:0 0A 0:0 0:0 0 0 0 9 1\n`),
    [{ port: 993, inode: '9' }],
    'IPv6',
  );
});

t.test('who is in the way', async (t) => {
  const needed = neededPorts(INSTALLED, true);
  t.same(needed, [25, 465, 587, 993, 80, 443, 8443, 8465, 8993]);
  const exim = { port: 25, pid: 7, program: 'exim4', unit: 'exim4.service' };
  t.same(portConflicts(needed, [exim, { ...exim, port: 587 }, { ...exim, port: 2525 }]), [
    'port 25, 587 is taken by exim4: stop it first (systemctl disable --now exim4.service)',
  ]);
  t.match(portConflicts(needed, [{ ...exim, unit: undefined }])[0], /end process 7/);
  const own = [
    { port: 25, pid: 1, program: 'master', unit: undefined },
    { port: 465, pid: 2, program: 'smtpd', unit: 'postfix@-.service' },
    { port: 993, pid: 3, program: 'imap-login', unit: 'dovecot.service' },
  ];
  t.same(portConflicts(needed, own), [], 'the relay itself');
});
