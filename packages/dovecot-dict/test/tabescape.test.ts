/** Tab-escaping: the table of the protocol, and that any bytes survive it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { tabEscape, tabUnescape } from '../src/tabescape.ts';

const latin1 = (text: string) => Buffer.from(text, 'latin1');

t.test('the table', (t) => {
  const rows: [string, string, string][] = [
    ['', '', 'nothing'],
    ['plain', 'plain', 'nothing to escape'],
    ['\x00', '\x010', 'NUL would truncate the value'],
    ['\x01', '\x011', 'the escape itself'],
    ['\t', '\x01t', 'separates fields'],
    ['\n', '\x01n', 'ends the line'],
    ['\r', '\x01r', 'is stripped before LF'],
    ['\\', '\\', 'a backslash is not special here'],
    ['\xff\xfe', '\xff\xfe', 'invalid UTF-8 goes as it is'],
    ['line1\r\nline2\ttab\x01x', 'line1\x01r\x01nline2\x01ttab\x011x', 'captured from SETMETADATA'],
  ];
  for (const [plain, escaped, why] of rows) {
    t.equal(tabEscape(latin1(plain)).toString('latin1'), escaped, why);
    t.equal(tabUnescape(latin1(escaped)).toString('latin1'), plain, why);
  }
  t.end();
});

t.test('unescaping what no encoder writes', (t) => {
  t.equal(tabUnescape(latin1('a\x01xb')).toString('latin1'), 'axb', 'an unknown letter stands for itself');
  t.equal(tabUnescape(latin1('a\x01')).toString('latin1'), 'a', 'a lone escape at the end is dropped');
  t.equal(tabUnescape(latin1('\x01\x01t')).toString('latin1'), '\x01t', 'an escaped escape does not escape');
  t.end();
});

t.test('any bytes round-trip, and escaped ones cannot break a line', (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (array) => {
        const bytes = Buffer.from(array);
        const escaped = tabEscape(bytes);
        assert.doesNotMatch(escaped.toString('latin1'), /[\x00\t\n\r]/);
        return tabUnescape(escaped).equals(bytes);
      }),
    ),
  );
  t.end();
});
