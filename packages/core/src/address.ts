/**
 * Mail addresses: the only place that decides what is one (RFC 5321 section 4.1.2, RFC 6531 for UTF-8).
 * Domains may be DNS names or address literals (`[203.0.113.7]`, `[IPv6:2001:db8::1]`). An {@link Address} can name a
 * directory as it is: no slash, no NUL, never just dots, at most 254 bytes. Quoted local parts, source routes and
 * comments are refused on purpose: no chatmail address has them and every one of them has hidden a bug somewhere.
 */

/** RFC 5321 section 4.5.3.1.1, bytes. */
const MAX_LOCAL_PART_BYTES = 64;
/** RFC 5321 section 4.5.3.1.3 with erratum 1690, bytes; also below NAME_MAX (255) of every file system. */
const MAX_ADDRESS_BYTES = 254;
/** RFC 1035 section 2.3.4, bytes of a name in text form. */
const MAX_DOMAIN_BYTES = 253;

// atext of RFC 5322 section 3.2.3 without `/`, plus printable non-ASCII (RFC 6531 section 3.3). Dots may stand anywhere:
// RFC 5321 asks for atoms between them, but existing relays have created accounts such as `a..b` and `.a`.
const LOCAL_PART = /^[\w!#$%&'*+\-=?^`{|}~.\u00A1-\uD7FF\uE000-\uFFEF\u{10000}-\u{10FFFF}]+$/u;
const LABEL = /^(?!-)[a-z0-9_\-\u00A1-\uD7FF\uE000-\uFFEF\u{10000}-\u{10FFFF}]{1,63}(?<!-)$/u;
const IPV4_OCTET = /^(?:0|[1-9]\d{0,2})$/;

/** A mail address that has passed {@link parseAddress}; ASCII letters are in lower case. */
export interface Address {
  /** `localPart@domain`: also the name of the mailbox directory. */
  readonly text: string;
  readonly localPart: string;
  /** A DNS name, `[1.2.3.4]` or `[ipv6:...]`. */
  readonly domain: string;
}

/** True for four decimal octets without leading zeros. */
export function isIpv4(text: string): boolean {
  const octets = text.split('.');
  return octets.length === 4 && octets.every((octet) => IPV4_OCTET.test(octet) && Number(octet) <= 255);
}

function isIpv6(text: string): boolean {
  // The WHATWG URL parser is a complete IPv6 parser; it knows no zone ids, and neither does RFC 5321.
  return /^[0-9a-f:.]{2,45}$/i.test(text) && URL.canParse(`http://[${text}]/`);
}

/**
 * Normalises a domain: a DNS name of valid labels, or an address literal in brackets.
 *
 * @returns the domain with ASCII letters in lower case, or undefined when it is none
 */
export function parseDomain(text: string): string | undefined {
  const domain = lowerCaseAscii(text);
  if (domain.startsWith('[')) {
    const literal = domain.endsWith(']') ? domain.slice(1, -1) : '';
    const valid = literal.startsWith('ipv6:') ? isIpv6(literal.slice(5)) : isIpv4(literal);
    return valid ? domain : undefined;
  }
  if (Buffer.byteLength(domain) > MAX_DOMAIN_BYTES) return undefined;
  return domain.split('.').every((label) => LABEL.test(label)) ? domain : undefined;
}

/** True when a domain, as {@link parseDomain} returns it, is an address literal. */
export function isAddressLiteral(domain: string): boolean {
  return domain.startsWith('[');
}

/**
 * Parses `localPart@domain`, without angle brackets. Linear in the length of the text; anything over 254 bytes is refused
 * unread.
 *
 * @returns the address, or undefined when the text is not exactly one
 */
export function parseAddress(text: string): Address | undefined {
  if (text.length > MAX_ADDRESS_BYTES || Buffer.byteLength(text) > MAX_ADDRESS_BYTES) return undefined;
  const at = text.lastIndexOf('@');
  const localPart = lowerCaseAscii(text.slice(0, Math.max(at, 0)));
  if (localPart === '' || Buffer.byteLength(localPart) > MAX_LOCAL_PART_BYTES || !LOCAL_PART.test(localPart))
    return undefined;
  const domain = parseDomain(text.slice(at + 1));
  return domain === undefined ? undefined : Object.freeze({ text: `${localPart}@${domain}`, localPart, domain });
}

// Only ASCII is case-insensitive in mail; toLowerCase() would also change letters whose case belongs to the mailbox owner.
function lowerCaseAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
