import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Command, command, commandGroup } from '../src/command.ts';
import { COMMANDS } from '../src/commands/table.ts';
import { completionEntries, formatCompletion } from '../src/completion.ts';

const leaf = (options: object) =>
  command({ usage: 'usage: x\n', options: options as never, words: [0, 1], run: async () => 0 });
const entries = [
  ...completionEntries('one', 'the first', leaf({ json: { type: 'boolean' }, config: { type: 'string' } })),
  ...completionEntries('two', "it's the second", commandGroup('usage: two\n', { add: leaf({}), remove: leaf({}) })),
];

/** What a real bash would offer for a line whose last word is being written. */
function complete(script: string, ...words: string[]): string[] {
  const setUp = `source ${script}; COMP_WORDS=(chatmailctl "$@"); COMP_CWORD=$#; _chatmailctl`;
  const program = `${setUp}; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync('bash', ['-c', program, 'bash', ...words], { cwd: directory, encoding: 'utf8' });
  return output.split('\n').filter((line) => line !== '');
}

const directory = mkdtempSync(join(tmpdir(), 'completion-'));
t.teardown(() => rmSync(directory, { recursive: true }));

t.test('bash', async (t) => {
  const script = join(directory, 'script');
  writeFileSync(script, formatCompletion('bash', entries));
  writeFileSync(join(directory, 'relay.ini'), '');
  const rows: [words: string[], offered: string[], reason: string][] = [
    [[''], ['one', 'two', '--help', '--version'], 'commands'],
    [['t'], ['two'], 'that begin so'],
    [['one', '--'], ['--json', '--config', '--help'], 'options'],
    [['two', ''], ['add', 'remove', '--help'], 'commands below'],
    [['two', 'remove', '-'], ['--help'], 'and their options'],
    [['one', '--config', 'rel'], ['relay.ini'], 'a file'],
    [['one', 'rel'], ['relay.ini'], 'a file where no option fits'],
    [['none', 'z'], [], 'nothing for what is no command'],
  ];
  for (const [words, offered, reason] of rows) t.same(complete(script, ...words), offered, reason);
});

t.test('fish and zsh', async (t) => {
  const fish = formatCompletion('fish', entries);
  t.match(fish, "-a two -d 'it\\'s the second'");
  t.match(fish, "-n '__fish_seen_subcommand_from two; and not __fish_seen_subcommand_from add remove' -a 'add remove'");
  t.match(fish, "-n '__fish_seen_subcommand_from one' -l json");
  t.match(formatCompletion('zsh', entries), /^#compdef chatmailctl\n.*bashcompinit/);
});

t.test('every command has a usage that names it, and a line for each of its options', async (t) => {
  const check = (path: string, { usage, optionNames, subcommands = {} }: Command) => {
    t.ok(usage.startsWith(`usage: chatmailctl ${path}`), path);
    for (const option of optionNames) t.match(usage, `\n  --${option}`, `${path} --${option}`);
    for (const [name, below] of Object.entries(subcommands)) {
      t.match(usage, name, `${path} ${name}`);
      check(`${path} ${name}`, below);
    }
  };
  for (const [name, { load }] of Object.entries(COMMANDS)) check(name, await load());
});
