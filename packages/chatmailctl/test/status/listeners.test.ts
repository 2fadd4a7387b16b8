/** Ports that accept and then say nothing: what Postfix's look like while Dovecot is away. */

import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { tryPort } from '../../src/status/listeners.ts';

for (const tls of [true, false]) {
  t.test(`closed without a word, ${tls ? 'with' : 'without'} TLS`, async (t) => {
    const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { trouble } = await tryPort({ port, service: 'smtp', tls, greeting: '220' });
    t.type(trouble, 'string');
    server.close();
  });
}
