/**
 * [io] A dict server on #dovecot-dict that finds the same value for every key and commits to nothing: what the library
 * alone costs.
 * Usage: bare-dict.ts SOCKET
 */

import { committed, createDictServer, found } from '#dovecot-dict';

const value = found(JSON.stringify({ password: `{SHA512-CRYPT}$6$0123456789abcdef$${'x'.repeat(86)}` }));

const { server } = createDictServer({ lookup: () => value, commit: () => committed });
server.listen({ path: process.argv[2]!, backlog: 1024 }, () => console.log('ready'));
