/**
 * [io] `chatmailctl version`: what to name in a bug report.
 */

import { execFile } from 'node:child_process';
import { EXIT_OK, packageVersion } from '#core';
import { command } from '../command.ts';

export const version = command({
  usage: `usage: chatmailctl version [--json]

Prints the versions of this package and of what it works with.

  --json   print one JSON object
`,
  options: { json: { type: 'boolean' } },
  words: [0, 0],
  async run(values, _words, { print }) {
    const [postfix, dovecot] = await Promise.all([
      answerOf('postconf', ['-dh', 'mail_version']),
      answerOf('dovecot', ['--version']),
    ]);
    const versions = {
      'chatmail-sidecars': packageVersion(),
      node: process.versions.node,
      postfix,
      dovecot: dovecot?.split(' ')[0],
    };
    if (values.json) print(JSON.stringify(versions, (_key, value) => value ?? null));
    else for (const [name, text] of Object.entries(versions)) print(`${name} ${text ?? '(not installed)'}`);
    return EXIT_OK;
  },
});

/** The first line a program answers; undefined where there is none. */
function answerOf(program: string, words: readonly string[]): Promise<string | undefined> {
  // A user's PATH has no sbin.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
  return new Promise((resolve) => {
    execFile(program, words, { env, timeout: 5000 }, (error, stdout) =>
      resolve(error ? undefined : stdout.split('\n')[0]!.trim() || undefined),
    );
  });
}
