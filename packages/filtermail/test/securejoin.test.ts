import t from 'tap';
import type { Direction } from '../src/part-header.ts';
import { createSecurejoinCheck } from '../src/securejoin.ts';

function check(body: string, request = 'vc-request', direction: Direction = 'outgoing'): string {
  const judge = createSecurejoinCheck('b', { request, messageId: '<a-1@localhost>' }, direction);
  for (const byte of Buffer.from(body, 'latin1')) judge.push(Buffer.from([byte]));
  return judge.finish()?.code ?? 'ok';
}

const part = (text: string, header = 'Content-Type: text/plain; charset="utf-8"; format=flowed; delsp=no') =>
  `--b\r\n${header}\r\n\r\n${text}\r\n--b--\r\n`;

t.test('securejoin requests', (t) => {
  const rows: readonly [body: string, code: string, why: string][] = [
    [part('Secure-Join: vc-request'), 'ok', 'Delta Chat'],
    [`\r\n${part('secure-join: vc-request\r\n\r\n')}`, 'ok', 'blank lines, lower case'],
    [part('Secure-Join: vg-request'), 'securejoin_shape', 'not what the header says'],
    [part('Secure-Join: vc-request at noon'), 'securejoin_shape', 'a word more'],
    [part(`Secure-Join: vc-request${' '.repeat(100)}at noon`), 'securejoin_shape', 'a word more, far away'],
    [part(''), 'securejoin_shape', 'empty'],
    [part('Secure-Join: vc-request', 'Content-Type: text/html'), 'securejoin_shape', 'another type'],
    [part('Secure-Join: vc-request', 'Content-Type: multipart/mixed; boundary=c'), 'securejoin_shape', 'nested'],
    [
      part('Secure-Join: vc-request', 'Content-Type: text/plain; charset="at noon"'),
      'part_header_text',
      'text in a parameter',
    ],
    [
      part('Secure-Join: vc-request', 'Content-Type: text/plain; charset="utf-8"\r\nMessage-ID: <a-1@localhost>'),
      'ok',
      'Delta Chat repeats the Message-ID',
    ],
    [
      part('Secure-Join: vc-request', 'Content-Type: text/plain\r\nMessage-ID: <at@noon> at noon'),
      'part_header_text',
      'which is no place for a text',
    ],
    [
      part('Secure-Join: vc-request', 'Content-Type: text/plain\r\nMessage-ID: <at.noon@under.the.old.clock>'),
      'part_header_text',
      'nor for a text that looks like one',
    ],
    [
      part(
        'Secure-Join: vc-request',
        'Content-Type: text/plain\r\nMessage-ID: <a-1@localhost>\r\nMessage-ID: <a-1@localhost>',
      ),
      'part_header_text',
      'and once is enough',
    ],
    [
      part('Secure-Join: vc-request', 'Content-Type: text/plain\r\nX-Note: noon'),
      'part_header_text',
      'text in a header',
    ],
    [`noon\r\n${part('Secure-Join: vc-request')}`, 'preamble_text', 'text before'],
    [`${part('Secure-Join: vc-request')}noon`, 'epilogue_text', 'text after'],
    [`${part('Secure-Join: vc-request').replace('--b--\r\n', '')}${part('noon')}`, 'securejoin_shape', 'a second part'],
    ['--b--', 'securejoin_shape', 'no part'],
    [part('Secure-Join: vc-request').replace('--b--', ''), 'final_boundary_missing', 'no final boundary'],
  ];
  for (const [body, code, why] of rows) t.equal(check(body), code, why);
  t.equal(check(part('Secure-Join: vg-request'), 'vg-request'), 'ok', 'a request to join a group');
  const encoded = part(
    'Secure-Join: vc-reque=\r\nst',
    'Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable',
  );
  t.equal(check(encoded, 'vc-request', 'incoming'), 'ok', 'quoted-printable, incoming');
  t.equal(check(encoded, 'vc-request', 'outgoing'), 'transfer_encoding_wrong', 'quoted-printable, outgoing');
  t.end();
});
