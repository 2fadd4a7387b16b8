/**
 * [io] Recorded conversations: one protocol line per text line, `>` from Dovecot to us, `<` from us to Dovecot.
 * `#` lines are comments, the first one names the peer and its version. `=` lines are entries (key, TAB, value) the dict
 * has at the start. An empty line starts a new connection. All bytes but printable ASCII are escaped.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const TRANSCRIPTS = resolve(import.meta.dirname, '../../../test/transcripts/dict');

/** What came, and the replies to exactly that. */
export interface Exchange {
  received: Buffer;
  replies: Buffer;
}

export interface Transcript {
  readonly name: string;
  readonly entries: Readonly<Record<string, string>>;
  /** Per connection, its exchanges in order. */
  readonly connections: readonly (readonly Exchange[])[];
}

export function readTranscripts(): Transcript[] {
  const names = readdirSync(TRANSCRIPTS).filter((name) => name.endsWith('.txt'));
  return names.sort().map((name) => parseTranscript(name, readFileSync(join(TRANSCRIPTS, name), 'latin1')));
}

export function parseTranscript(name: string, text: string): Transcript {
  const entries: Record<string, string> = {};
  const connections: Exchange[][] = [];
  let exchanges: Exchange[] | undefined;
  for (const line of text.split('\n')) {
    const bytes = unescapeBytes(line.slice(2));
    if (line === '') {
      exchanges = undefined;
    } else if (line.startsWith('= ')) {
      const [key = '', value = ''] = bytes.toString('latin1').split('\t');
      entries[key] = value;
    } else if (line.startsWith('> ') || line.startsWith('< ')) {
      if (exchanges === undefined) {
        exchanges = [];
        connections.push(exchanges);
      }
      const last = exchanges.at(-1);
      if (line.startsWith('< ')) last!.replies = Buffer.concat([last!.replies, bytes]);
      else if (last === undefined || last.replies.length > 0)
        exchanges.push({ received: bytes, replies: Buffer.alloc(0) });
      else last.received = Buffer.concat([last.received, bytes]);
    } else if (!line.startsWith('#')) {
      throw new Error(`${name}: not a transcript line: ${line}`);
    }
  }
  return { name, entries, connections };
}

/** Formats one direction's bytes, one text line for each protocol line. */
export function formatLines(direction: '>' | '<' | '=', bytes: Buffer): string {
  const lines = bytes.toString('latin1').match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return lines.map((line) => `${direction} ${escapeBytes(line)}\n`).join('');
}

function escapeBytes(text: string): string {
  const names: Record<string, string> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' };
  return text.replace(/[^ -[\]-~]/g, (char) => names[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function unescapeBytes(text: string): Buffer {
  const bytes: Record<string, string> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };
  const plain = text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (bytes[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1');
}
