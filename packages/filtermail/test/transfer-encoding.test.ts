import t from 'tap';
import { createTransferDecoder } from '../src/transfer-encoding.ts';
import { chunksOf, run } from './support/judge.ts';

function decode(encoding: string, text: string, cuts: readonly number[] = []): string {
  let out = '';
  const decoder = createTransferDecoder(encoding, (bytes) => {
    out += bytes.toString('latin1');
    return undefined;
  });
  const code = decoder ? run(decoder, Buffer.from(text, 'latin1'), cuts) : 'unknown';
  return code === 'ok' ? out : code;
}

t.test('transfer encodings', (t) => {
  const broken = 'transfer_encoding_malformed';
  const rows: readonly [encoding: string, text: string, result: string, why: string][] = [
    ['7bit', 'a=41\r\n', 'a=41\r\n', 'nothing to do'],
    ['quoted-printable', 'a=3Db=\r\nc=\nd', 'a=bcd', 'escapes and soft line breaks'],
    ['quoted-printable', 'a=e9', 'a\xe9', 'lower-case digits'],
    ['quoted-printable', 'a  \r\nb \t c', 'a\r\nb   c', 'blanks at the end of a line do not count'],
    ['quoted-printable', 'a= \t\r\nb', 'ab', 'blanks after a soft line break'],
    ['quoted-printable', 'a=', 'a', 'the line end of the last soft break belongs to the boundary'],
    ['quoted-printable', 'a=G0', broken, 'no digit'],
    ['quoted-printable', 'a=4', broken, 'half an escape'],
    ['quoted-printable', 'a=4G', broken, 'the second one no digit'],
    ['quoted-printable', 'a=\rb', broken, 'a bare CR'],
    ['quoted-printable', 'a= b', broken, 'a blank in an escape'],
    ['quoted-printable', ' '.repeat(2000), broken, 'endless blanks'],
    ['base64', 'YWJj\r\nZGVm', 'abcdef', 'lines'],
    ['base64', 'YWI=', 'ab', 'padding'],
    ['base64', 'YQ==\r\n', 'a', 'padding and a line end'],
    ['base64', 'YQ=\r\n=', 'a', 'padding broken over lines'],
    ['base64', 'YQ', broken, 'padding missing'],
    ['base64', 'YWJj=', broken, 'padding not wanted'],
    ['base64', 'YQ==YQ==', broken, 'data after padding'],
    ['base64', 'YW Jj', broken, 'a blank'],
    ['base64', 'YR==', broken, 'spare bits'],
    ['x-uuencode', '', 'unknown', 'unknown'],
    ['', '', 'unknown', 'empty'],
  ];
  for (const [encoding, text, result, why] of rows) {
    t.equal(decode(encoding, text), result, why);
    t.equal(decode(encoding, text, chunksOf(text.length, 1)), result, `${why}, byte by byte`);
  }
  t.end();
});
