/**
 * [io] `chatmailctl adopt`.
 */

import { EXIT_OK } from '#core';
import { adopt as adoptRelay } from '../adopt/adopt.ts';
import { localHost, requireRoot } from '../apply/host.ts';
import { command } from '../command.ts';

export const adopt = command({
  usage: `usage: chatmailctl adopt [--keep-config]

Prepares to take over, in place, a relay that cmdeploy (chatmail/relay) has set up on this machine: copies its chatmail.ini, its
certificate and its account with the certificate authority to where they are looked for, and allows chatmailctl apply to replace its
configuration and its services. Accounts, mail, DKIM key and device tokens are used where they are. Changes nothing that runs.

An /etc/chatmail/chatmail.ini that is there already stays. When its settings are others than those the relay has run with so far,
adopt names them and refuses. What is changed in an imported one does not count.

  --keep-config   take the settings of /etc/chatmail/chatmail.ini nevertheless
`,
  options: { 'keep-config': { type: 'boolean' } },
  words: [0, 0],
  async run(values, _words, { print }) {
    requireRoot('adopt');
    await adoptRelay(localHost(), print, { keepConfig: values['keep-config'] ?? false });
    return EXIT_OK;
  },
});
