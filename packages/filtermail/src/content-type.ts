/**
 * Reads a Content-Type value (RFC 2045 §5.1): type, subtype, parameters. Strict where two readers could disagree: a parameter
 * given twice, a parameter split or encoded by RFC 2231, and comments are faults, not puzzles. Lenient where honest mail is
 * sloppy and all readers agree: a trailing `;`, and unquoted `=`, `/`, `?`, `:` in a value.
 */

import { type Fault, fault } from './verdict.ts';

/** Longest value read, bytes. Real ones have under 300. */
const MAX_VALUE_BYTES = 2048;
/** RFC 2046 §5.1.1, characters. */
const MAX_BOUNDARY_CHARACTERS = 70;

export interface ContentType {
  /** `type/subtype` in lower case. */
  readonly type: string;
  /** By name in lower case; values unquoted. */
  readonly parameters: ReadonlyMap<string, string>;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: Fault };

const BLANK = 1;
const TOKEN = 2;
/** Also what no reader takes for a separator inside a value: tspecials of RFC 2045 that are missing here. */
const VALUE = 4;
const CONTROL = 8;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** What each byte may be. Every message has three values to read, hence no strings of one character. */
const CLASSES = Uint8Array.from({ length: 256 }, (_, code) => {
  const char = String.fromCharCode(code);
  const isValue = code > 0x20 && code < 0x7f && !'()<>@,;\\"'.includes(char);
  const isToken = isValue && !':/?=[]'.includes(char);
  return (
    (' \t\n\r'.includes(char) ? BLANK : 0) |
    (isValue ? VALUE : 0) |
    (isToken ? TOKEN : 0) |
    (code < 0x20 || code === 0x7f ? CONTROL : 0)
  );
});

/** Parses a header value as a byte string, folded or not. Linear in its length. */
export function parseContentType(value: string): Parsed<ContentType> {
  if (value.length > MAX_VALUE_BYTES) return { ok: false, fault: fault('content_type_malformed') };
  return new Reader(value).read();
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Parsed<ContentType> {
    const malformed = { ok: false, fault: fault('content_type_malformed') } as const;
    this.#skipBlanks();
    const type = this.#take(TOKEN);
    if (type === '' || !this.#skip('/')) return malformed;
    const subtype = this.#take(TOKEN);
    if (subtype === '') return malformed;
    const parameters = new Map<string, string>();
    for (;;) {
      this.#skipBlanks();
      if (this.#at === this.#text.length) break;
      if (!this.#skip(';')) return malformed;
      this.#skipBlanks();
      if (this.#at === this.#text.length) break;
      const name = this.#take(TOKEN).toLowerCase();
      this.#skipBlanks();
      if (name === '' || !this.#skip('=')) return malformed;
      this.#skipBlanks();
      const text = this.#skip('"') ? this.#quoted() : this.#take(VALUE);
      if (text === undefined || text === '') return malformed;
      // `boundary*0=a; boundary*1=b` and `boundary*=...` are boundaries to some readers only.
      const base = name.split('*', 1)[0]!;
      if (base !== name && (base === 'boundary' || base === 'protocol')) return malformed;
      if (parameters.has(name)) return { ok: false, fault: fault('parameter_repeated', name) };
      parameters.set(name, text);
    }
    return { ok: true, value: { type: `${type}/${subtype}`.toLowerCase(), parameters } };
  }

  #skip(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #skipBlanks(): void {
    this.#take(BLANK);
  }

  #take(kind: number): string {
    const text = this.#text;
    const from = this.#at;
    let at = from;
    while (at < text.length && (classOf(text, at) & kind) !== 0) at++;
    this.#at = at;
    return text.slice(from, at);
  }

  /** The rest of a quoted string; undefined when it does not end or holds a control character. */
  #quoted(): string | undefined {
    const text = this.#text;
    let unquoted = '';
    let from = this.#at;
    for (let at = from; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) {
        this.#at = at + 1;
        return unquoted + text.slice(from, at);
      }
      if (code === BACKSLASH) {
        unquoted += text.slice(from, at);
        from = ++at;
        if (at === text.length) return undefined;
      }
      if ((classOf(text, at) & CONTROL) !== 0) return undefined;
    }
    return undefined;
  }
}

/** What a character may be; one that is no byte may be nothing. */
function classOf(text: string, at: number): number {
  return CLASSES[text.charCodeAt(at)] ?? 0;
}

/** The boundary of a multipart (RFC 2046 §5.1.1): 1 to 70 characters of a small set, the last one no space. */
export function readBoundary(parameters: ReadonlyMap<string, string>): Parsed<string> {
  const boundary = parameters.get('boundary');
  if (boundary === undefined) return { ok: false, fault: fault('boundary_missing') };
  const valid = boundary.length <= MAX_BOUNDARY_CHARACTERS && /^[\w'()+,\-./:=? ]*[\w'()+,\-./:=?]$/.test(boundary);
  return valid ? { ok: true, value: boundary } : { ok: false, fault: fault('boundary_invalid') };
}
