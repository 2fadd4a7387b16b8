/**
 * Compares what the DNS says with what it should say. Servers and web forms write the same record in many ways: dots at the end,
 * capitals, blanks and the order of tags do not count. Pure.
 */

import type { ZoneRecord } from './zone.ts';

/** What the DNS answered to one question. */
export type DnsAnswer =
  /** Values in the form of {@link ZoneRecord.value}; empty: there is no such record. */
  | { readonly kind: 'answer'; readonly values: readonly string[] }
  /** No server answered in time, or none could. */
  | { readonly kind: 'unknown'; readonly reason: string };

export type RecordState = 'ok' | 'missing' | 'wrong' | 'unknown';

export interface CheckedRecord extends ZoneRecord {
  readonly state: RecordState;
  /** What is there instead. */
  readonly found: readonly string[];
  readonly note?: string;
}

/** Judges one record. */
export function checkRecord(record: ZoneRecord, answer: DnsAnswer): CheckedRecord {
  if (answer.kind === 'unknown') return { ...record, state: 'unknown', found: [], note: answer.reason };
  const found = answer.values.filter((value) => isAbout(record, value));
  if (found.length === 0) return { ...record, state: 'missing', found };
  const { note, isRight } = judge(record, found);
  return { ...record, state: isRight ? 'ok' : 'wrong', found, ...(note === undefined ? {} : { note }) };
}

/**
 * A machine may have more addresses than its name: one in the DNS is enough. Which of them the machine itself sends from, and
 * so needs a reverse name, cannot be told from here.
 */
export function forgiveOtherAddresses(records: readonly CheckedRecord[]): CheckedRecord[] {
  return records.map((record) => {
    const { type, state } = record;
    const isReachedOtherwise = records.some((other) => other.type === type && other.state === 'ok');
    return (type === 'A' || type === 'AAAA') && state === 'wrong' && isReachedOtherwise
      ? { ...record, state: 'ok', note: 'this one is not in it, another address of the machine is' }
      : record;
  });
}

interface Judgement {
  readonly isRight: boolean;
  readonly note?: string;
}

/** Of the TXT records of one name, those for the same purpose; all records of other types. */
function isAbout({ type, value }: ZoneRecord, found: string): boolean {
  if (type !== 'TXT') return true;
  const purpose = /^v=(\w+)/i.exec(value)?.[1]?.toLowerCase();
  // The version of a DKIM record may be left out.
  if (purpose === 'dkim1' && /(?:^|;)\s*p\s*=/i.test(found)) return true;
  return /^\s*v\s*=\s*(\w+)/i.exec(found)?.[1]?.toLowerCase() === purpose;
}

function judge(record: ZoneRecord, found: readonly string[]): Judgement {
  const wanted = canonical(record, record.value);
  const isThere = found.some((value) => canonical(record, value) === wanted);
  const isAlone = found.every((value) => canonical(record, value) === wanted);
  switch (record.type) {
    case 'A':
    case 'AAAA':
      // Behind a translator of addresses we do not know our own.
      if (record.value === '') return { isRight: true, note: 'whether it is this machine cannot be seen from here' };
      return isThere && !isAlone ? { isRight: true, note: 'other addresses are there too' } : { isRight: isThere };
    case 'MX':
      // The preference is a matter of taste while there is one.
      return isAlone ? { isRight: true } : { isRight: false, note: 'mail would also go elsewhere, or only there' };
    case 'TXT':
      if (found.length > 1) return { isRight: false, note: 'there are several; only one may be' };
      return judgeText(record, found[0]!, isThere);
    case 'CAA':
      return isThere ? { isRight: true } : { isRight: false, note: 'the authority of this relay is not among them' };
    default:
      return { isRight: isThere };
  }
}

/** Policies of the operator's own, as long as they let the relay's mail pass. */
function judgeText({ value }: ZoneRecord, found: string, isThere: boolean): Judgement {
  if (/^v=DKIM1/i.test(value)) return judgeKey(value, found);
  if (isThere) return { isRight: true };
  if (/^v=spf1/i.test(value)) {
    const passes = /(?:^|\s)\+?(?:a|mx|ip4:\S+|ip6:\S+|include:\S+|redirect=\S+)(?=[\s/:]|$)/i.test(found.slice(6));
    return passes ? { isRight: true, note: 'another policy than ours' } : { isRight: false };
  }
  if (/^v=DMARC1/i.test(value)) return { isRight: true, note: 'another policy than ours' };
  return { isRight: false };
}

/** The same key, and nothing in the way of using it (RFC 6376 section 3.6.1); relays of today add `s=email; t=s`. */
function judgeKey(wanted: string, found: string): Judgement {
  const key = new Map(tagsOf(found));
  const allows = (tag: string, ...words: string[]) => {
    const list = key.get(tag)?.toLowerCase().split(':');
    return list === undefined || list.some((word) => words.includes(word));
  };
  const own = new Map(tagsOf(wanted));
  const isSame = key.get('p') === own.get('p') && (key.get('k')?.toLowerCase() ?? 'rsa') === own.get('k');
  if (!isSame) return { isRight: false, note: 'another key than the one mail is signed with' };
  if (!allows('s', '*', 'email') || !allows('h', 'sha256')) return { isRight: false, note: 'it is not for this use' };
  const isTest = key.get('t')?.toLowerCase().split(':').includes('y');
  return isTest ? { isRight: true, note: 't=y asks others to ignore it' } : { isRight: true };
}

/** One form for all ways to write the same. */
function canonical({ type, value: wanted }: ZoneRecord, value: string): string {
  switch (type) {
    case 'A':
      return value;
    case 'AAAA':
      return URL.parse(`http://[${value}]`)?.hostname ?? value;
    case 'MX':
      return host(value.split(/\s+/)[1] ?? '');
    case 'SRV':
      return value.split(/\s+/).slice(2).map(host).join(' ');
    case 'CNAME':
    case 'PTR':
      return host(value);
    case 'CAA':
      return value
        .toLowerCase()
        .replace(/;.*?(?="|$)/, '')
        .replaceAll(/["\s]+/g, ' ')
        .trim();
    case 'TXT':
      return /^v=spf1/i.test(wanted) ? value.trim().split(/\s+/).join(' ').toLowerCase() : tags(value);
  }
}

function host(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}

/** `a=b; c=d` in one order, without the version. */
function tags(text: string): string {
  return tagsOf(text)
    .filter(([name]) => name !== 'v')
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(';');
}

function tagsOf(text: string): [name: string, value: string][] {
  return text
    .split(';')
    .map((tag) => tag.split('=') as [string, ...string[]])
    .map(([name, ...rest]): [string, string] => [name.trim().toLowerCase(), rest.join('=').replaceAll(/\s+/g, '')])
    .filter(([name]) => name !== '');
}

/** One line for the operator. */
export function formatChecked({ state, level, type, name, found, note }: CheckedRecord): string {
  const mark = { ok: 'ok     ', missing: 'MISSING', wrong: 'WRONG  ', unknown: '?      ' }[state];
  const isAdvice = level === 'recommended' && state !== 'ok';
  const is = state === 'wrong' ? ` is ${found.map((value) => `"${shorten(value)}"`).join(', ')}` : '';
  return `${isAdvice ? mark.toLowerCase() : mark} ${type.padEnd(5)} ${name}${is}${note === undefined ? '' : ` (${note})`}`;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
