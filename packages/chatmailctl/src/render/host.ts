/**
 * Settings of the host a relay needs: how many mailboxes may be watched (inotify(7)), and how long the journal is kept
 * (journald.conf(5)). Both are drop-in files; nothing of the host's own is edited.
 */

import type { Config } from '#core';
import { HEADER, type RelayLayout, type RenderedFiles } from '../layout.ts';

/** Renders /etc/sysctl.d/60-chatmail.conf. */
export function renderSysctl({ limits }: RelayLayout): RenderedFiles {
  return {
    '/etc/sysctl.d/60-chatmail.conf': `# ${HEADER}
# Every imap process watches its mailbox with an instance of its own; at the default of 128 the next session hears of nothing.
fs.inotify.max_user_instances = ${limits.imapConnections + 4096}
# Sessions that idle watch a few directories each.
fs.inotify.max_user_watches = ${Math.max(1_048_576, 8 * limits.imapConnections)}
`,
  };
}

/** Renders the journal's retention, unless chatmail.ini leaves that to the host. */
export function renderJournald(config: Config): RenderedFiles {
  if (config.journal_retention_days === 0) return {};
  return {
    '/etc/systemd/journald.conf.d/60-chatmail.conf': `# ${HEADER}
# For all of this machine's journal: journal_retention_days of chatmail.ini, 0 leaves it alone.
[Journal]
MaxRetentionSec=${config.journal_retention_days}day
# A file is deleted as a whole, when its youngest entry is that old.
MaxFileSec=1day
`,
  };
}
