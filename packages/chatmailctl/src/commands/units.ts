/**
 * `chatmailctl units`.
 */

import { EXIT_OK, packageVersion } from '#core';
import { localHost, requireRoot } from '../apply/host.ts';
import { command } from '../command.ts';
import { programRoot } from '../host-facts.ts';
import { installUnits, removeUnits } from '../units/install.ts';

export const units = command({
  usage: `usage: chatmailctl units [--remove] [--dry-run]

For an installation by npm; the Debian package does this itself. Writes the systemd units of the daemons to /etc/systemd/system,
makes the users vmail and push-gateway and their directories, and restarts running daemons when they have become another
version. Enables nothing: chatmailctl apply does. A second run changes nothing.

  --remove    end the daemons and remove the units; users, mail, keys and configuration stay
  --dry-run   only say what would be done
`,
  options: { remove: { type: 'boolean' }, 'dry-run': { type: 'boolean' } },
  words: [0, 0],
  async run(values, _words, { print }) {
    requireRoot('units');
    const act = values.remove ? removeUnits : installUnits;
    const dryRun = values['dry-run'] ?? false;
    await act({ host: localHost(), root: programRoot(), version: packageVersion(), dryRun, print });
    return EXIT_OK;
  },
});
