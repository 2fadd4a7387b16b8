import t from 'tap';
import { UsageError } from '#core';
import { command, commandGroup, runOrHelp } from '../../src/command.ts';

const lines: string[] = [];
const context = {
  print: (line: string) => void lines.push(line),
  note: () => {},
  signal: new AbortController().signal,
};

const list = command({
  usage: 'usage: x list [--json] [NAME]\n\nLists.\n',
  options: { json: { type: 'boolean' } },
  words: [0, 1],
  run: async (values, words) => (values.json ? 10 : 0) + words.length,
});
const group = commandGroup('usage: x COMMAND\n', { list });

t.test('words reach the command', async (t) => {
  t.equal(await runOrHelp(list, ['--json', 'name'], context), 11);
  t.equal(await runOrHelp(group, ['list', 'name'], context), 1);
});

t.test('wrong words are refused with what would be right', async (t) => {
  const rows: [words: string[], message: RegExp, why: string][] = [
    [['list', 'a', 'b'], /^usage: x list/, 'too many words'],
    [['list', '--jsn'], /--jsn/, 'an unknown option'],
    [['lst'], /one of list/, 'an unknown command'],
    [[], /one of list/, 'no command'],
    [['__proto__'], /one of list/, 'a name every object has'],
  ];
  for (const [words, message, why] of rows) {
    await t.rejects(async () => await runOrHelp(group, words, context), { constructor: UsageError, message }, why);
  }
});

t.test('--help explains what it stands behind', async (t) => {
  lines.length = 0;
  t.equal(await runOrHelp(group, ['--help'], context), 0);
  t.equal(await runOrHelp(group, ['list', '-h'], context), 0);
  t.same(lines, ['usage: x COMMAND', 'usage: x list [--json] [NAME]\n\nLists.']);
});

t.test('completion sees commands and options', async (t) => {
  t.same(Object.keys(group.subcommands ?? {}), ['list']);
  t.same(list.optionNames, ['json']);
});
