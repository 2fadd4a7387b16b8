import t from 'tap';
import { packageVersion } from '#core';
import { runOrHelp } from '../../src/command.ts';
import { version } from '../../src/commands/version.ts';

const printed: string[] = [];
const context = {
  print: (line: string) => void printed.push(line),
  note: () => {},
  signal: new AbortController().signal,
};

t.test('what is not installed is named too', async (t) => {
  t.equal(await runOrHelp(version, ['--json'], context), 0);
  const versions = JSON.parse(printed[0]!);
  t.same(Object.keys(versions), ['chatmail-sidecars', 'node', 'postfix', 'dovecot']);
  t.match(versions, { 'chatmail-sidecars': packageVersion(), node: process.versions.node });
  for (const text of [versions.postfix, versions.dovecot]) t.ok(text === null || /^\d+\.\d+/.test(text), `${text}`);

  printed.length = 0;
  t.equal(await runOrHelp(version, [], context), 0);
  t.equal(printed.length, 4);
  for (const line of printed) t.match(line, /^[\w-]+ (?:\d\S*|\(not installed\))$/);
});
