/**
 * Completion scripts for shells, made from the table of commands, so that they know what the program knows. Pure.
 */

import type { Command } from './command.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** A command as completion sees it: the words that lead to it, and what may stand behind them. */
export interface CompletionEntry {
  readonly path: readonly string[];
  readonly summary: string;
  readonly subcommands: readonly string[];
  readonly options: readonly string[];
}

/** The entries of a command and of those below it. */
export function completionEntries(name: string, summary: string, command: Command): CompletionEntry[] {
  return entriesBelow([name], summary, command);
}

function entriesBelow(path: readonly string[], summary: string, command: Command): CompletionEntry[] {
  const subcommands = Object.entries(command.subcommands ?? {});
  return [
    {
      path,
      summary,
      subcommands: subcommands.map(([name]) => name),
      options: [...command.optionNames.map((name) => `--${name}`), '--help'],
    },
    ...subcommands.flatMap(([name, subcommand]) => entriesBelow([...path, name], '', subcommand)),
  ];
}

/** The script of a shell. */
export function formatCompletion(shell: Shell, entries: readonly CompletionEntry[]): string {
  switch (shell) {
    case 'bash':
      return formatBash(entries);
    case 'zsh':
      // zsh can run what was written for bash; names of files after options come from zsh itself.
      return `#compdef chatmailctl\nautoload -Uz bashcompinit && bashcompinit\n${formatBash(entries)}`;
    case 'fish':
      return formatFish(entries);
  }
}

function formatBash(entries: readonly CompletionEntry[]): string {
  const names = entries.filter(({ path }) => path.length === 1).map(({ path }) => path[0]);
  const cases = entries.map(({ path, subcommands, options }) => {
    const words = [...subcommands, ...options].join(' ');
    return `    '${path.join(' ')}') words='${words}' ;;`;
  });
  return `# chatmailctl completion bash
_chatmailctl() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' word words index
  for ((index = 1; index < COMP_CWORD && index < 3; index++)); do
    word=\${COMP_WORDS[index]}
    case "$path \${word}" in
${[...new Set(entries.map(({ path }) => `      '${['', ...path].join(' ')}') path="$path $word" ;;`))].join('\n')}
    esac
  done
  case "\${path# }" in
    '') words='${[...names, '--help', '--version'].join(' ')}' ;;
${cases.join('\n')}
  esac
  case $current in
    -*) ;;
    *) case \${COMP_WORDS[COMP_CWORD - 1]} in --*) COMPREPLY=($(compgen -f -- "$current")); return ;; esac ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ "\${#COMPREPLY[@]}" = 0 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _chatmailctl chatmailctl
`;
}

function formatFish(entries: readonly CompletionEntry[]): string {
  const names = entries.filter(({ path }) => path.length === 1).map(({ path }) => path[0]);
  const lines = ['# chatmailctl completion fish'];
  for (const { path, summary, subcommands, options } of entries) {
    const [name = '', sub] = path;
    if (sub === undefined) {
      const isFirst = `not __fish_seen_subcommand_from ${names.join(' ')}`;
      lines.push(`complete -c chatmailctl -n '${isFirst}' -a ${name} -d '${summary.replaceAll("'", "\\'")}'`);
      const isNext = `__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${subcommands.join(' ')}`;
      if (subcommands.length > 0) lines.push(`complete -c chatmailctl -n '${isNext}' -a '${subcommands.join(' ')}'`);
    }
    const here = path.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    for (const option of options) lines.push(`complete -c chatmailctl -n '${here}' -l ${option.slice(2)}`);
  }
  return `${lines.join('\n')}\n`;
}
