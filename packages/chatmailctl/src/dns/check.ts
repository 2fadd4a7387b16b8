/**
 * [io] The zone of this relay, and whether the DNS has it. Also for `status`.
 */

import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { type Config, EXIT_CONFIG, ExitError, isPublicAddress } from '#core';
import { findZoneServers, type Patience, type ZoneServers } from './ask.ts';
import { type CheckedRecord, checkRecord, type DnsAnswer, forgiveOtherAddresses } from './compare.ts';
import { dkimRecords } from './dkim-record.ts';
import { type ZoneRecord, zoneOf } from './zone.ts';

export interface ZoneReport {
  /** Who was asked. */
  readonly servers: readonly string[];
  /** False when the zone's own servers could not be reached. */
  readonly isAuthoritative: boolean;
  readonly records: readonly CheckedRecord[];
}

/** Addresses to be taken for this machine's, where its network card has others. */
export interface KnownAddresses {
  readonly ipv4?: readonly string[] | undefined;
  readonly ipv6?: readonly string[] | undefined;
}

/**
 * The records this relay needs.
 *
 * @throws ExitError 78 when its DKIM key cannot be read
 */
export async function readZone(config: Config, known: KnownAddresses = {}): Promise<ZoneRecord[]> {
  const dkim = dkimRecords(await readKey(config), config.dkim_selector);
  if (dkim.length === 0) throw noKey(config, 'holds no private key');
  const ipv4 = known.ipv4 ?? publicAddresses('IPv4');
  const ipv6 = known.ipv6 ?? publicAddresses('IPv6');
  return zoneOf(config, { ipv4, ipv6, dkim });
}

/** Asks for every record at once. Silent servers cost it some seconds; it never rejects for that. */
export async function checkZone(
  config: Config,
  records: readonly ZoneRecord[],
  patience?: Patience,
): Promise<ZoneReport> {
  const zone = await findZoneServers(config.mail_domain, config.dns_servers, patience);
  const checked = await Promise.all(records.map(async (record) => await checkOne(zone, record)));
  return { servers: zone.names, isAuthoritative: zone.isAuthoritative, records: forgiveOtherAddresses(checked) };
}

async function checkOne(zone: ZoneServers, record: ZoneRecord): Promise<CheckedRecord> {
  const { name, type } = record;
  const answer = await (type === 'PTR' ? zone.askElsewhere : zone.ask)(name, type);
  if (answer.kind !== 'answer' || answer.values.length > 0) return checkRecord(record, answer);
  // An alias may as well be an address record of its own.
  if (type === 'CNAME' && hasValues(await zone.ask(name, 'A'))) {
    return { ...record, state: 'ok', found: [], note: 'an address instead of an alias' };
  }
  // The zone's servers do not follow an alias that leads out of it.
  if (type === 'TXT' && hasValues(await zone.ask(name, 'CNAME'))) {
    return checkRecord(record, await zone.askElsewhere(name, type));
  }
  return checkRecord(record, answer);
}

function hasValues(answer: DnsAnswer): boolean {
  return answer.kind === 'answer' && answer.values.length > 0;
}

async function readKey(config: Config): Promise<string> {
  try {
    return await readFile(config.dkim_key, 'latin1');
  } catch (error) {
    throw noKey(config, `cannot be read (${(error as NodeJS.ErrnoException).code})`, error);
  }
}

function noKey(config: Config, what: string, cause?: unknown): ExitError {
  return new ExitError(
    EXIT_CONFIG,
    `the DKIM key ${config.dkim_key} ${what}; chatmailctl init ${config.mail_domain} makes it, and only root may read it`,
    { cause },
  );
}

function publicAddresses(family: 'IPv4' | 'IPv6'): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === family && isPublicAddress(address.address))
    .map(({ address }) => address);
}
