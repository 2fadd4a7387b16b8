/**
 * The sample `chatmail.ini` and chatmail.ini(5), written from the table of keys so that they cannot disagree with it.
 */

import { fillIn } from './config.ts';
import { CONFIG_GROUPS, type KeySpec } from './config-table.ts';

const GROUP_TITLES: Readonly<Record<keyof typeof CONFIG_GROUPS, string>> = {
  domain: 'The relay',
  accounts: 'Accounts and limits',
  host: 'Host and services',
  sidecars: 'Sidecars',
  inherited: 'Inherited keys',
};

const UNITS: Readonly<Partial<Record<KeySpec['type'], string>>> = {
  size: 'size in bytes, with K, M, G or T for powers of 1024',
  days: 'days',
  percent: 'percent',
  boolean: 'true or false',
};

function* groups(): Generator<[title: string, keys: [string, KeySpec][]]> {
  for (const [group, keys] of Object.entries(CONFIG_GROUPS)) {
    yield [GROUP_TITLES[group as keyof typeof CONFIG_GROUPS], Object.entries(keys)];
  }
}

/** A commented configuration file for a new relay: every key that does something, at its default and switched off. */
export function formatSampleConfig(mailDomain: string): string {
  const lines = ['# Configuration of a chatmail relay; chatmail.ini(5) explains every key.', '[params]', ''];
  for (const [title, keys] of groups()) {
    const active = keys.filter(([, spec]) => !spec.ignored);
    if (active.length === 0) continue;
    lines.push(`# --- ${title} ---`, '');
    for (const [key, spec] of active) {
      lines.push(`# ${spec.help}${spec.choices ? ` One of: ${spec.choices.join(', ')}.` : ''}`);
      const value = spec.default === undefined ? undefined : fillIn(spec.default, mailDomain);
      lines.push(value === undefined ? `${key} = ${mailDomain}` : `#${key} = ${value}`.trimEnd(), '');
    }
  }
  return lines.join('\n');
}

/** The source of chatmail.ini(5), in man(7) macros. */
export function formatConfigManual(): string {
  const lines = [
    '.\\" Written by test/write-manual.ts from packages/core/src/config-table.ts; do not edit.',
    '.TH CHATMAIL.INI 5 "" chatmail-sidecars',
    '.SH NAME',
    'chatmail.ini \\- configuration of a chatmail relay',
    '.SH DESCRIPTION',
    'All keys stand in the section',
    '.BR [params] ,',
    'one',
    '.IB key " = " value',
    'a line. Indented lines continue a value; lines that begin with # or ; are comments. The daemons read the file named by',
    '.BR \\-\\-config ,',
    'else by the environment variable',
    '.BR CHATMAIL_INI ,',
    'else',
    '.I /etc/chatmail/chatmail.ini',
    'or, where that does not exist,',
    '.IR /usr/local/lib/chatmaild/chatmail.ini .',
    'A bad value ends a daemon with exit code 78 and the place of the mistake; an unknown key is a warning in the log.',
  ];
  for (const [title, keys] of groups()) {
    lines.push(`.SH ${title.toUpperCase()}`);
    for (const [key, spec] of keys) {
      lines.push('.TP', `.B ${key}`, ...describe(spec));
    }
  }
  lines.push(
    '.SH SEE ALSO',
    '.BR filtermail (8),',
    '.BR doveauth (8),',
    '.BR metadata-push (8),',
    '.BR chatmail-expire (8)',
    '',
  );
  return lines.join('\n');
}

function describe(spec: KeySpec): string[] {
  if (spec.ignored) return [`Accepted and ignored: ${roff(spec.ignored)}.`];
  const facts = [spec.choices?.join(', ') ?? UNITS[spec.type], defaultOf(spec)].filter((fact) => fact !== undefined);
  return [roff(spec.help), `(${roff(facts.join('; '))})`];
}

function defaultOf(spec: KeySpec): string {
  if (spec.default === undefined) return 'required';
  return spec.default === '' ? 'default: empty' : `default: ${spec.default}`;
}

/** Escapes what troff would read as a command. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1');
}
