/** [io] Our differences against those of diff(1) and patch(1)'s reading of them. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import fc from 'fast-check';
import t from 'tap';
import { unifiedDiff } from '../../src/apply/diff.ts';

t.test('as a person reads it', async (t) => {
  t.equal(
    unifiedDiff('/f', 'a\nb\nc\nd\ne\nf\ng\nh\ni\n', 'a\nb\nc\nd\nE\nf\ng\nh\ni\nj\n'),
    '--- /f\n+++ /f\n@@ -2,8 +2,9 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n i\n+j',
  );
  t.equal(unifiedDiff('/f', 'a\n', 'a\n'), '');
  t.equal(unifiedDiff('/f', undefined, 'a\n'), '--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a');
  t.equal(unifiedDiff('/f', 'a\n', undefined), '--- /f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a');
  t.match(unifiedDiff('/f', 'a', 'a\n'), /No newline at end of file/);
});

t.test('git apply makes the one text of the other', async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/diff-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', '', 'x = 1'), { minLength: 1, maxLength: 30 })
    .map((lines) => `${lines.join('\n')}\n`);
  const property = fc.property(text, text, (before, after) => {
    const difference = unifiedDiff('f', before, after);
    writeFileSync(`${directory}/f`, before);
    if (before === after) return difference === '';
    const patch = difference.replace('--- f', '--- a/f').replace('+++ f', '+++ b/f');
    execFileSync('git', ['apply', '--unidiff-zero', '--whitespace=nowarn', '-'], {
      cwd: directory,
      input: `${patch}\n`,
    });
    return readFileSync(`${directory}/f`, 'utf8') === after;
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 40 }));
});
