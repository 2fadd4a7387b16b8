/**
 * The Retry-After header field (RFC 9110 section 10.2.3): seconds, or a date.
 */

/** Longest wait taken from a header field; a push is given up long before. 1 day. */
const MAX_MS = 24 * 60 * 60 * 1000;

/** Reads a Retry-After value; undefined when it is none. A date in the past is 0. */
export function parseRetryAfter(value: string, now: number): number | undefined {
  const text = value.trim();
  if (/^\d{1,10}$/.test(text)) return Math.min(Number(text) * 1000, MAX_MS);
  // IMF-fixdate only: Date.parse() would take almost anything.
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.min(Math.max(date - now, 0), MAX_MS);
}
