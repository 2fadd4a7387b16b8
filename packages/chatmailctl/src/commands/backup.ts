/**
 * `chatmailctl backup`.
 */

import { EXIT_OK } from '#core';
import { CONFIG_HELP, CONFIG_OPTION, METADATA_HELP, METADATA_OPTION, openRelay } from '../accounts/relay-access.ts';
import { backUp } from '../backup/back-up.ts';
import { command } from '../command.ts';

/** Files of the operator's own, often the same for several relays; `restore` writes nowhere but where ours are. */
const KEY_FILES = [
  ...(['apns_key', 'apns_certificate', 'fcm_service_account', 'vapid_key', 'push_openpgp_keys'] as const),
  'turn_secret_file',
] as const;

export const backup = command({
  usage: `usage: chatmailctl backup FILE [--mail] [--no-device-tokens] [--json]

Writes what makes this relay itself into a tar archive that only its owner can read: accounts with the days of their last login,
chatmail.ini, DKIM key, self-signed certificate, invitations and device tokens. The relay goes on working meanwhile. Who has the file
can be this relay: keep it as you keep a key. Not in it: certificates that an authority gives, the mail queue, pushes that wait, and
the keys of push and TURN that chatmail.ini names; they are listed.

  --mail                   also all messages
  --no-device-tokens       leave out what push needs; clients bring it again when they connect
  --json                   print one JSON object
${CONFIG_HELP}
${METADATA_HELP}
`,
  options: {
    mail: { type: 'boolean' },
    'no-device-tokens': { type: 'boolean' },
    json: { type: 'boolean' },
    ...CONFIG_OPTION,
    ...METADATA_OPTION,
  },
  words: [1, 1],
  async run(values, [path], { print, note, signal }) {
    const relay = openRelay(values);
    const manifest = await backUp(relay, path!, {
      withMail: values.mail ?? false,
      withDeviceTokens: !values['no-device-tokens'],
      signal,
      note,
    });
    for (const key of KEY_FILES) {
      if (relay.config[key] !== '') note(`not in it, copy it yourself: ${relay.config[key]} (${key})`);
    }
    if (values.json) print(JSON.stringify(manifest));
    else {
      const { accounts, mailFiles, invitations, deviceTokens, withMail } = manifest;
      const mail = withMail ? `, ${mailFiles} files of mail` : ', no mail';
      print(`${path}: ${accounts} accounts${mail}, ${invitations} invitations, ${deviceTokens} device tokens`);
    }
    return EXIT_OK;
  },
});
