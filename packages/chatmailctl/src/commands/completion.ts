/**
 * `chatmailctl completion`: prints what teaches a shell our commands.
 */

import { EXIT_OK, UsageError } from '#core';
import { command } from '../command.ts';
import { completionEntries, formatCompletion, SHELLS } from '../completion.ts';
import { COMMANDS } from './table.ts';

export const completion = command({
  usage: `usage: chatmailctl completion ${SHELLS.join('|')}

Prints a script that makes the shell complete commands and options of chatmailctl. For bash, in ~/.bashrc:

  source <(chatmailctl completion bash)
`,
  options: {},
  words: [1, 1],
  async run(_values, [word], { print }) {
    const shell = SHELLS.find((known) => known === word);
    if (!shell) throw new UsageError(`there is no completion for '${word}'; write one of ${SHELLS.join(', ')}`);
    const loaded = await Promise.all(
      Object.entries(COMMANDS).map(async ([name, { summary, load }]) => completionEntries(name, summary, await load())),
    );
    print(formatCompletion(shell, loaded.flat()).trimEnd());
    return EXIT_OK;
  },
});
