/**
 * The DNS records of a relay: which ones, which of them nothing works without, and why. Pure.
 */

import { createHash } from 'node:crypto';
import type { Config } from '#core';
import { mtaStsPolicy } from '../render/web.ts';

export type RecordType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'CNAME' | 'SRV' | 'CAA' | 'PTR';

export interface ZoneRecord {
  /** Without the dot at its end. */
  readonly name: string;
  readonly type: RecordType;
  /** As in a zone file, host names without the dot at their end, a TXT record without quotes. Empty: not known here. */
  readonly value: string;
  readonly level: 'required' | 'recommended';
  readonly why: string;
}

/** What of the machine is in the DNS. */
export interface ZoneFacts {
  /** Public addresses of the machine. */
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  readonly dkim: readonly DkimRecord[];
}

export interface DkimRecord {
  readonly selector: string;
  /** RFC 6376 section 3.6.1. */
  readonly value: string;
}

/** The authority whose certificates relays get unless they name another one or bring their own. */
const AUTHORITY = 'letsencrypt.org';

/** Computes the records of a relay with a name. */
export function zoneOf(config: Config, facts: ZoneFacts): ZoneRecord[] {
  const domain = config.mail_domain;
  const ipv6 = config.disable_ipv6 ? [] : facts.ipv6;
  const ipv4 = facts.ipv4.length > 0 || ipv6.length > 0 ? facts.ipv4 : [''];
  const required = (name: string, type: RecordType, value: string, why: string): ZoneRecord => ({
    name,
    type,
    value,
    level: 'required',
    why,
  });
  const recommended = (name: string, type: RecordType, value: string, why: string): ZoneRecord => ({
    ...required(name, type, value, why),
    level: 'recommended',
  });
  return [
    ...ipv4.map((address) => required(domain, 'A', address, 'where clients and other servers find the relay')),
    ...ipv6.map((address) =>
      ipv4.length > 0
        ? recommended(domain, 'AAAA', address, 'for clients and servers without IPv4')
        : required(domain, 'AAAA', address, 'where clients and other servers find the relay'),
    ),
    required(domain, 'MX', `10 ${domain}`, 'where mail for the relay goes'),
    ...facts.dkim.map(({ selector, value }) =>
      required(`${selector}._domainkey.${domain}`, 'TXT', value, 'other servers verify the DKIM signature with it'),
    ),
    recommended(domain, 'TXT', 'v=spf1 a ~all', 'SPF: servers that ask for it see that only the relay sends'),
    recommended(`_dmarc.${domain}`, 'TXT', 'v=DMARC1;p=reject;adkim=s;aspf=s', 'DMARC: others refuse forged mail'),
    ...withCertificate(config, recommended),
    ...services(domain, recommended),
    ...[...facts.ipv4, ...ipv6].map((address) =>
      recommended(reverseName(address), 'PTR', domain, 'some servers refuse mail from an address without this name'),
    ),
  ];
}

type Recommend = (name: string, type: RecordType, value: string, why: string) => ZoneRecord;

/** What only makes sense with a certificate others can verify. */
function withCertificate(config: Config, recommended: Recommend): ZoneRecord[] {
  const policy = mtaStsPolicy(config);
  if (policy.length === 0) return [];
  const domain = config.mail_domain;
  // RFC 8461 section 3.1: up to 32 letters and digits that change with the policy.
  const id = createHash('sha256').update(policy.join('\n')).digest('hex').slice(0, 32);
  const records = [
    recommended(
      `mta-sts.${domain}`,
      'CNAME',
      domain,
      'MTA-STS: where the policy is, TLS for everybody who sends to us',
    ),
    recommended(`_mta-sts.${domain}`, 'TXT', `v=STSv1; id=${id}`, 'MTA-STS: that there is a policy'),
    recommended(`www.${domain}`, 'CNAME', domain, 'for people who type it'),
  ];
  // What another authority wants to be called there is not in its URL.
  const isKnown = URL.parse(config.acme_directory_url)?.hostname.endsWith(`.${AUTHORITY}`) ?? false;
  const isOurs = config.tls_external_cert_and_key.length === 0 && isKnown;
  const caa = recommended(domain, 'CAA', `0 issue "${AUTHORITY}"`, 'no other authority makes a certificate for it');
  return isOurs ? [...records, caa] : records;
}

/** RFC 6186, RFC 8314: clients other than Delta Chat find their servers by these. */
function services(domain: string, recommended: Recommend): ZoneRecord[] {
  const why = 'other mail clients find the servers by it';
  return [
    ['_submissions._tcp', 465],
    ['_submission._tcp', 587],
    ['_imaps._tcp', 993],
  ].map(([name, port]) => recommended(`${name}.${domain}`, 'SRV', `0 1 ${port} ${domain}`, why));
}

/** The name whose PTR record names the owner of an address; RFC 1035 section 3.5, RFC 3596 section 2.5. */
export function reverseName(address: string): string {
  if (!address.includes(':')) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const [head = '', tail] = address.toLowerCase().split('::');
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':'));
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  const middle = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  const digits = [...left, ...middle, ...right].map((group) => group.padStart(4, '0')).join('');
  return `${[...digits].reverse().join('.')}.ip6.arpa`;
}

/** The zone as text that a name server or its web form takes (RFC 1035 section 5). */
export function formatZone(records: readonly ZoneRecord[]): string[] {
  const lines: string[] = [];
  for (const level of ['required', 'recommended'] as const) {
    lines.push(`; --- ${level} ---`);
    for (const record of records.filter((other) => other.level === level && other.type !== 'PTR')) {
      lines.push(`; ${record.why}`);
      lines.push(record.value === '' ? unknownLine(record) : formatRecord(record));
    }
  }
  const reverse = records.filter(({ type }) => type === 'PTR');
  if (reverse.length > 0) {
    lines.push("; --- recommended, and set where the machine is rented, as the address's reverse name ---");
    for (const record of reverse) lines.push(`; ${formatRecord(record)}`);
  }
  return lines;
}

function unknownLine({ name, type }: ZoneRecord): string {
  return `; ${name}. ${type} THE-PUBLIC-ADDRESS   (this machine's own card has none: dns --ipv4 ADDRESS)`;
}

/** One record as a line of a zone file. */
export function formatRecord({ name, type, value }: ZoneRecord): string {
  return `${name}. 3600 IN ${type} ${formatData(type, value)}`;
}

function formatData(type: RecordType, value: string): string {
  if (type === 'TXT') return (value.match(/.{1,255}/g) ?? ['']).map((piece) => `"${piece}"`).join(' ');
  const hasHost = type === 'MX' || type === 'CNAME' || type === 'SRV' || type === 'PTR';
  return hasHost ? `${value}.` : value;
}
