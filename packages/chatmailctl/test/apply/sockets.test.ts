import t from 'tap';
import { parseSocketAccess } from '../../src/apply/sockets.ts';

t.test('what systemd says of sockets', async (t) => {
  const units = ['a.socket', 'b.socket', 'c.socket'];
  const output = `Id=a.socket
ActiveState=active
Listen=/run/a with blank (Stream)
Listen=127.0.0.1:9000 (Stream)
Listen=/run/a2 (Stream)
SocketUser=www-data
SocketGroup=root
SocketMode=0660

Id=b.socket
ActiveState=inactive
Listen=/run/b (Stream)
SocketUser=
SocketGroup=vmail
SocketMode=0600

Id=c.socket
ActiveState=active
SocketUser=caddy
`;
  t.same(parseSocketAccess(units, output), [
    {
      unit: 'a.socket',
      isOpen: true,
      paths: ['/run/a with blank', '/run/a2'],
      owner: 'www-data:root',
      mode: 0o660,
    },
    { unit: 'b.socket', isOpen: false, paths: ['/run/b'], owner: 'root:vmail', mode: 0o600 },
    { unit: 'c.socket', isOpen: true, paths: [], owner: 'caddy:', mode: 0o666 },
  ]);
});
