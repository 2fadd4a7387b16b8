/**
 * The source of chatmailctl(8), in man(7) macros, written from the commands' own help so that the two cannot disagree. Pure.
 */

import type { Command } from './command.ts';

/** A command as the table has it, loaded. */
export interface ManualEntry {
  readonly name: string;
  readonly summary: string;
  readonly command: Command;
}

/** Writes the page. */
export function formatManual(entries: readonly ManualEntry[]): string {
  const sorted = [...entries].sort((a, b) => (a.name < b.name ? -1 : 1));
  return [
    '.\\" Written by test/write-manual.ts from the commands themselves; do not edit.',
    '.TH CHATMAILCTL 8 "" chatmail-sidecars',
    '.SH NAME',
    'chatmailctl \\- sets up, checks and serves a chatmail relay',
    '.SH SYNOPSIS',
    '.B chatmailctl',
    '.I COMMAND',
    '.RI [ ARG ...]',
    '.SH DESCRIPTION',
    'The command of whoever operates a relay. A new one takes two:',
    '.B chatmailctl init',
    'and',
    '.BR "chatmailctl apply" ;',
    '.B chatmailctl status',
    'says how it is. Every command explains itself with',
    '.BR \\-\\-help .',
    '.PP',
    '.nf',
    ...sorted.map(({ name, summary }) => troff(`${name.padEnd(12)} ${summary}`)),
    '.fi',
    '.SH COMMANDS',
    ...sorted.flatMap(({ name, command }) => sections(name, command)),
    '.SH EXIT STATUS',
    '0 done; 1 a check found something wrong; 64 wrong command line; 70 a bug; 75 not at the moment, try again; 78 wrong',
    'configuration, or something of the machine is not as it must be.',
    '.SH FILES',
    '.TP',
    '.I /etc/chatmail/chatmail.ini',
    'The configuration.',
    '.TP',
    '.I /var/lib/chatmail/backups',
    'What files looked like before',
    '.BR apply .',
    '.SH SEE ALSO',
    '.BR chatmail.ini (5),',
    '.BR doveauth (8),',
    '.BR filtermail (8),',
    '.BR metadata-push (8),',
    '.BR push-gateway (8),',
    '.BR chatmail-expire (8)',
    '',
  ].join('\n');
}

function sections(name: string, command: Command): string[] {
  const own = [`.SS ${troff(name)}`, '.nf', ...usageLines(command.usage), '.fi'];
  const subcommands = Object.entries(command.subcommands ?? {});
  return [...own, ...subcommands.flatMap(([word, subcommand]) => sections(`${name} ${word}`, subcommand))];
}

function usageLines(usage: string): string[] {
  const lines = usage.trimEnd().split('\n');
  return lines.map((line, index) => troff(index === 0 ? line.replace(/^usage: /, '') : line));
}

/** Nothing of a line is taken for a request of troff. */
function troff(line: string): string {
  const text = line.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  return /^[.']/.test(text) ? `\\&${text}` : text;
}
