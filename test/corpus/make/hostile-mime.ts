/** MIME of people who want to get around the rule. */

import { BOUNDARY } from '../../../packages/filtermail/test/support/openpgp.ts';
import { commonHeader, type Entry, GOOD, message, NOON, pgpMime, refused, TYPE } from './entry.ts';

const CONTROL = 'Content-Type: application/pgp-encrypted';
const DATA = 'Content-Type: application/octet-stream';

/** MIME that readers might read differently, or that holds more than it should. */
export function mimeEntries(): Entry[] {
  const header = commonHeader();
  const doubled = `${TYPE}; boundary="x"`;
  const rows: [name: string, reason: string, why: string, text: string][] = [
    [
      'text-part',
      'second_part_type',
      'a text where the data belongs',
      pgpMime({ secondHeader: ['Content-Type: text/plain'], second: NOON }),
    ],
    ['text-as-data', 'armor_missing', 'a text that says it is data', pgpMime({ second: NOON })],
    [
      'third-part',
      'part_surplus',
      'a text as third part',
      pgpMime({ more: [`Content-Type: text/plain\r\n\r\n${NOON}`] }),
    ],
    [
      'one-part',
      'first_part_type',
      'the data alone',
      message([...header, TYPE], `--${BOUNDARY}\r\n${DATA}\r\n\r\n${GOOD}\r\n--${BOUNDARY}--\r\n`),
    ],
    [
      'other-order',
      'first_part_type',
      'the parts in the other order',
      pgpMime({ firstHeader: [DATA], first: GOOD, secondHeader: [CONTROL], second: 'Version: 1' }),
    ],
    ['version-2', 'first_part_content', 'Version: 2', pgpMime({ first: 'Version: 2\r\n' })],
    ['text-in-control', 'first_part_content', 'a text in the first part', pgpMime({ first: `Version: 1\r\n${NOON}` })],
    ['footer', 'epilogue_text', "a mailing list's footer", pgpMime({ epilogue: `\r\n${NOON}\r\n` })],
    ['blank-footer', 'epilogue_text', 'a footer of blanks', pgpMime({ epilogue: `\r\n${' \t'.repeat(300)}\r\n` })],
    ['disclaimer', 'preamble_text', 'a disclaimer before the first part', pgpMime({ preamble: `${NOON}\r\n` })],
    ['not-closed', 'final_boundary_missing', 'no final boundary', pgpMime({ end: '' })],
    [
      'longer-boundary',
      'boundary_ambiguous',
      'a line that only begins like the boundary',
      pgpMime({ first: `Version: 1\r\n--${BOUNDARY}x` }),
    ],
    ['bare-lf', 'line_end_bare', 'a bare LF in the header of a part', pgpMime({ firstHeader: [`${CONTROL}\nX-A: b`] })],
    [
      'blank-colon',
      'part_header_malformed',
      'a blank before a colon',
      pgpMime({ secondHeader: [`${DATA.replace(':', ' :')}`] }),
    ],
    [
      'two-types-part',
      'content_type_repeated',
      'two types for a part',
      pgpMime({ secondHeader: [DATA, 'Content-Type: text/html'] }),
    ],
    [
      'two-encodings-part',
      'part_header_malformed',
      'two encodings for a part',
      pgpMime({ secondHeader: [DATA, 'Content-Transfer-Encoding: 7bit', 'Content-Transfer-Encoding: base64'] }),
    ],
    [
      'uuencode',
      'transfer_encoding_wrong',
      'an encoding nobody needs',
      pgpMime({ secondHeader: [DATA, 'Content-Transfer-Encoding: x-uuencode'] }),
    ],
    ['two-boundaries', 'parameter_repeated', 'two boundaries', pgpMime({}, [...header, doubled])],
    [
      'split-boundary',
      'content_type_malformed',
      'a boundary in pieces (RFC 2231)',
      pgpMime({}, [...header, TYPE.replace('boundary=', 'boundary*0=')]),
    ],
    [
      'comment',
      'content_type_malformed',
      'a comment in the type',
      pgpMime({}, [...header, TYPE.replace('encrypted;', 'encrypted (at noon);')]),
    ],
    [
      'two-types',
      'content_type_repeated',
      'two Content-Type fields',
      pgpMime({}, [...header, TYPE, 'Content-Type: text/plain']),
    ],
    [
      'two-types-case',
      'content_type_repeated',
      'two, in other letters',
      pgpMime({}, [...header, TYPE, 'CONTENT-TYPE : text/plain']),
    ],
    ['protocol', 'protocol_wrong', 'another protocol', pgpMime({}, [...header, TYPE.replace('pgp', 'pkcs7')])],
    [
      'encoded',
      'multipart_encoded',
      'a multipart in base64',
      pgpMime({}, [...header, TYPE, 'Content-Transfer-Encoding: base64']),
    ],
    ['no-type', 'content_type_missing', 'no MIME at all', message(header.slice(0, 5), NOON)],
    ['no-boundary', 'boundary_missing', 'no boundary', pgpMime({}, [...header, 'Content-Type: multipart/encrypted'])],
    [
      'in-mixed',
      'content_type_wrong',
      'an encrypted part inside a mixed message',
      message(
        [...header, 'Content-Type: multipart/mixed; boundary=m'],
        `--m\r\n${TYPE}\r\n\r\n${pgpMime().split('\r\n\r\n').slice(1).join('\r\n\r\n')}\r\n--m--\r\n`,
      ),
    ],
    ['two-from', 'from_repeated', 'two From fields', pgpMime({}, [...header, 'From: <eve@relay.test>', TYPE])],
  ];
  return rows.map(([name, reason, why, text]) => refused(`mime-${name}`, reason, why, text));
}
