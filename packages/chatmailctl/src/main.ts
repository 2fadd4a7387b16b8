/**
 * [io] chatmailctl, the operator's command: picks the command and turns its outcome into an exit code.
 */

import { EXIT_OK, EXIT_USAGE, ExitError, exitCodeOf, packageVersion } from '#core';
import { runOrHelp } from './command.ts';
import { COMMANDS } from './commands/table.ts';

function usage(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const rows = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}   ${summary}`);
  return `usage: chatmailctl COMMAND [ARG...]

Sets up, checks and serves a chatmail relay. chatmailctl COMMAND --help says more about a command.

${rows.join('\n')}
`;
}

async function main(words: readonly string[]): Promise<number> {
  const [name = '', ...rest] = words;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(usage());
    return EXIT_OK;
  }
  if (name === '--version') {
    process.stdout.write(`chatmailctl ${packageVersion()}\n`);
    return EXIT_OK;
  }
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!entry) {
    process.stderr.write(name === '' ? usage() : `chatmailctl: there is no command '${name}'\n\n${usage()}`);
    return EXIT_USAGE;
  }
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => abort.abort());
  // A reader that has gone away, such as `head`, is a reason to end in order, not to crash.
  process.stdout.on('error', () => abort.abort());
  // Nor is a terminal that has gone away, half way through apply.
  process.stderr.on('error', () => {});
  try {
    return await runOrHelp(await entry.load(), rest, {
      print: (line) => void process.stdout.write(`${line}\n`),
      note: (line) => void process.stderr.write(`${line}\n`),
      signal: abort.signal,
    });
  } catch (error) {
    const text = error instanceof ExitError ? error.message : `unexpected error: ${(error as Error).stack ?? error}`;
    process.stderr.write(`chatmailctl ${name}: ${text}\n`);
    return exitCodeOf(error);
  }
}

process.exitCode = await main(process.argv.slice(2));
process.exit();
