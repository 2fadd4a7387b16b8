/**
 * [io] `chatmailctl init`.
 */

import { EXIT_OK } from '#core';
import { localHost, requireRoot } from '../apply/host.ts';
import { command } from '../command.ts';
import { init as initialise } from '../init/init.ts';

export const init = command({
  usage: `usage: chatmailctl init DOMAIN|IPV4 [--config FILE]

Prepares this machine to be a relay under a name, or under its address alone: writes /etc/chatmail/chatmail.ini, and makes the mail
user, the DKIM key, a self-signed certificate where no authority gives one, and the directories. What is there already stays as it is.
Read chatmail.ini next, then run chatmailctl apply. Refuses on a relay that cmdeploy has set up: chatmailctl adopt keeps its settings.

  --config FILE   write or read this file instead of /etc/chatmail/chatmail.ini, where the daemons look for it
`,
  options: { config: { type: 'string' } },
  words: [1, 1],
  async run(values, words, { print }) {
    requireRoot('init');
    await initialise(localHost(), words[0]!, values.config ?? '/etc/chatmail/chatmail.ini', print);
    return EXIT_OK;
  },
});
