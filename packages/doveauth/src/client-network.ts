/**
 * Who asks, as far as the web server in front of us says: `X-Forwarded-For` and `X-Real-IP`. A web server that sets only
 * one of them passes the other on as the client wrote it, and we cannot know which; so each counts by itself, and a client
 * that invents one is still held by the true one. Of `X-Forwarded-For` the last entry is the web server's own.
 * IPv6 clients count by /64, the smallest network anybody gets.
 */

/** Longest text taken as an address, characters. */
const MAX_LENGTH = 64;

/** The networks to count a request under; none when the web server says nothing. */
export function clientNetworks(forwardedFor: string | undefined, realIp: string | undefined): string[] {
  const last = forwardedFor?.slice(forwardedFor.lastIndexOf(',') + 1);
  const texts = [last, realIp].map((text) => text?.trim().toLowerCase() ?? '').filter((text) => text !== '');
  return [...new Set(texts.map(network))];
}

function network(text: string): string {
  if (text.length > MAX_LENGTH || !text.includes(':') || !/^\[?[0-9a-f:.]+\]?$/.test(text))
    return text.slice(0, MAX_LENGTH);
  const url = URL.parse(`http://[${text.replace(/[[\]]/g, '')}]/`);
  if (url === null) return text;
  // The URL parser has made it hexadecimal, without leading zeros and with the longest run of zeros as `::`.
  const [head = '', tail] = url.hostname.slice(1, -1).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const isMappedIpv4 = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff';
  if (!isMappedIpv4) return `${groups.slice(0, 4).join(':')}::/64`;
  const [high, low] = [Number.parseInt(groups[6]!, 16), Number.parseInt(groups[7]!, 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
