/**
 * DNS messages (RFC 1035 §4, EDNS0 of RFC 6891) as far as TXT look-ups need them: one query, one answer with its time to live,
 * which Node's resolver does not give. Names in answers may point anywhere in the message: every walk is bounded.
 */

export interface TxtAnswer {
  /** The answer did not fit into a datagram and has to be asked for by TCP. */
  readonly isTruncated: boolean;
  /** RFC 1035 §4.1.1; see {@link RCODE_OK} and {@link RCODE_NO_NAME}. */
  readonly rcode: number;
  /** Where the CNAMEs in the answer lead; the name asked for when there are none. */
  readonly target: string;
  /** TXT records of the target, their strings joined as byte strings. */
  readonly texts: readonly string[];
  /** Shortest time to live of all records used, seconds. */
  readonly ttlSeconds: number;
}

export const RCODE_OK = 0;
/** NXDOMAIN: the name does not exist. */
export const RCODE_NO_NAME = 3;

const TYPE_CNAME = 5;
const TYPE_TXT = 16;
const TYPE_OPT = 41;
const CLASS_IN = 1;
/** What fits through every network undivided (RFC 9715 §3), bytes. */
const UDP_PAYLOAD_BYTES = 1232;
const HEADER_BYTES = 12;
const MAX_NAME_BYTES = 255;
const MAX_POINTERS = 32;
const MAX_RECORDS = 64;
const MAX_CNAMES = 8;
/** RFC 2181 §8: a time to live with the highest bit set is zero. */
const MAX_TTL = 0x7fff_ffff;

/** A query for the TXT records of an ASCII name; undefined when it is no name. */
export function encodeTxtQuery(id: number, name: string): Buffer | undefined {
  const labels = name.split('.');
  if (labels.some(({ length }) => length === 0 || length > 63) || name.length + 2 > MAX_NAME_BYTES) return undefined;
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt16BE(id, 0);
  head.writeUInt16BE(0x0100, 2); // recursion desired
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(1, 10);
  const question = labels.map((label) => String.fromCharCode(label.length) + label).join('');
  const tail = Buffer.alloc(1 + 4 + 11);
  tail.writeUInt16BE(TYPE_TXT, 1);
  tail.writeUInt16BE(CLASS_IN, 3);
  tail.writeUInt16BE(TYPE_OPT, 6);
  tail.writeUInt16BE(UDP_PAYLOAD_BYTES, 8);
  return Buffer.concat([head, Buffer.from(question, 'latin1'), tail]);
}

/** Reads the answer to that query; undefined for anything else: another answer, a forged one, garbage. */
export function decodeTxtAnswer(bytes: Buffer, id: number, name: string): TxtAnswer | undefined {
  try {
    return decode(bytes, id, name.toLowerCase());
  } catch (error) {
    if (error instanceof RangeError) return undefined; // what Buffer throws when reading past the end
    throw error;
  }
}

interface ResourceRecord {
  readonly owner: string;
  readonly type: number;
  readonly ttlSeconds: number;
  /** The name a CNAME points to. */
  readonly target: string;
  readonly data: Buffer;
}

function decode(bytes: Buffer, id: number, name: string): TxtAnswer | undefined {
  const flags = bytes.readUInt16BE(2);
  const isResponse = (flags & 0xf800) === 0x8000;
  if (bytes.readUInt16BE(0) !== id || !isResponse || bytes.readUInt16BE(4) !== 1) return undefined;
  const question = readName(bytes, HEADER_BYTES);
  const type = bytes.readUInt16BE(question.next);
  if (question.name !== name || type !== TYPE_TXT || bytes.readUInt16BE(question.next + 2) !== CLASS_IN)
    return undefined;
  const isTruncated = (flags & 0x0200) !== 0;
  const rcode = flags & 0x000f;
  const nothing = { isTruncated, rcode, target: name, texts: [], ttlSeconds: 0 };
  if (isTruncated || rcode !== RCODE_OK) return nothing;
  return { ...nothing, ...follow(name, readAnswers(bytes, question.next + 4)) };
}

function readAnswers(bytes: Buffer, from: number): ResourceRecord[] {
  const count = Math.min(bytes.readUInt16BE(6), MAX_RECORDS);
  const records: ResourceRecord[] = [];
  for (let at = from; records.length < count; ) {
    const { name: owner, next } = readName(bytes, at);
    const type = bytes.readUInt16BE(next);
    const ttl = bytes.readUInt32BE(next + 4);
    const start = next + 10;
    const end = start + bytes.readUInt16BE(next + 8);
    if (end > bytes.length) throw new RangeError('record longer than the message');
    const target = type === TYPE_CNAME ? readName(bytes, start).name : '';
    records.push({ owner, type, ttlSeconds: ttl > MAX_TTL ? 0 : ttl, target, data: bytes.subarray(start, end) });
    at = end;
  }
  return records;
}

/** From the name asked for, along the CNAMEs, to the TXT records at their end. */
function follow(name: string, records: readonly ResourceRecord[]): Pick<TxtAnswer, 'target' | 'texts' | 'ttlSeconds'> {
  let target = name;
  let ttlSeconds = MAX_TTL;
  for (let steps = 0; steps < MAX_CNAMES; steps++) {
    const alias = records.find(({ owner, type }) => owner === target && type === TYPE_CNAME);
    if (!alias) break;
    target = alias.target;
    ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
  }
  const found = records.filter(({ owner, type }) => owner === target && type === TYPE_TXT);
  for (const record of found) ttlSeconds = Math.min(ttlSeconds, record.ttlSeconds);
  return { target, texts: found.map(({ data }) => joinStrings(data)), ttlSeconds };
}

/** RFC 1035 §3.3.14: strings, each after its length. */
function joinStrings(data: Buffer): string {
  let text = '';
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + data.readUInt8(at);
    if (end > data.length) throw new RangeError('string longer than its record');
    text += data.toString('latin1', at + 1, end);
    at = end;
  }
  return text;
}

/** A name in lower case, and where the bytes after it begin. Pointers may only lead to before where they stand. */
function readName(bytes: Buffer, from: number): { readonly name: string; readonly next: number } {
  const labels: string[] = [];
  let length = 0;
  let next: number | undefined;
  let at = from;
  for (let pointers = 0; ; ) {
    const size = bytes.readUInt8(at);
    if (size === 0) return { name: labels.join('.').toLowerCase(), next: next ?? at + 1 };
    if ((size & 0xc0) === 0xc0) {
      const to = bytes.readUInt16BE(at) & 0x3fff;
      next ??= at + 2;
      if (to >= at || ++pointers > MAX_POINTERS) throw new RangeError('name that points in circles');
      at = to;
      continue;
    }
    length += size + 1;
    if (size > 63 || length > MAX_NAME_BYTES || at + 1 + size > bytes.length) throw new RangeError('name too long');
    labels.push(bytes.toString('latin1', at + 1, at + 1 + size));
    at += 1 + size;
  }
}
