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
       chatmailctl apply --undo

Makes this machine the relay that chatmail.ini describes: writes the files that differ, lets Postfix, Dovecot and nginx check them,
enables the units, restarts or reloads who is concerned, and logs in with a throw-away account. When anything fails, all is put
back. What was there before is kept in /var/lib/chatmail/backups. A second run changes nothing.

  --dry-run     show the differences and change nothing
  --take-over   also replace configuration that neither chatmailctl nor Debian's packages wrote
  --undo        go back to what was there before the last apply
`,
  options: { 'dry-run': { type: 'boolean' }, 'take-over': { type: 'boolean' }, undo: { type: 'boolean' } },
  words: [0, 0],
  async run(values, _words, { print, note }) {
    requireRoot('apply');
    const host = localHost();
    if (values.undo) {
      if (values['dry-run'] || values['take-over']) throw new UsageError('--undo stands alone');
      await undo(host, print, note);
      return EXIT_OK;
    }
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
