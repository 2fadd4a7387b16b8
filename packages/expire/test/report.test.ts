import t from 'tap';
import type { FolderKind, LastLogin, Message } from '../src/plan.ts';
import {
  addMailbox,
  emptyReport,
  formatJson,
  formatLegacyMetrics,
  formatPrometheus,
  formatText,
  type ReportOptions,
} from '../src/report.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 8, 20);
const OPTIONS: ReportOptions = { nowMs: NOW, minLoginAgeDays: 0, folderKind: undefined };
const RUN = { timestampSeconds: 1_790_000_000, durationSeconds: 0.25, problems: 0 };

function message(bytes: number, kind: FolderKind = 'cur'): Message {
  return { folder: { path: `/m/${kind}`, kind }, name: 'name', arrivedAtMs: NOW, bytes };
}

function login(ageDays: number): LastLogin {
  return { kind: 'known', atMs: NOW - ageDays * DAY };
}

function reportOf(
  mailboxes: [name: string, login: LastLogin, messages: Message[], extraBytes: number][],
  options: ReportOptions = OPTIONS,
) {
  const report = emptyReport();
  for (const [name, lastLogin, messages, bytes] of mailboxes) {
    messages.forEach(addMailbox(report, { name, login: lastLogin }, options));
    report.extraBytes += bytes;
  }
  return report;
}

t.test('accounts by their last login', async (t) => {
  const ages = [0, 1, 1.01, 30, 40.5, 150, 151];
  const report = reportOf([
    ...ages.map((age, index): [string, LastLogin, Message[], number] => [`u${index}@x.org`, login(age), [], 0]),
    ['ci-1@x.org', login(0), [], 0],
    ['gone@x.org', { kind: 'none' }, [], 0],
    ['odd@x.org', { kind: 'unreadable' }, [], 0],
  ]);
  t.equal(report.accounts, 8);
  t.equal(report.ciAccounts, 1);
  t.equal(report.mailboxesWithoutLogin, 2);
  t.same(
    report.activity.map(({ days, accounts }) => [days, accounts]),
    [
      [1, 2],
      [10, 3],
      [30, 4],
      [40, 4],
      [80, 5],
      [100, 5],
      [150, 6],
    ],
    'exactly N days ago is within N days, and automated tests are not counted',
  );
});

t.test('messages by size, both sides of every threshold', async (t) => {
  const thresholds = [0, 102_400, 524_288, 1_048_576, 2_097_152, 5_242_880, 10_485_760];
  for (const [index, threshold] of thresholds.entries()) {
    const at = reportOf([['a@x.org', login(0), [message(threshold)], 0]]);
    t.equal(at.sizes.filter(({ count }) => count === 1).length, index + 1, `${threshold} belongs to its bucket`);
    if (threshold === 0) continue;
    const below = reportOf([['a@x.org', login(0), [message(threshold - 1)], 0]]);
    t.equal(below.sizes.filter(({ count }) => count === 1).length, index, `${threshold - 1} does not`);
  }
});

t.test('what is summed up', async (t) => {
  const mailboxes: [string, LastLogin, Message[], number][] = [
    ['old@x.org', login(50), [message(1000), message(200_000, 'new')], 7],
    ['new@x.org', login(1), [message(300_000)], 5],
    ['gone@x.org', { kind: 'none' }, [message(4000)], 1],
  ];
  const all = reportOf(mailboxes);
  t.equal(all.messageBytes, 505_000, 'all messages, also of nobody');
  t.equal(all.extraBytes, 13);
  t.same(all.sizes[0], { minBytes: 0, bytes: 501_000, count: 3 }, 'by size only those of accounts');
  t.same(all.sizes[1], { minBytes: 102_400, bytes: 500_000, count: 2 });
  const idle = reportOf(mailboxes, { ...OPTIONS, minLoginAgeDays: 50 });
  t.same(idle.sizes[0], { minBytes: 0, bytes: 201_000, count: 2 }, 'exactly 50 days ago is old enough');
  t.equal(reportOf(mailboxes, { ...OPTIONS, minLoginAgeDays: 51 }).sizes[0]?.count, 0);
  t.equal(reportOf(mailboxes, { ...OPTIONS, folderKind: 'new' }).sizes[0]?.bytes, 200_000);
});

t.test('the Prometheus file has the metrics of today and ours', async (t) => {
  const report = reportOf([['ci-1@x.org', login(2), [message(200_000)], 9]]);
  const text = formatPrometheus(report, RUN);
  for (const line of [
    'chatmail_storage_bytes{kind="messages"} 200000',
    'chatmail_storage_bytes{kind="extra"} 9',
    'chatmail_storage_bytes{kind="total"} 200009',
    'chatmail_messages_bytes{min_size="102400"} 200000',
    'chatmail_messages_count{min_size="10485760"} 0',
    'chatmail_accounts{kind="all"} 1',
    'chatmail_accounts{kind="ci"} 1',
    'chatmail_accounts{kind="user"} 0',
    'chatmail_accounts_active{days="150"} 0',
    'chatmail_fsreport_duration_seconds 0.25',
  ]) {
    t.ok(text.includes(`\n${line}\n`), line);
  }
  const names = new Set<string>();
  for (const line of text.trimEnd().split('\n')) {
    const [, name] = /^# TYPE (\w+) gauge$/.exec(line) ?? [];
    if (name) names.add(name);
    else if (!line.startsWith('# HELP ')) t.ok(names.has(/^\w+/.exec(line)?.[0] ?? ''), `${line} comes after its TYPE`);
  }
  t.notMatch(text, /@/, 'no address');
});

t.test('the other formats', async (t) => {
  const report = reportOf([
    ['a@x.org', login(2), [message(1_500_000)], 9],
    ['ci-1@x.org', login(2), [], 0],
  ]);
  t.equal(
    formatLegacyMetrics(report),
    '# HELP total number of accounts\n# TYPE accounts gauge\naccounts 2\n' +
      '# HELP number of CI accounts\n# TYPE ci_accounts gauge\nci_accounts 1\n' +
      '# HELP number of non-CI accounts\n# TYPE nonci_accounts gauge\nnonci_accounts 1\n',
  );
  const json = JSON.parse(formatJson(report, RUN));
  t.equal(json.messageBytes, 1_500_000);
  t.equal(json.timestampSeconds, RUN.timestampSeconds);
  const text = formatText(report, { ...OPTIONS, minLoginAgeDays: 1, folderKind: 'cur' });
  t.match(text, /messages +1\.43 MiB {2}1 messages/);
  t.match(text, /from 1 MiB +1\.43 MiB {2}100\.0%, 1 messages/);
  t.match(text, /in cur\//);
  t.notMatch(text + JSON.stringify(json), /@/, 'no address');
  t.doesNotThrow(() => formatText(emptyReport(), OPTIONS), 'nothing to divide by');
});
