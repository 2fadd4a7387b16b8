/**
 * [io] `chatmail-expire`: removes what is old. Run daily by a timer; without `--remove` it only tells what it would do.
 */

import { getPriority, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { EXIT_OK, EXIT_TEMPORARY, forgetAccounts, loadConfig, METADATA_SOCKET, UsageError } from '#core';
import { formatPath, fromText } from './byte-path.ts';
import { type ExpiryEvents, runExpiry } from './expiry.ts';
import { DAY_MS } from './plan.ts';
import { parseCount, parseWords, runProgram } from './program.ts';
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
  yieldToOthers();

  const isVerbose = values.verbose ?? false;
  const isDryRun = !values.remove;
  const tell = (line: string) => isVerbose && process.stderr.write(`${line}\n`);
  const progress = createProgressBar(process.stderr, 'mailboxes', !isVerbose);
  const events: ExpiryEvents = {
    onRemoval: (path, reason) => tell(`${isDryRun ? 'would remove' : 'removing'} ${formatPath(path)} (${reason})`),
    onUnsure: (path) => tell(`keeping ${formatPath(path)} (date of last login unreadable or in the future)`),
    onProblem: ({ path, code }) => tell(`failed ${formatPath(path)} (${code})`),
    onProgress: progress.update,
  };
  const realNowMs = Date.now();
  const startedMs = performance.now();
  const summary = await runExpiry({
    mailboxesDir: fromText(config.mailboxes_dir),
    rules: config,
    clock: { nowMs: realNowMs - days * DAY_MS, realNowMs },
    isDryRun,
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

/** Deliveries and logins go first, always. */
function yieldToOthers(): void {
  try {
    if (getPriority() < LOWEST_PRIORITY) setPriority(LOWEST_PRIORITY);
  } catch {
    // Sandboxed by systemd, which has its own Nice=. Expiry is worth more than politeness.
  }
}
