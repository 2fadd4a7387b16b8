/**
 * `chatmailctl restore`.
 */

import { EXIT_OK, findConfigFile } from '#core';
import {
  CONFIG_HELP,
  CONFIG_OPTION,
  METADATA_HELP,
  METADATA_OPTION,
  METADATA_SOCKET,
} from '../accounts/relay-access.ts';
import { localHost, requireRoot } from '../apply/host.ts';
import { restore as restoreArchive } from '../backup/restore.ts';
import { command } from '../command.ts';

export const restore = command({
  usage: `usage: chatmailctl restore FILE [--force] [--json]

Brings back what chatmailctl backup has written, on this machine or another one. The whole archive is checked before anything is
written. Refuses when there are accounts, invitations, or another configuration or key, and a backup of another mail_domain always.
Run chatmailctl apply afterwards.

  --force                  restore all the same: accounts that exist stay as they are, other files get the ending .before-restore
  --json                   print one JSON object
${CONFIG_HELP}
${METADATA_HELP}
`,
  options: { force: { type: 'boolean' }, json: { type: 'boolean' }, ...CONFIG_OPTION, ...METADATA_OPTION },
  words: [1, 1],
  async run(values, [path], { print, note, signal }) {
    requireRoot('restore');
    const { manifest, accounts, kept, invitations, deviceTokens } = await restoreArchive(path!, {
      host: localHost(),
      configPath: findConfigFile(values.config),
      metadataSocket: values['metadata-socket'] ?? METADATA_SOCKET,
      isForced: values.force ?? false,
      signal,
      note,
    });
    for (const address of kept) note(`${address} exists; it was left as it is`);
    if (values.json) {
      print(JSON.stringify({ backup: manifest, accounts, kept: kept.length, invitations, deviceTokens }));
      return EXIT_OK;
    }
    print(
      `restored ${accounts} accounts, ${invitations} invitations and ${deviceTokens} device tokens of ${manifest.created}`,
    );
    print('next: chatmailctl apply');
    return EXIT_OK;
  },
});
