/**
 * [io] `chatmailctl dns`.
 */

import { isIPv4, isIPv6 } from 'node:net';
import { EXIT_OK, EXIT_TEMPORARY, loadConfig, UsageError } from '#core';
import { command, EXIT_CHECK_FAILED } from '../command.ts';
import { checkZone, readZone, type ZoneReport } from '../dns/check.ts';
import { type CheckedRecord, formatChecked } from '../dns/compare.ts';
import { formatRecord, formatZone, type ZoneRecord } from '../dns/zone.ts';

export const dns = command({
  usage: `usage: chatmailctl dns [--check] [--json] [--ipv4 ADDRESS]... [--ipv6 ADDRESS]... [--config FILE]

Prints the DNS records this relay needs, as text for a zone file, with the reason for each. Needs to read the DKIM key.

  --check          ask the name servers of the zone whether the records are there; exit code 1 when a required one is missing or
                   wrong, 75 when none could be asked
  --json           one JSON document instead
  --ipv4 ADDRESS   take this for the machine's public address, where its own network card has another
  --ipv6 ADDRESS   the same for IPv6
  --config FILE    the chatmail.ini to read
`,
  options: {
    check: { type: 'boolean' },
    json: { type: 'boolean' },
    ipv4: { type: 'string', multiple: true },
    ipv6: { type: 'string', multiple: true },
    config: { type: 'string' },
  },
  words: [0, 0],
  async run({ check, json, ipv4, ipv6, config: configFile }, _words, { print }) {
    for (const address of ipv4 ?? []) if (!isIPv4(address)) throw new UsageError(`'${address}' is no IPv4 address`);
    for (const address of ipv6 ?? []) if (!isIPv6(address)) throw new UsageError(`'${address}' is no IPv6 address`);
    const config = loadConfig(configFile);
    const domain = config.mail_domain;
    if (config.isIpRelay) {
      print(
        json ? JSON.stringify({ domain, ok: true, records: [] }) : `${domain} is an address: it needs no DNS records.`,
      );
      return EXIT_OK;
    }
    const records = await readZone(config, { ipv4, ipv6 });
    if (!check) {
      if (json) print(JSON.stringify({ domain, records: records.map(withLine) }));
      else for (const line of formatZone(records)) print(line);
      return EXIT_OK;
    }
    const report = await checkZone(config, records);
    const exitCode = judge(report);
    if (json) print(JSON.stringify({ domain, ok: exitCode === EXIT_OK, ...report }));
    else for (const line of formatReport(report)) print(line);
    return exitCode;
  },
});

function judge({ records }: ZoneReport): number {
  const required = records.filter(({ level }) => level === 'required');
  if (required.some(({ state }) => state === 'missing' || state === 'wrong')) return EXIT_CHECK_FAILED;
  return required.some(({ state }) => state === 'unknown') ? EXIT_TEMPORARY : EXIT_OK;
}

function formatReport({ servers, isAuthoritative, records }: ZoneReport): string[] {
  const who = isAuthoritative ? "the zone's own servers" : 'the resolver, because no server of the zone can be reached';
  const open = records.filter(({ state }) => state === 'missing' || state === 'wrong');
  return [
    `asked ${servers.join(', ')} (${who})`,
    ...records.map(formatChecked),
    '',
    summarize(records, open),
    ...open.map(toAdd),
  ];
}

function summarize(records: readonly CheckedRecord[], open: readonly CheckedRecord[]): string {
  if (open.length > 0) return 'Should be there, capitals required, the others recommended:';
  const unknown = records.filter(({ state }) => state === 'unknown').length;
  if (unknown === 0) return 'All is there.';
  const rest = unknown === records.length ? 'is port 53 open to the outside?' : 'the others are there.';
  return `${unknown} of ${records.length} records could not be asked for (?); ${rest}`;
}

function toAdd(record: CheckedRecord): string {
  return record.value === ''
    ? `${record.name}. ${record.type} the public address of this machine`
    : formatRecord(record);
}

function withLine(record: ZoneRecord): object {
  return record.value === '' ? record : { ...record, line: formatRecord(record) };
}
