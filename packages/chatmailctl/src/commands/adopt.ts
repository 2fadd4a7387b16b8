/**
 * [io] `chatmailctl adopt`.
 */

import { EXIT_OK } from '#core';
import { adopt as adoptRelay } from '../adopt/adopt.ts';
import { localHost, requireRoot } from '../apply/host.ts';
import { command } from '../command.ts';

export const adopt = command({
  usage: `usage: chatmailctl adopt

Prepares to take over, in place, a relay that cmdeploy (chatmail/relay) has set up on this machine: copies its chatmail.ini, its
certificate and its account with the certificate authority to where they are looked for, and allows chatmailctl apply to replace its
configuration and its services. Accounts, mail, DKIM key and device tokens are used where they are. Changes nothing that runs.
`,
  options: {},
  words: [0, 0],
  async run(_values, _words, { print }) {
    requireRoot('adopt');
    await adoptRelay(localHost(), print);
    return EXIT_OK;
  },
});
