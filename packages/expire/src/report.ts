/**
 * The storage and login report: mailboxes in, sums out, and the four ways to write them down. Pure. Names, labels and buckets
 * of the metrics are those of today's relays, so that dashboards and alerts survive moving over; what is ours is added.
 */

import { DAY_MS, type FolderKind, type LastLogin, type Message } from './plan.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Messages are summed up from each of these sizes upwards, bytes. */
const SIZE_THRESHOLDS = [0, 100 * KIB, MIB / 2, MIB, 2 * MIB, 5 * MIB, 10 * MIB];
/** Accounts are counted that logged in within so many days. */
const ACTIVITY_DAYS = [1, 10, 30, 40, 80, 100, 150];
/** Accounts made by automated tests begin with this. */
const CI_PREFIX = 'ci-';

export interface ReportOptions {
  /** What ages are counted from, ms since 1970. */
  readonly nowMs: number;
  /** Sum up messages only of accounts whose last login is at least so many days ago. */
  readonly minLoginAgeDays: number;
  /** Sum up messages only in folders of this kind. */
  readonly folderKind: FolderKind | undefined;
}

export interface SizeBucket {
  readonly minBytes: number;
  bytes: number;
  count: number;
}

export interface ActivityBucket {
  readonly days: number;
  accounts: number;
}

/** Everything a report says. Bytes are bytes on disk. */
export interface StorageReport {
  messageBytes: number;
  messages: number;
  /** Files that are no messages: indexes, passwords. */
  extraBytes: number;
  accounts: number;
  ciAccounts: number;
  /** Mailboxes without a password file, or with one that tells no date. */
  mailboxesWithoutLogin: number;
  readonly sizes: SizeBucket[];
  /** Accounts that are not automated tests, by their last login. */
  readonly activity: ActivityBucket[];
}

export function emptyReport(): StorageReport {
  return {
    messageBytes: 0,
    messages: 0,
    extraBytes: 0,
    accounts: 0,
    ciAccounts: 0,
    mailboxesWithoutLogin: 0,
    sizes: SIZE_THRESHOLDS.map((minBytes) => ({ minBytes, bytes: 0, count: 0 })),
    activity: ACTIVITY_DAYS.map((days) => ({ days, accounts: 0 })),
  };
}

/** Counts a mailbox; what it returns is to be called with each of its messages. */
export function addMailbox(
  report: StorageReport,
  { name, login }: { readonly name: string; readonly login: LastLogin },
  options: ReportOptions,
): (message: Message) => void {
  let isSummedUp = false;
  if (login.kind !== 'known') report.mailboxesWithoutLogin++;
  else {
    report.accounts++;
    if (name.startsWith(CI_PREFIX)) report.ciAccounts++;
    else addActivity(report, login.atMs, options.nowMs);
    isSummedUp = login.atMs <= options.nowMs - options.minLoginAgeDays * DAY_MS;
  }
  return (message) => {
    report.messages++;
    report.messageBytes += message.bytes;
    if (isSummedUp) addSize(report, message, options.folderKind);
  };
}

function addActivity(report: StorageReport, loginAtMs: number, nowMs: number): void {
  for (const bucket of report.activity) if (loginAtMs >= nowMs - bucket.days * DAY_MS) bucket.accounts++;
}

function addSize(report: StorageReport, { bytes, folder }: Message, folderKind: FolderKind | undefined): void {
  if (folderKind !== undefined && folder.kind !== folderKind) return;
  for (const bucket of report.sizes) {
    if (bytes < bucket.minBytes) break;
    bucket.bytes += bytes;
    bucket.count++;
  }
}

