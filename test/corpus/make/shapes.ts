/** PGP/MIME as mail programs shape it, honest or sloppy, around one and the same encrypted message. Addresses are made up. */

import {
  armor,
  BOUNDARY,
  encryptedBytes,
  type MimeDetails,
} from '../../../packages/filtermail/test/support/openpgp.ts';
import { commonHeader, type Entry, encrypted, GOOD, message, pgpMime, TYPE } from './entry.ts';

const NOTICE = 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n';
const CONTROL = 'Content-Type: application/pgp-encrypted';
const DATA = 'Content-Type: application/octet-stream';
const CONTROL_TEXT = 'Content-Description: PGP/MIME version identification';
const DATA_TEXT = 'Content-Description: OpenPGP encrypted message';

interface Shape extends MimeDetails {
  readonly name: string;
  readonly why: string;
  readonly boundary: string;
  /** Fields besides the usual ones. */
  readonly header?: readonly string[];
  readonly type?: string;
  readonly outgoing?: string;
}

const encoded = (text: string) => Buffer.from(text, 'latin1').toString('base64').replace(/.{76}/g, '$&\r\n');
const quoted = (text: string) => text.replace(/=/g, '=3D').replace(/^(.{60})/gm, '$1=\r\n');

const SHAPES: readonly Shape[] = [
  {
    name: 'thunderbird',
    why: 'Thunderbird',
    boundary: '------------kPnwmEFPl1NuyzYV0Q0P9nUu',
    header: ['User-Agent: Mozilla Thunderbird', 'Content-Language: en-US', 'X-Enigmail-Draft-Status: N1222'],
    preamble: NOTICE,
    firstHeader: [CONTROL, CONTROL_TEXT],
    secondHeader: [`${DATA}; name="encrypted.asc"`, DATA_TEXT, 'Content-Disposition: inline; filename="encrypted.asc"'],
  },
  {
    name: 'enigmail',
    why: 'Enigmail with a Version line',
    boundary: 'VGhpcyBpcyBub3QgYSB0ZXh0',
    preamble: NOTICE,
    firstHeader: [CONTROL, CONTROL_TEXT],
    secondHeader: [`${DATA}; name="encrypted.asc"`, DATA_TEXT, 'Content-Disposition: inline; filename="encrypted.asc"'],
    second: armor(encryptedBytes(), { headers: ['Version: GnuPG v2'] }),
    outgoing: 'armor_header',
  },
  {
    name: 'k9-mail',
    why: 'K-9 Mail and Thunderbird for Android',
    boundary: '----7VGI0R3A1Q6DZWT7RF4KC40QT5SVRI',
    header: ['User-Agent: K-9 Mail for Android'],
    firstHeader: [CONTROL, CONTROL_TEXT],
    secondHeader: [
      'Content-Type: application/octet-stream;',
      ' name="encrypted.asc"',
      DATA_TEXT,
      'Content-Disposition: inline;',
      ' filename="encrypted.asc"',
    ],
  },
  {
    name: 'protonmail',
    why: 'ProtonMail',
    boundary: '------f9a3b1d4c5e6f708192a3b4c5d6e7f80; charset=utf-8'.split(';')[0]!,
    firstHeader: [CONTROL, CONTROL_TEXT],
    secondHeader: [`${DATA}; name="encrypted.asc"`, DATA_TEXT, 'Content-Disposition: inline; filename="encrypted.asc"'],
    second: armor(encryptedBytes(), { headers: ['Version: ProtonMail'] }),
    outgoing: 'armor_header',
  },
  {
    name: 'mutt',
    why: 'mutt',
    boundary: 'ReaqsoxgOBHFXBhH',
    header: ['Content-Disposition: inline', 'In-Reply-To: <20240101@relay.test>'],
    firstHeader: [CONTROL, 'Content-Disposition: attachment'],
    secondHeader: [DATA, 'Content-Disposition: attachment; filename="msg.asc"'],
  },
  {
    name: 'apple-mail',
    why: 'Apple Mail with GPG Suite',
    boundary: 'Apple-Mail=_6AB0A0A7-3D4F-4D3E-9C5B-2B1E7A1C9F10',
    header: ['X-Mailer: Apple Mail (2.3774.600.62)', 'Content-Transfer-Encoding: 7bit'],
    preamble: 'This is an OpenPGP/MIME encrypted message (RFC 2440 and 3156)\r\n',
    firstHeader: ['Content-Transfer-Encoding: 7bit', `${CONTROL}`, CONTROL_TEXT],
    secondHeader: [
      'Content-Transfer-Encoding: 7bit',
      'Content-Disposition: inline;',
      '\tfilename=encrypted.asc',
      'Content-Type: application/octet-stream;',
      '\tname=encrypted.asc',
      DATA_TEXT,
    ],
  },
  {
    name: 'evolution',
    why: 'Evolution',
    boundary: '=-8jIQoQUxQ7hB0uS7hQ3v',
    firstHeader: [CONTROL, 'Content-Transfer-Encoding: 7bit'],
    secondHeader: [
      `${DATA}; name="encrypted.asc"`,
      'Content-Description: This is an encrypted message part',
      'Content-Transfer-Encoding: 7bit',
    ],
  },
  {
    name: 'kmail',
    why: 'KMail',
    boundary: 'nextPart2381694.ElGaqSPkdT',
    firstHeader: [CONTROL, 'Content-Disposition: attachment', 'Content-Transfer-Encoding: 7Bit'],
    secondHeader: [DATA, 'Content-Disposition: inline; filename="msg.asc"', 'Content-Transfer-Encoding: 7Bit'],
  },
  {
    name: 'claws',
    why: 'Claws Mail',
    boundary: 'Sig_/XJ.cT2W0r0fU+eZk_m2HB',
    firstHeader: [CONTROL],
    secondHeader: [DATA],
  },
  {
    name: 'mailvelope',
    why: 'Mailvelope',
    boundary: '----=_Part_0_1704103200000',
    firstHeader: [CONTROL, CONTROL_TEXT],
    secondHeader: [`${DATA}; name="encrypted.asc"`, DATA_TEXT, 'Content-Disposition: inline; filename="encrypted.asc"'],
    second: armor(encryptedBytes(), { headers: ['Version: Mailvelope', 'Comment: somewhere'] }),
    outgoing: 'armor_header',
  },
  {
    name: 'roundcube',
    why: 'Roundcube',
    boundary: '=_b1e7a1c9f102ab0a0a73d4f',
    header: ['User-Agent: Roundcube Webmail'],
    preamble: 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n\r\n',
    firstHeader: ['Content-Transfer-Encoding: 7bit', CONTROL, CONTROL_TEXT],
    secondHeader: [
      'Content-Transfer-Encoding: 8bit',
      `${DATA}; name="encrypted.asc"`,
      DATA_TEXT,
      'Content-Disposition: inline; filename="encrypted.asc"',
    ],
  },
  {
    name: 'fairemail',
    why: 'FairEmail',
    boundary: '----=_Part_7_200310.1704103200',
    firstHeader: [CONTROL, 'Content-Transfer-Encoding: 7bit'],
    secondHeader: [
      `${DATA}; name=encrypted.asc`,
      'Content-Transfer-Encoding: 7bit',
      'Content-Disposition: inline; filename=encrypted.asc',
    ],
  },
  {
    name: 'outlook-plugin',
    why: 'a plug-in that writes everything in lower case',
    boundary: '_000_am0pr01',
    type: `content-type: multipart/encrypted; boundary="${BOUNDARY}";\r\n\tprotocol="application/pgp-encrypted";`,
    firstHeader: ['content-type: application/pgp-encrypted', 'content-transfer-encoding: 7BIT'],
    secondHeader: ['content-type: application/octet-stream'],
  },
  {
    name: 'unquoted',
    why: 'parameters without quotes',
    boundary: 'unquoted-boundary_1',
    type: `Content-Type: multipart/encrypted; boundary=${BOUNDARY}; protocol=application/pgp-encrypted`,
    firstHeader: [CONTROL],
    secondHeader: [DATA],
  },
  {
    name: 'no-protocol',
    why: 'no protocol parameter',
    boundary: 'np',
    type: `Content-Type: multipart/encrypted; boundary="${BOUNDARY}"`,
  },
  { name: 'padding', why: 'blanks after the boundaries', boundary: 'pad', end: `--${BOUNDARY}-- \t` },
  {
    name: 'no-checksum',
    why: 'armor without checksum, as RFC 9580 allows',
    boundary: 'nc',
    second: armor(encryptedBytes(301), { crc: 'none' }),
  },
  {
    name: 'base64-part',
    why: 'a gateway that put the armor into base64',
    boundary: 'b64',
    secondHeader: [DATA, 'Content-Transfer-Encoding: base64'],
    second: encoded(GOOD),
    outgoing: 'transfer_encoding_wrong',
  },
  {
    name: 'quoted-printable-part',
    why: 'a gateway that put the armor into quoted-printable',
    boundary: 'qp',
    secondHeader: [DATA, 'Content-Transfer-Encoding: quoted-printable'],
    second: quoted(GOOD),
    outgoing: 'transfer_encoding_wrong',
  },
  {
    name: 'base64-both',
    why: 'both parts in base64',
    boundary: 'b64b',
    firstHeader: [CONTROL, 'Content-Transfer-Encoding: base64'],
    first: encoded('Version: 1\r\n'),
    secondHeader: [DATA, 'Content-Transfer-Encoding: BASE64'],
    second: encoded(GOOD),
    outgoing: 'transfer_encoding_wrong',
  },
  {
    name: 'subject-in-part',
    why: 'a text in the header of a part',
    boundary: 'sub',
    secondHeader: [DATA, 'Subject: At noon'],
    outgoing: 'part_header_text',
  },
  {
    name: 'description-in-part',
    why: 'a description in words of its own',
    boundary: 'desc',
    secondHeader: [DATA, 'Content-Description: At noon'],
    outgoing: 'part_header_text',
  },
  {
    name: 'named-by-sender',
    why: 'a file name of the sender',
    boundary: 'own',
    secondHeader: [`${DATA}; name="meet-me-at-noon.asc"`],
    outgoing: 'part_header_text',
  },
  {
    name: 'other-notice',
    why: 'the notice before the first part in other words',
    boundary: 'oth',
    preamble: NOTICE.replace('4880', '9580'),
    outgoing: 'preamble_text',
  },
  {
    name: 'boundary-sentence',
    why: 'a boundary that is a sentence',
    boundary: 'let us meet at noon',
    outgoing: 'content_type_text',
  },
  {
    name: 'type-parameter',
    why: 'a parameter of the Content-Type nobody needs',
    boundary: 'par',
    type: `${TYPE}; x-note="at noon"`,
    outgoing: 'content_type_text',
  },
];

export function shapeEntries(): Entry[] {
  return SHAPES.map(({ name, why, boundary, header = [], type = TYPE, outgoing = 'encrypted', ...details }) => {
    const text = pgpMime({ second: GOOD, ...details }, [...commonHeader(), ...header, type]);
    return {
      ...encrypted(
        `shape-${name}`,
        why,
        text.replaceAll(BOUNDARY, () => boundary),
      ),
      outgoing,
    };
  });
}

/** A securejoin request as older clients send it, with this body instead. */
export function securejoin(body: string, request = 'vc-request', type = 'multipart/mixed; boundary="b1"'): string {
  return message(
    [...commonHeader(), `Secure-Join: ${request}`, 'Secure-Join-Invitenumber: uH3kDTpq2Ys', `Content-Type: ${type}`],
    body,
  );
}
