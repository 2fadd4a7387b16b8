/**
 * [io] `chatmailctl apply`.
 */

import { hash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { CONFIG_PATHS, EXIT_OK, loadConfig, UsageError } from '#core';
import { apply as applyTo } from '../apply/apply.ts';
import { localHost, requireRoot } from '../apply/host.ts';
import { undo } from '../apply/undo.ts';
import { command } from '../command.ts';
import { readHostFacts } from '../host-facts.ts';
import { renderRelay } from '../render/relay.ts';

export const apply = command({
  usage: `usage: chatmailctl apply [--dry-run] [--take-over]
       chatmailctl apply --undo [--all]

Makes this machine the relay that chatmail.ini describes: writes the files that differ, lets Postfix, Dovecot and nginx check them,
enables the units, restarts or reloads who is concerned, and logs in with a throw-away account. When anything fails, all is put
back. What was there before is kept in /var/lib/chatmail/backups. A second run changes nothing.

  --dry-run     show the differences and change nothing
  --take-over   also replace configuration that neither chatmailctl nor Debian's packages wrote
  --undo        go back to what was there before the last apply
  --all         with --undo: before the first one, as for removing the package
`,
  options: {
    'dry-run': { type: 'boolean' },
    'take-over': { type: 'boolean' },
    undo: { type: 'boolean' },
    all: { type: 'boolean' },
  },
  words: [0, 0],
  async run(values, _words, { print, note }) {
    requireRoot('apply');
    const host = localHost();
    if (values.undo) {
      if (values['dry-run'] || values['take-over']) throw new UsageError('--undo goes with --all and nothing else');
      await undo(host, print, note, values.all);
      return EXIT_OK;
    }
    if (values.all) throw new UsageError('--all goes with --undo');
    // Not what CHATMAIL_INI names: the daemons do not see that variable.
    const file = CONFIG_PATHS.find((path) => existsSync(path)) ?? CONFIG_PATHS[0];
    const config = loadConfig(file);
    for (const warning of config.warnings) note(`warning: ${warning}`);
    const facts = await readHostFacts();
    await applyTo({
      host,
      config,
      configHash: hash('sha256', readFileSync(file)),
      facts,
      rendered: renderRelay(config, facts),
      now: new Date(),
      dryRun: values['dry-run'] ?? false,
      takeOver: values['take-over'] ?? false,
      print,
      note,
    });
    return EXIT_OK;
  },
});
