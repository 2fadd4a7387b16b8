/**
 * What filtermail can say of a message, and every word the sender's side gets to read (RFC 5321 §4.2, RFC 3463).
 * `523 5.7.1 Encryption Needed: Invalid Unencrypted Mail` is what clients and today's relays know; what was wrong follows in
 * parentheses. Replies hold no address, because the MTA logs them; the codes here are what our own log and metrics say.
 */

/** Why a message does not count as encrypted. `{}` stands for the reason's detail. */
const NOT_ENCRYPTED = {
  content_type_missing: 'there is no Content-Type',
  content_type_repeated: 'there are two Content-Type fields',
  content_type_malformed: 'Content-Type cannot be parsed',
  content_type_wrong: 'message is {}',
  parameter_repeated: 'Content-Type parameter {} is given twice',
  content_type_text: 'Content-Type has free text in {}',
  protocol_wrong: 'protocol is not application/pgp-encrypted',
  boundary_missing: 'multipart without a boundary',
  boundary_invalid: 'boundary is not a valid one',
  multipart_encoded: 'a multipart has transfer encoding {}',
  preamble_text: 'text before the first part',
  epilogue_text: 'text after the last part',
  boundary_ambiguous: 'a line only begins like the boundary',
  line_end_bare: 'bare CR or LF in a header of a part',
  part_header_malformed: 'header of a part cannot be parsed',
  part_header_too_long: 'header of a part is too long',
  part_header_text: 'header of a part has free text in {}',
  part_missing: 'expected two parts',
  part_surplus: 'more parts than expected',
  final_boundary_missing: 'the final boundary is missing',
  transfer_encoding_wrong: 'transfer encoding {} is not allowed',
  transfer_encoding_malformed: 'the {} transfer encoding is broken',
  first_part_type: 'first part is {}',
  first_part_content: 'first part is not Version: 1',
  second_part_type: 'second part is {}',
  armor_missing: 'second part does not begin with an armored PGP message',
  armor_header: 'armor has header lines',
  armor_malformed: 'armor cannot be parsed',
  armor_base64: 'armor is not valid base64',
  armor_checksum: 'armor checksum does not match',
  armor_unfinished: 'armor has no end line',
  armor_trailing: 'text after the armored message',
  packet_malformed: 'not an OpenPGP packet',
  packet_length: 'OpenPGP packet length of a kind not allowed here',
  packet_unexpected: 'unexpected OpenPGP packet of type {}',
  packet_version: 'OpenPGP packet version or algorithm not allowed',
  packet_size: 'OpenPGP packet of an impossible size',
  packet_truncated: 'OpenPGP message is cut off',
  packet_trailing: 'data after the encrypted packet',
  session_key_missing: 'no encrypted session key before the encrypted data',
  session_keys_too_many: 'too many encrypted session keys',
  session_key_fake: 'an encrypted session key is not random data',
  ciphertext_fake: 'the encrypted data is not ciphertext',
  autocrypt_key: 'the Autocrypt key has {}',
  securejoin_shape: 'not a plain securejoin request',
} as const;

/** Why a DKIM signature by the right domain does not count (RFC 6376 §6.1). */
const DKIM_INVALID = {
  dkim_malformed: 'the signature cannot be parsed',
  dkim_algorithm: 'the algorithm is neither rsa-sha256 nor ed25519-sha256',
  dkim_body_length: 'l= signs only a part of the body',
  dkim_from_unsigned: 'From is not signed',
  dkim_expired: 'the signature has expired',
  dkim_future: 'the signature is from the future',
  dkim_body_changed: 'the body was changed',
  dkim_signature_wrong: 'the header was changed, or the key is another one',
  dkim_key_malformed: 'the key cannot be parsed',
  dkim_key_revoked: 'the key is revoked',
  dkim_key_weak: 'the RSA key has less than 1024 bits',
  dkim_key_not_for_this: 'the key is not for such signatures',
} as const;

interface ReplyText {
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}

