/**
 * Which METADATA entry (RFC 5464) a dict key means, and who may do what with it. Source: the keys Dovecot 2.3 and 2.4 send
 * for `GETMETADATA`, `SETMETADATA` and the push hook (lib-storage/index/index-attribute.c).
 * The mailbox GUID in a key is not looked at: nothing tells us which one INBOX has, and an account has one list of tokens.
 */

/** What metadata-push knows about; `unknown` is everything else. */
export type Entry =
  /** Set: one token of a device. Get: all of them. Unset: none any more. */
  | 'devicetoken'
  /** Set by Dovecot's push hook when a message was delivered. */
  | 'messagenew'
  /** Set by it instead when the message came from the account itself: to be announced, not pushed. */
  | 'messagewake'
  /** Unset by chatmail-expire when the account is deleted. No IMAP command leads to this key. */
  | 'account'
  /** Get: pushes to all tokens of an account and reports. For chatmailctl; no IMAP command leads here either. */
  | 'pushtest'
  /** Get: what is queued and what was sent. For chatmailctl. */
  | 'pushstats'
  /** The iroh relay clients should use. */
  | 'irohrelay'
  /** TURN credentials for calls. */
  | 'turn'
  /** Recipients a client may give in one message; its presence tells clients that push works here. */
  | 'maxsmtprecipients'
  /** Versions of the apps, for clients that look for updates. */
  | 'appversions'
  | 'unknown';

/** `priv/GUID/NAME`: entries of one user at one mailbox. */
const PRIVATE_ENTRY = /^priv\/[0-9a-f]{32}\/(devicetoken|messagenew|messagewake)$/;
/** `shared/GUID/...`: server entries; Dovecot stores those of `GETMETADATA ""` below INBOX under this prefix. */
const SHARED_ENTRY =
  /^shared\/[0-9a-f]{32}\/vendor\/vendor\.dovecot\/pvt\/server\/vendor\/deltachat\/(irohrelay|turn|maxsmtprecipients|appversions)$/;
/** Every mailbox key has a GUID in the second place, so these cannot come from a mail user. */
const OWN_KEYS: Readonly<Record<string, Entry>> = {
  'priv/account': 'account',
  'priv/account/push/test': 'pushtest',
  'shared/push/stats': 'pushstats',
};
/** The longest key with a meaning is under 110 bytes; a longer one is not searched. */
const MAX_KEY_BYTES = 200;

/** Finds the meaning of a dict key. */
export function entryOf(key: Buffer): Entry {
  if (key.length > MAX_KEY_BYTES) return 'unknown';
  const text = key.toString('latin1');
  if (Object.hasOwn(OWN_KEYS, text)) return OWN_KEYS[text]!;
  const match = PRIVATE_ENTRY.exec(text) ?? SHARED_ENTRY.exec(text);
  return match ? (match[1] as Entry) : 'unknown';
}
