import t from 'tap';
import { encode } from 'uqr';
import { renderQr } from '../../src/accounts/qr.ts';

const LINK = 'dclogin:abcdefghi@[203.0.113.7]?p=passwordpassword123456&v=1&ih=203.0.113.7&sh=203.0.113.7&ic=3';

/** Reads the modules back from the screen: true where it is dark. */
function read(lines: readonly string[], isLetterDark: boolean): boolean[][] {
  const isDrawn = (char: string, half: 0 | 1) => char === '█' || char === (half === 0 ? '▀' : '▄');
  return lines.flatMap((line) =>
    ([0, 1] as const).map((half) => Array.from(line, (char) => isDrawn(char, half) === isLetterDark)),
  );
}

t.test('a camera sees dark on light, on both kinds of screen', async (t) => {
  const { data, size } = encode(LINK, { ecc: 'L', border: 4 });
  const coloured = renderQr(LINK, true).map((line) => {
    t.match(line, /^\u001b\[30;107m[ ▀▄█]+\u001b\[0m$/u);
    return line.replace(/\u001b\[[\d;]*m/gu, '');
  });
  t.same(read(coloured, true).slice(0, size), data, 'with colours');
  t.same(read(renderQr(LINK, false), false).slice(0, size), data, 'without');
  for (const at of [0, 1, 2, 3]) t.notOk(data[at]!.includes(true), 'a frame that scanners need');
});

t.test('a QR code of a login fits a terminal of 80 columns', async (t) => {
  for (const line of renderQr(LINK, false)) t.ok(line.length <= 80, `${line.length} columns`);
});