/** Refusals that have nothing to do with encryption. */
const REFUSALS = {
  from_missing: { code: 554, enhanced: '5.6.0', text: 'Invalid From: there is no From field' },
  from_repeated: { code: 554, enhanced: '5.6.0', text: 'Invalid From: there is more than one From field' },
  from_malformed: { code: 554, enhanced: '5.6.0', text: 'Invalid From: it cannot be parsed' },
  from_not_one_address: { code: 554, enhanced: '5.6.0', text: 'Invalid From: it must have exactly one address' },
  from_not_envelope: { code: 553, enhanced: '5.7.1', text: 'Invalid From: it is not the envelope sender' },
  sender_invalid: { code: 553, enhanced: '5.1.7', text: 'Invalid envelope sender' },
  sender_not_login: { code: 553, enhanced: '5.7.1', text: 'Envelope sender is not the account logged in' },
  dkim_missing: { code: 554, enhanced: '5.7.1', text: 'No DKIM signature found' },
  dkim_unaligned: {
    code: 554,
    enhanced: '5.7.1',
    text: 'No valid DKIM signature found (none is by the domain of From)',
  },
  dkim_key_missing: { code: 554, enhanced: '5.7.1', text: 'No valid DKIM signature found (no key found in DNS)' },
  line_too_long: { code: 554, enhanced: '5.6.0', text: 'Malformed message: a line has more than 998 bytes' },
  header_bare_cr: { code: 554, enhanced: '5.6.0', text: 'Malformed message: a header field has a bare CR' },
  header_too_large: { code: 554, enhanced: '5.6.0', text: 'Malformed message: the header is too large' },
} as const satisfies Record<string, ReplyText>;

/** Temporary refusals; `{}` stands for the reason's detail. */
const TEMPFAILS = {
  rate_limited: { code: 450, enhanced: '4.7.1', text: 'Too much mail from this account, try again in {} seconds' },
  dkim_dns: { code: 451, enhanced: '4.7.5', text: 'DKIM key cannot be looked up now, try again later' },
  internal: { code: 451, enhanced: '4.3.0', text: 'Temporary failure, try again later' },
} as const satisfies Record<string, ReplyText>;

/** Why a message, or a part of it, does not count as encrypted. */
export type FaultCode = keyof typeof NOT_ENCRYPTED;
export type DkimFault = keyof typeof DKIM_INVALID;
export type RefusalCode = FaultCode | DkimFault | keyof typeof REFUSALS;
export type TempfailCode = keyof typeof TEMPFAILS;
/** Why a message passes. */
export type AcceptCode =
  | 'encrypted'
  | 'securejoin'
  | 'setup_message'
  | 'mailer_daemon'
  | 'cleartext_allowed'
  | 'unchecked';

/** What is wrong with the content of a message. A value, not an error: hostile content is ordinary input. */
export interface Fault {
  readonly code: FaultCode;
  /** Completes the sentence; already safe to show (see {@link safeDetail}). Never logged. */
  readonly detail?: string;
}

export interface Accept {
  readonly verdict: 'accept';
  readonly reason: AcceptCode;
}

export interface Reject {
  readonly verdict: 'reject';
  readonly reason: RefusalCode;
  readonly detail?: string;
}

export interface Tempfail {
  readonly verdict: 'tempfail';
  readonly reason: TempfailCode;
  readonly detail?: string;
}

export type Refusal = Reject | Tempfail;
export type Verdict = Accept | Refusal;

/** Longest detail shown, characters: a media type or a parameter name, not a message. */
const MAX_DETAIL_CHARACTERS = 60;

/** A word of the message, fit to be shown in a reply: printable ASCII without spaces, short. */
export function safeDetail(word: string): string {
  return word.slice(0, MAX_DETAIL_CHARACTERS).replace(/[^!-~]/g, '?');
}

/** Makes a {@link Fault}. */
export function fault(code: FaultCode, detail?: string): Fault {
  return detail === undefined ? { code } : { code, detail: safeDetail(detail) };
}

/** Refuses a message for good. `detail` must be {@link safeDetail}. */
export function reject(reason: RefusalCode, detail?: string): Reject {
  return { verdict: 'reject', reason, ...(detail === undefined ? {} : { detail }) };
}

/** Refuses a message for now. */
export function tempfail(reason: TempfailCode, detail?: string): Tempfail {
  return { verdict: 'tempfail', reason, ...(detail === undefined ? {} : { detail }) };
}

/** Lets a message pass. */
export function accept(reason: AcceptCode): Accept {
  return { verdict: 'accept', reason };
}

/** The SMTP reply of a verdict that refuses. */
export function formatReply(verdict: Refusal): ReplyText {
  const { reason, detail = '' } = verdict;
  const plain: ReplyText | undefined = { ...REFUSALS, ...TEMPFAILS }[reason as keyof typeof REFUSALS];
  if (plain) return { ...plain, text: plain.text.replace('{}', () => detail) };
  if (Object.hasOwn(DKIM_INVALID, reason)) {
    const why = DKIM_INVALID[reason as DkimFault];
    return { code: 554, enhanced: '5.7.1', text: `No valid DKIM signature found (${why})` };
  }
  const what = NOT_ENCRYPTED[reason as FaultCode].replace('{}', () => detail);
  return { code: 523, enhanced: '5.7.1', text: `Encryption Needed: Invalid Unencrypted Mail (${what})` };
}