/** The report for people. */
export function formatText(report: StorageReport, options: ReportOptions): string {
  const { messageBytes, extraBytes, accounts, ciAccounts } = report;
  const users = accounts - ciAccounts;
  const only = options.folderKind === undefined ? '' : ` in ${options.folderKind}/`;
  const age = options.minLoginAgeDays === 0 ? '' : `, last login ${options.minLoginAgeDays} days ago or longer`;
  const lines = [
    'Storage',
    row('all', formatBytes(messageBytes + extraBytes)),
    row('messages', formatBytes(messageBytes), `${report.messages} messages`),
    row('other files', formatBytes(extraBytes), percentOf(extraBytes, messageBytes + extraBytes)),
    '',
    `Messages by size${only}${age}`,
    ...report.sizes.map(({ minBytes, bytes, count }) =>
      row(`from ${formatBytes(minBytes)}`, formatBytes(bytes), `${percentOf(bytes, messageBytes)}, ${count} messages`),
    ),
    '',
    `Accounts at ${new Date(options.nowMs).toISOString()}`,
    row('all', String(accounts)),
    row('users', String(users)),
    row('ci', String(ciAccounts)),
    ...report.activity.map(({ days, accounts: active }) =>
      row(`last ${days} days`, String(active), `${percentOf(active, users)} of users`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function row(label: string, value: string, remark = ''): string {
  return `  ${label.padEnd(16)}${value.padStart(10)}${remark === '' ? '' : `  ${remark}`}`;
}

function percentOf(part: number, whole: number): string {
  return `${(whole === 0 ? 0 : (part / whole) * 100).toFixed(1)}%`;
}

/** Binary units, three digits, as `max_mailbox_size` counts them. */
function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** The report for machines: one JSON object. Names are stable. */
export function formatJson(report: StorageReport, run: ReportRun): string {
  return `${JSON.stringify({ ...run, ...report })}\n`;
}

/** How the report came about. */
export interface ReportRun {
  /** Seconds since 1970. */
  readonly timestampSeconds: number;
  readonly durationSeconds: number;
  /** Files and directories that could not be read: their sizes are missing. */
  readonly problems: number;
}

/** Prometheus text exposition format 0.0.4, for the textfile collector of node_exporter. */
export function formatPrometheus(report: StorageReport, run: ReportRun): string {
  const { messageBytes, extraBytes, accounts, ciAccounts } = report;
  return [
    gauge('chatmail_storage_bytes', 'Mailbox storage in bytes.', [
      ['{kind="messages"}', messageBytes],
      ['{kind="extra"}', extraBytes],
      ['{kind="total"}', messageBytes + extraBytes],
    ]),
    gauge(
      'chatmail_messages_bytes',
      'Bytes in messages of at least a size.',
      report.sizes.map(({ minBytes, bytes }) => [`{min_size="${minBytes}"}`, bytes]),
    ),
    gauge(
      'chatmail_messages_count',
      'Messages of at least a size.',
      report.sizes.map(({ minBytes, count }) => [`{min_size="${minBytes}"}`, count]),
    ),
    gauge('chatmail_accounts', 'Accounts.', [
      ['{kind="all"}', accounts],
      ['{kind="ci"}', ciAccounts],
      ['{kind="user"}', accounts - ciAccounts],
    ]),
    gauge(
      'chatmail_accounts_active',
      'Accounts, other than those of automated tests, that logged in within a number of days.',
      report.activity.map(({ days, accounts: active }) => [`{days="${days}"}`, active]),
    ),
    gauge('chatmail_mailboxes_without_login', 'Mailboxes that are no account, or whose last login is unreadable.', [
      ['', report.mailboxesWithoutLogin],
    ]),
    gauge('chatmail_fsreport_problems', 'Files and directories that could not be read.', [['', run.problems]]),
    gauge('chatmail_fsreport_duration_seconds', 'Time the report took.', [['', run.durationSeconds]]),
    gauge('chatmail_fsreport_timestamp_seconds', 'When the report was made.', [['', run.timestampSeconds]]),
  ].join('');
}

/** The three numbers of the metrics page that relays had before, word for word. */
export function formatLegacyMetrics({ accounts, ciAccounts }: StorageReport): string {
  return [
    '# HELP total number of accounts',
    '# TYPE accounts gauge',
    `accounts ${accounts}`,
    '# HELP number of CI accounts',
    '# TYPE ci_accounts gauge',
    `ci_accounts ${ciAccounts}`,
    '# HELP number of non-CI accounts',
    '# TYPE nonci_accounts gauge',
    `nonci_accounts ${accounts - ciAccounts}\n`,
  ].join('\n');
}

function gauge(name: string, help: string, samples: readonly (readonly [labels: string, value: number])[]): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('')}`;
}
