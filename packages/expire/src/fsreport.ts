/**
 * [io] `chatmail-fsreport`: how much mail is stored and how many accounts are in use, as text, as JSON, as a Prometheus text
 * file and in the older three-line format. Changes nothing.
 */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT_CONFIG, EXIT_OK, EXIT_TEMPORARY, ExitError, loadConfig, UsageError, writeFileAtomic } from '#core';
import { fromText } from './byte-path.ts';
import { errorCode } from './directory.ts';
import { readLastLogin } from './last-login.ts';
import { DAY_MS } from './plan.ts';
import { checkMailboxesDir, parseCount, parseWords, runProgram } from './program.ts';
import { createProgressBar } from './progress.ts';
import {
  addMailbox,
  emptyReport,
  formatJson,
  formatLegacyMetrics,
  formatPrometheus,
  formatText,
  type ReportOptions,
} from './report.ts';
import { mailboxNames, walkMailbox } from './scan.ts';

const LEGACY_METRICS_FILE = '/var/www/html/metrics';
const TEXTFILE_NAME = 'fsreport.prom';

const USAGE = `usage: chatmail-fsreport [chatmail.ini] [--days N] [--min-login-age N] [--mdir cur|new|tmp] [--maxnum N]
                         [--textfile PATH] [--legacy-metrics [FILE]] [--json]

Reports how much mail is stored and how many accounts are in use. Without one of the last three it prints text.

  --days N                 take today to be N days ago
  --min-login-age N        sum up messages only of accounts whose last login is at least N days ago
  --mdir KIND              sum up messages only in cur, new or tmp
  --maxnum N               look at N mailboxes at most
  --textfile PATH          write Prometheus metrics to PATH, or to ${TEXTFILE_NAME} in it when it is a directory
  --legacy-metrics [FILE]  write the numbers of accounts to FILE (default ${LEGACY_METRICS_FILE})
  --json                   print the report as JSON
`;

await runProgram('chatmail-fsreport', USAGE, async (words) => {
  const { values, positionals } = parseWords(() =>
    parseArgs({
      args: completeLegacyOption(words),
      allowPositionals: true,
      options: {
        days: { type: 'string' },
        'min-login-age': { type: 'string' },
        mdir: { type: 'string' },
        maxnum: { type: 'string' },
        textfile: { type: 'string' },
        'legacy-metrics': { type: 'string' },
        json: { type: 'boolean' },
      },
    }),
  );
  if (positionals.length > 1) throw new UsageError(`unexpected '${positionals[1]}': name one chatmail.ini`);
  const days = parseCount('--days', values.days) ?? 0;
  const options: ReportOptions = {
    nowMs: Date.now() - days * DAY_MS,
    minLoginAgeDays: parseCount('--min-login-age', values['min-login-age']) ?? 0,
    folderKind: parseFolderKind(values.mdir),
  };
  const maxMailboxes = parseCount('--maxnum', values.maxnum) ?? Number.POSITIVE_INFINITY;
  const config = loadConfig(positionals[0]);
  for (const warning of config.warnings) process.stderr.write(`chatmail-fsreport: ${warning}\n`);

  checkMailboxesDir(config.mailboxes_dir);
  const startedMs = performance.now();
  const { report, problems } = walk(fromText(config.mailboxes_dir), maxMailboxes, options);
  const run = {
    timestampSeconds: Math.round(Date.now() / 1000),
    durationSeconds: Math.round(performance.now() - startedMs) / 1000,
    problems,
  };

  const { textfile, 'legacy-metrics': legacyFile, json } = values;
  if (textfile !== undefined) await publish('--textfile', textfile, formatPrometheus(report, run), TEXTFILE_NAME);
  if (legacyFile !== undefined) await publish('--legacy-metrics', legacyFile, formatLegacyMetrics(report));
  if (json) process.stdout.write(formatJson(report, run));
  else if (textfile === undefined && legacyFile === undefined) process.stdout.write(formatText(report, options));
  if (problems > 0) process.stderr.write(`chatmail-fsreport: ${problems} files or directories could not be read\n`);
  return problems > 0 ? EXIT_TEMPORARY : EXIT_OK;
});

function walk(mailboxesDir: string, maxMailboxes: number, options: ReportOptions) {
  const report = emptyReport();
  let problems = 0;
  const onProblem = () => void problems++;
  const progress = createProgressBar(process.stderr, 'mailboxes', true);
  let done = 0;
  for (const name of mailboxNames(mailboxesDir)) {
    if (done >= maxMailboxes) break;
    // How many there are is only known at the end; counting them first would be a walk of its own.
    progress.update(++done, undefined);
    const mailbox = `${mailboxesDir}/${name}`;
    const visitor = {
      onMessage: addMailbox(report, { name, login: readLastLogin(mailbox, onProblem) }, options),
      onExtra: (_name: string, _isFile: boolean, bytes: number) => {
        report.extraBytes += bytes;
      },
    };
    walkMailbox(mailbox, visitor, onProblem, { sizesOnDisk: true });
  }
  progress.end();
  return { report, problems };
}

/**
 * Writes a file that the web server and the metrics collector, whose users are others, may read.
 *
 * @param nameInDirectory what to call it where `path` is a directory
 * @throws ExitError when it cannot be written
 */
async function publish(option: string, path: string, text: string, nameInDirectory?: string): Promise<void> {
  try {
    const isDirectory = nameInDirectory !== undefined && statSync(path, { throwIfNoEntry: false })?.isDirectory();
    await writeFileAtomic(isDirectory ? join(path, nameInDirectory) : path, text, { mode: 0o644 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    const code = errorCode(error);
    const isWrongPath = code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR';
    const advice = isWrongPath ? 'make its directory, or name another file' : 'make room and let this user write there';
    throw new ExitError(
      isWrongPath ? EXIT_CONFIG : EXIT_TEMPORARY,
      `${option} ${path} cannot be written (${code}): ${advice}`,
      { cause: error },
    );
  }
}

/** `--legacy-metrics` takes a value or none, which parseArgs cannot express. */
function completeLegacyOption(words: readonly string[]): string[] {
  return words.map((word, index) => {
    const next = words[index + 1];
    return word === '--legacy-metrics' && (next === undefined || next.startsWith('-'))
      ? `${word}=${LEGACY_METRICS_FILE}`
      : word;
  });
}

function parseFolderKind(text: string | undefined) {
  if (text === undefined || text === 'cur' || text === 'new' || text === 'tmp') return text;
  throw new UsageError(`--mdir ${text}: write cur, new or tmp`);
}
