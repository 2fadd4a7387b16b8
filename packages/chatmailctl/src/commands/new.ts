/**
 * [io] `chatmailctl new`: an account to hand to somebody.
 */

import { EXIT_OK, formatDcaccountUrl } from '#core';
import { createAccount } from '../accounts/create-account.ts';
import { renderQr } from '../accounts/qr.ts';
import { CONFIG_HELP, CONFIG_OPTION, DOVEAUTH_HELP, DOVEAUTH_OPTION, openRelay } from '../accounts/relay-access.ts';
import { command } from '../command.ts';

export const newAccount = command({
  usage: `usage: chatmailctl new [--json] [--no-qr]

Creates an account and prints its address, its password, and a link and a QR code that log Delta Chat in. Works whatever
'registration' says; the machine must have memory and disk to spare as for anybody. The password is shown this once.

  --json                   print one JSON object and no QR code
  --no-qr                  print no QR code
${CONFIG_HELP}
${DOVEAUTH_HELP}
`,
  options: {
    json: { type: 'boolean' },
    'no-qr': { type: 'boolean' },
    ...CONFIG_OPTION,
    ...DOVEAUTH_OPTION,
  },
  words: [0, 0],
  async run(values, _words, { print }) {
    const relay = openRelay(values);
    const account = await createAccount(relay);
    // A link that gets everybody an account of their own; clients fetch it over a connection they can check, or not at all.
    const own =
      relay.config.registration === 'open' && !relay.config.isSelfSigned
        ? formatDcaccountUrl(relay.config, undefined)
        : undefined;
    if (values.json) {
      print(JSON.stringify({ ...account, ...(own && { invite: own }) }));
      return EXIT_OK;
    }
    print(`address:   ${account.address}`);
    print(`password:  ${account.password}`);
    print(`log in:    ${account.link}`);
    if (own) print(`or invite: ${own}   (makes an account of their own for everybody who opens it)`);
    if (values['no-qr']) return EXIT_OK;
    print('');
    for (const line of renderQr(account.link, process.stdout.isTTY)) print(line);
    print('');
    print('Scan it with Delta Chat, or open the link on the device. Who has either has the account.');
    return EXIT_OK;
  },
});
