/**
 * What Dovecot writes into the name of a message file: `1775324677.M448978P3029757.host,S=3235,W=3305:2,S`
 * (dovecot 2.3.21 src/lib-storage/index/maildir/maildir-filename.c). The digits before the first dot are the second the
 * message arrived in this mailbox, `S=` is its size in bytes before compression, which is also what the quota counts.
 * Names without both are left to stat(2).
 */

/** Times outside are no arrival times: before 2001-09-09 there was no such mailbox, after 2286 the field grows a digit. */
const EARLIEST_SECOND = 1e9;
const LATEST_SECOND = 1e10 - 1;

export interface MaildirNameFacts {
  /** Milliseconds since 1970, whole seconds. */
  readonly arrivedAtMs: number;
  /** Bytes before compression. */
  readonly bytes: number;
}

/** Reads arrival time and size; undefined when the name does not carry both. Works on any bytes, in linear time. */
export function parseMaildirName(name: string): MaildirNameFacts | undefined {
  const second = digitsAt(name, 0, 0x2e);
  if (second < EARLIEST_SECOND || second > LATEST_SECOND) return undefined;
  const sizeAt = name.indexOf(',S=', 10);
  const flagsAt = name.indexOf(':');
  if (sizeAt < 0 || (flagsAt >= 0 && flagsAt < sizeAt)) return undefined;
  const bytes = digitsAt(name, sizeAt + 3, 0x2c);
  return bytes < 0 ? undefined : { arrivedAtMs: second * 1000, bytes };
}

/** Number in decimal digits from `start` to a given character, a colon or the end; -1 when it is none. */
function digitsAt(name: string, start: number, endCharacter: number): number {
  let value = 0;
  let index = start;
  for (; index < name.length; index++) {
    const digit = name.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (index === start || value > Number.MAX_SAFE_INTEGER) return -1;
  const next = name.charCodeAt(index);
  return index === name.length || next === endCharacter || next === 0x3a ? value : -1;
}
