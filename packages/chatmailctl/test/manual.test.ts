import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { command } from '../src/command.ts';
import { COMMANDS } from '../src/commands/table.ts';
import { formatManual } from '../src/manual.ts';

t.test('the manual is up to date', async (t) => {
  const entries = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, { summary, load }]) => ({ name, summary, command: await load() })),
  );
  const page = readFileSync(join(import.meta.dirname, '../../../man/chatmailctl.8'), 'utf8');
  t.equal(page, formatManual(entries), "run 'npm run manual' to write it again");
});

t.test('text stays text', async (t) => {
  const odd = command({ usage: "usage: x\n.TH \\fB\n'quote\n", options: {}, words: [0, 0], run: async () => 0 });
  const page = formatManual([{ name: 'x', summary: 'y', command: odd }]);
  t.match(page, "\n\\&.TH \\efB\n\\&'quote\n");
});
