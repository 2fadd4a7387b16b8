import t from 'tap';
import { installTrouble } from '../../src/demo/dependencies.ts';

t.test('one sentence out of what apt-get says', async (t) => {
  const rows: [output: string, sentence: RegExp, reason: string][] = [
    ["Err:1 http://deb.example bookworm\n  Temporary failure resolving 'deb.example'\n", /online/, 'no DNS'],
    ['E: Unable to locate package postfix\n', /online/, 'no package lists, so the update before failed'],
    [
      'Reading...\nE: dpkg was interrupted, you must run x\nE: more\n',
      /\(dpkg was interrupted, you must run x\)/,
      'its own first reason',
    ],
    ['Segmentation fault\n', /\(apt-get exited with 100\)/, 'no reason given'],
  ];
  for (const [output, sentence, reason] of rows) {
    const text = installTrouble({ code: 100, output }, 'apt-get install postfix');
    t.match(text, sentence, reason);
    t.match(text, /: apt-get install postfix$/, `${reason}: says how to do it by hand`);
    t.notMatch(text, /\n/, `${reason}: one line`);
  }
});
