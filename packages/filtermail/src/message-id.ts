/** What a Message-ID may be in outgoing mail (RFC 5322 §3.6.4): one identifier of ordinary characters, and no comment. */

/** Longest one, bytes. Delta Chat's have 48, those of others under 120. */
const MAX_BYTES = 200;

/** True for one message identifier and nothing else. */
export function isMessageId(value: string): boolean {
  return value.length <= MAX_BYTES && /^<[\w!#$%&'*+\-/=?^`{|}~.]+@[\w.\-[\]:]+>$/.test(value);
}
