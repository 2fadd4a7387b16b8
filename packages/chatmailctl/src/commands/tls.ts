/**
 * [io] `chatmailctl tls`.
 */

import { EXIT_OK, loadConfig } from '#core';
import { localHost, requireRoot } from '../apply/host.ts';
import { command } from '../command.ts';
import { renew } from '../tls/renew.ts';

export const tls = command({
  usage: `usage: chatmailctl tls

Looks at the relay's certificate: renews it when it is near its end, and lets Postfix, Dovecot and nginx read it when it is not the
one they have. chatmail-tls.timer runs this once a day, and chatmail-tls.path when the files of an external certificate change.
`,
  options: {},
  words: [0, 0],
  async run(_values, _words, { print, note }) {
    requireRoot('tls');
    await renew({ host: localHost(), config: loadConfig(), now: new Date(), print, note });
    return EXIT_OK;
  },
});
