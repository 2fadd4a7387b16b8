/**
 * Recognises configuration files that are as Debian's packages made them, which `apply` may replace without being told to:
 * conffiles by the checksums of dpkg and ucf, master.cf by the one it is copied from, and main.cf, which the package writes with
 * the answers to its questions, setting by setting. Debian 12 and 13.
 */

import { hash } from 'node:crypto';

/** What the machine's package system knows. */
export interface StockKnowledge {
  /** MD5 of conffiles as shipped, by path. */
  readonly checksums: ReadonlyMap<string, ReadonlySet<string>>;
  /** Texts of /usr/share/postfix/main.cf.debian and main.cf.tls. */
  readonly mainCf: readonly string[];
}

/** /usr/share/postfix/master.cf.dist of Debian 12 and 13: a machine that was upgraded has one and ships the other. */
const MASTER_CF = ['9eab02e958ed651f812e9e8f670e8b61', 'b2da49d8a94237ad8f94140150d1e7cd'];

/** What the questions of Debian's package set, and what it sets by itself. Not relayhost: that sends all mail elsewhere. */
const ANSWERED = new Set([
  'myhostname',
  'mydomain',
  'myorigin',
  'mydestination',
  'mynetworks',
  'mailbox_size_limit',
  'recipient_delimiter',
  'inet_interfaces',
  'inet_protocols',
  'alias_maps',
  'alias_database',
  'compatibility_level',
  'cyrus_sasl_config_path',
  'readme_directory',
  'html_directory',
]);
const SET_BY_PACKAGE: Readonly<Record<string, string>> = {
  relayhost: '',
  mailbox_command: '',
  smtpd_relay_restrictions: 'permit_mynetworks permit_sasl_authenticated defer_unauth_destination',
};

/** Whether a file is one that a package made and nobody changed. */
export function isStock(path: string, text: string, knowledge: StockKnowledge): boolean {
  const checksum = md5(text);
  if (knowledge.checksums.get(path)?.has(checksum)) return true;
  if (path === '/etc/postfix/master.cf') return MASTER_CF.includes(checksum);
  return path === '/etc/postfix/main.cf' && isStockMainCf(text, knowledge.mainCf);
}

/** Whether every setting of a main.cf is one the package makes. */
function isStockMainCf(text: string, templates: readonly string[]): boolean {
  const shipped = templates.flatMap(settingsOf).map(String);
  return settingsOf(text).every(
    ([name, value]) => ANSWERED.has(name) || SET_BY_PACKAGE[name] === value || shipped.includes(String([name, value])),
  );
}

/** Name and value of each setting: postconf(5), comments and continuation lines. */
export function settingsOf(text: string): [name: string, value: string][] {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    if (/^\s/.test(line) && lines.length > 0) lines.push(`${lines.pop()} ${line}`);
    else lines.push(line);
  }
  return lines.map((line) => {
    const [, name = '', value = ''] = /^([^=]*)=?([\s\S]*)$/.exec(line)!;
    return [name.trim(), value.trim().replace(/\s+/g, ' ')];
  });
}

/** Checksums from the text of ucf's hashfile: `MD5  PATH`. */
export function parseUcfHashes(text: string): [path: string, md5: string][] {
  return [...text.matchAll(/^([0-9a-f]{32}) {2}(\/\S+)$/gm)].map((match) => [match[2]!, match[1]!]);
}

/** Checksums from the text of dpkg's status file: lines ` PATH MD5` below `Conffiles:`. */
export function parseDpkgConffiles(text: string): [path: string, md5: string][] {
  return [...text.matchAll(/^ (\/\S+) ([0-9a-f]{32})$/gm)].map((match) => [match[1]!, match[2]!]);
}

/** MD5, which is what Debian's tools keep. */
export function md5(text: string | Uint8Array): string {
  return hash('md5', text, 'hex');
}
