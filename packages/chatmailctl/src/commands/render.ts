/**
 * [io] `chatmailctl render`.
 */

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EXIT_OK, loadConfig } from '#core';
import { command } from '../command.ts';
import { readHostFacts } from '../host-facts.ts';
import { renderRelay } from '../render/relay.ts';

export const render = command({
  usage: `usage: chatmailctl render [--out DIR] [--config FILE]

Shows every file that apply would write, for the Postfix, Dovecot and nginx that are installed. Changes nothing.

  --out DIR       write them below DIR instead of showing them
  --config FILE   the chatmail.ini to read
`,
  options: { out: { type: 'string' }, config: { type: 'string' } },
  words: [0, 0],
  async run(values, _words, { print, note }) {
    const config = loadConfig(values.config);
    for (const warning of config.warnings) note(`warning: ${warning}`);
    const files = renderRelay(config, await readHostFacts());
    for (const { path, text, mode } of files) {
      if (values.out === undefined) {
        print(`==> ${path} <==\n${text}`);
        continue;
      }
      const target = join(values.out, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, text);
      await chmod(target, mode);
    }
    if (values.out !== undefined) print(`${files.length} files are below ${values.out}`);
    return EXIT_OK;
  },
});
