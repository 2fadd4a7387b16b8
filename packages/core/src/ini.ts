/**
 * Reads the text of an INI file as existing relays write it (Python's iniconfig): `[section]`, `key = value` or
 * `key: value`, comments on lines of their own that begin with `#` or `;`, and indented lines that continue a value, also
 * after an empty line. A `#` inside a value belongs to the value: postal addresses and passwords contain it.
 */

import { ConfigError } from './errors.ts';

/** Largest configuration text, characters: a thousand times what a real one has. */
const MAX_INI_CHARS = 4 * 1024 * 1024;

/** One `key = value`, with the line (from 1) it begins on. */
export interface IniEntry {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

/**
 * Parses INI text into sections, keeping the order of entries.
 *
 * @throws ConfigError at the first line that is no section, entry, comment or continuation.
 */
export function parseIni(text: string, file?: string): Map<string, IniEntry[]> {
  if (text.length > MAX_INI_CHARS) throw new ConfigError('the file is too large for a configuration', { file });
  const sections = new Map<string, IniEntry[]>();
  let entries: IniEntry[] | undefined;
  let continued = false;

  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    const isIndented = raw[0] === ' ' || raw[0] === '\t';
    if (trimmed === '' || trimmed[0] === '#' || trimmed[0] === ';') continue;
    if (isIndented && continued && entries) {
      const previous = entries.pop()!;
      entries.push({ ...previous, value: previous.value === '' ? trimmed : `${previous.value}\n${trimmed}` });
      continue;
    }
    if (trimmed[0] === '[') {
      const end = trimmed.indexOf(']');
      if (end < 2) throw new ConfigError(`'${trimmed}' is no section header; write [params]`, { file, line });
      const name = trimmed.slice(1, end);
      entries = sections.get(name) ?? [];
      sections.set(name, entries);
      continued = false;
      continue;
    }
    const separator = trimmed.search(/[=:]/);
    if (separator < 1) throw new ConfigError(`expected 'key = value', found '${trimmed}'`, { file, line });
    if (!entries)
      throw new ConfigError('an entry before the first section; begin the file with [params]', { file, line });
    entries.push({ key: trimmed.slice(0, separator).trim(), value: trimmed.slice(separator + 1).trim(), line });
    continued = true;
  }
  return sections;
}
