/**
 * [io] `chatmail-expire`: removes what is old. Run daily by a timer; without `--remove` it only tells what it would do.
 */

import { getPriority, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { EXIT_OK, EXIT_TEMPORARY, forgetAccounts, loadConfig, METADATA_SOCKET, UsageError } from '#core';
import { type BytePath, formatPath, fromText } from './byte-path.ts';
import { type ExpiryEvents, type MailboxRemovalReason, runExpiry } from './expiry.ts';
import { DAY_MS, type RemovalReason } from './plan.ts';
import { checkMailboxesDir, parseCount, parseWords, runProgram } from './program.ts';
import { createProgressBar } from './progress.ts';
import { formatSummary, formatSummaryJson, summaryNotes } from './summary.ts';

const USAGE = `usage: chatmail-expire [chatmail.ini] [--days N] [--maxnum N] [-v] [--remove] [--json]

Removes messages and accounts that are older than chatmail.ini allows. Without --remove it only says what it would remove.

  --days N     take today to be N days ago
  --maxnum N   work on at most N mailboxes
  -v           name every file and mailbox on standard error (they contain addresses)
  --remove     really remove
  --json       print the summary as JSON
  --metadata-socket PATH
               where metadata-push is told to forget accounts (default ${METADATA_SOCKET})
`;

const LOWEST_PRIORITY = 19;

/** What `-v` calls them. */
const REASONS: Readonly<Record<RemovalReason | MailboxRemovalReason, string>> = {
  age: 'age',
  large: 'large',
  quota: 'quota',
  unused: 'unused',
  leftover: 'leftover',
  begun: 'set aside earlier',
};

await runProgram('chatmail-expire', USAGE, async (words) => {
  const { values, positionals } = parseWords(() =>
    parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        days: { type: 'string' },
        maxnum: { type: 'string' },
        verbose: { type: 'boolean', short: 'v' },
        remove: { type: 'boolean' },
        json: { type: 'boolean' },
        'metadata-socket': { type: 'string' },
      },
    }),
  );
  if (positionals.length > 1) throw new UsageError(`unexpected '${positionals[1]}': name one chatmail.ini`);
  const days = parseCount('--days', values.days) ?? 0;
  const maxMailboxes = parseCount('--maxnum', values.maxnum) ?? Number.POSITIVE_INFINITY;
  const config = loadConfig(positionals[0]);
  for (const warning of config.warnings) process.stderr.write(`chatmail-expire: ${warning}\n`);
  checkMailboxesDir(config.mailboxes_dir);
  yieldToOthers();

  const isVerbose = values.verbose ?? false;
  const isDryRun = !values.remove;
  const progress = createProgressBar(process.stderr, 'mailboxes', !isVerbose);
  const events = isVerbose ? namingEvents(isDryRun) : quietEvents(progress.update);
  const realNowMs = Date.now();
  const startedMs = performance.now();
  const summary = await runExpiry({
    mailboxesDir: fromText(config.mailboxes_dir),
    rules: config,
    clock: { nowMs: realNowMs - days * DAY_MS, realNowMs },
    isDryRun,
    isVerbose,
    maxMailboxes,
    forget: (addresses) => forgetAccounts(addresses, values['metadata-socket'] ?? METADATA_SOCKET, config.state_dir),
    events,
  });
  progress.end();

  const durationMs = performance.now() - startedMs;
  const format = values.json ? formatSummaryJson : formatSummary;
  process.stdout.write(`${format(summary, { isDryRun, durationMs })}\n`);
  for (const note of summaryNotes(summary, config)) process.stderr.write(`chatmail-expire: ${note}\n`);
  return summary.problems > 0 || summary.isStopped ? EXIT_TEMPORARY : EXIT_OK;
});

function namingEvents(isDryRun: boolean): ExpiryEvents {
  const tell = (verb: string, path: BytePath, remark: string) =>
    process.stderr.write(`${verb} ${formatPath(path)} (${remark})\n`);
  return {
    onRemoval: (path, reason) => tell(isDryRun ? 'would remove' : 'removing', path, REASONS[reason]),
    onUnsure: (path) => tell('keeping', path, 'date of last login unreadable or in the future'),
    onUnknown: (path) => tell('keeping', path, 'no account, but it holds something unknown'),
    onProblem: ({ path, code }) => tell('failed', path, code),
    onProgress: () => {},
  };
}

function quietEvents(onProgress: ExpiryEvents['onProgress']): ExpiryEvents {
  return { onRemoval: () => {}, onUnsure: () => {}, onUnknown: () => {}, onProblem: () => {}, onProgress };
}

/** Deliveries and logins go first, always. */
function yieldToOthers(): void {
  try {
    if (getPriority() < LOWEST_PRIORITY) setPriority(LOWEST_PRIORITY);
  } catch {
    // Sandboxed by systemd, which has its own Nice=. Expiry is worth more than politeness.
  }
}
