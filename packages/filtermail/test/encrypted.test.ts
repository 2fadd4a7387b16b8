import fc from 'fast-check';
import t from 'tap';
import { checkBody, chunksOf } from './support/judge.ts';
import {
  armor,
  BOUNDARY,
  encryptedBytes,
  type MimeDetails,
  mimeBody,
  noise,
  ocbData,
  packet,
  pkeskV3,
  seipdV1,
} from './support/openpgp.ts';

const CONTROL = 'Content-Type: application/pgp-encrypted';
const DATA = 'Content-Type: application/octet-stream';
const base64 = (text: string) => Buffer.from(text).toString('base64').replace(/.{76}/g, '$&\r\n');
const quoted = (text: string) => text.replaceAll('=', '=3D');
const NOTICE = 'This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n';

type Row = readonly [details: MimeDetails, outgoing: string, incoming: string, why: string];

t.test('bodies of multipart/encrypted', (t) => {
  const rows: readonly Row[] = [
    [{}, 'ok', 'ok', 'Delta Chat'],
    [{ preamble: '', epilogue: '' }, 'ok', 'ok', 'nothing around'],
    [{ epilogue: '\r\n\r\n \r\n' }, 'ok', 'ok', 'blank lines after it'],
    [{ firstHeader: [CONTROL], secondHeader: [DATA] }, 'ok', 'ok', 'the shortest headers'],
    [{ first: 'Version: 1\r\n\r\n' }, 'ok', 'ok', 'an empty line after the version'],
    [{ second: `\r\n${armor(encryptedBytes())}\r\n\r\n` }, 'ok', 'ok', 'blank lines around the armor'],
    [{ second: armor(encryptedBytes(100_000), { crc: 'none' }) }, 'ok', 'ok', 'no checksum'],
    [{ second: armor(encryptedBytes(), { lineLength: 60 }) }, 'ok', 'ok', 'OpenPGP.js'],
    [{ preamble: NOTICE }, 'ok', 'ok', 'the notice of Enigmail and Thunderbird, word for word'],
    [{ preamble: NOTICE.replace('4880', '9580') }, 'preamble_text', 'ok', 'such a notice in other words'],
    [{ preamble: 'Dear Bob\r\n' }, 'preamble_text', 'preamble_text', 'a text before'],
    [{ preamble: `${NOTICE}Dear Bob\r\n` }, 'preamble_text', 'preamble_text', 'a text after the notice'],
    [{ preamble: `${' '.repeat(300)}\r\n` }, 'preamble_text', 'preamble_text', 'much before'],
    [{ epilogue: `\r\n${' \t'.repeat(200)}` }, 'epilogue_text', 'epilogue_text', 'a text of blanks'],
    [{ epilogue: '\r\n-- \r\nlist footer' }, 'epilogue_text', 'epilogue_text', 'a list footer'],
    [{ end: '' }, 'final_boundary_missing', 'final_boundary_missing', 'no final boundary'],
    [{ end: `--${BOUNDARY}x--` }, 'boundary_ambiguous', 'boundary_ambiguous', 'a longer boundary'],
    [{ more: [`${DATA}\r\n\r\nhello\r\n`] }, 'part_surplus', 'part_surplus', 'a third part'],
    [{ firstHeader: ['Content-Type: text/plain'] }, 'first_part_type', 'first_part_type', 'another first part'],
    [{ firstHeader: [] }, 'first_part_type', 'first_part_type', 'no type is text/plain'],
    [{ first: 'Version: 2\r\n' }, 'first_part_content', 'first_part_content', 'another version'],
    [{ first: '' }, 'first_part_content', 'first_part_content', 'no version'],
    [
      { first: `Version: 1\r\n${'Dear Bob '.repeat(20)}` },
      'first_part_content',
      'first_part_content',
      'text in the first part',
    ],
    [{ secondHeader: ['Content-Type: text/plain'] }, 'second_part_type', 'second_part_type', 'another second part'],
    [{ secondHeader: ['Content-Type: multipart/mixed; boundary=x'] }, 'second_part_type', 'second_part_type', 'nested'],
    [{ secondHeader: [DATA, DATA] }, 'content_type_repeated', 'content_type_repeated', 'two types'],
    [{ secondHeader: [`${DATA}; name=a; name=b`] }, 'parameter_repeated', 'parameter_repeated', 'a parameter twice'],
    [{ secondHeader: [`${DATA}; name="Dear Bob"`] }, 'part_header_text', 'ok', 'a text as name'],
    [{ secondHeader: [`${DATA}; subject=noon`] }, 'part_header_text', 'ok', 'a parameter nobody needs'],
    [{ secondHeader: [DATA, 'Content-Description: noon'] }, 'part_header_text', 'ok', 'a text as description'],
    [{ secondHeader: [DATA, 'Subject: noon'] }, 'part_header_text', 'ok', 'another field'],
    [
      { secondHeader: [DATA, 'Content-Disposition: inline; filename="at noon.asc"'] },
      'part_header_text',
      'ok',
      'a text as file name',
    ],
    [{ secondHeader: [`${DATA}; name="meet-me-at-noon.asc"`] }, 'part_header_text', 'ok', 'words as name'],
    [{ secondHeader: [`${DATA}; charset=meet-me-at-noon`] }, 'part_header_text', 'ok', 'words as charset'],
    [{ secondHeader: [DATA, 'Content-Disposition: inline; filename=noon.asc'] }, 'part_header_text', 'ok', 'a name'],
    [{ secondHeader: [DATA, 'Content-Disposition: noon'] }, 'part_header_text', 'ok', 'a disposition that is none'],
    [{ secondHeader: [DATA, 'Content-Disposition: attachment; filename=msg.asc'] }, 'ok', 'ok', 'mutt'],
    [{ secondHeader: [DATA, 'Content-Transfer-Encoding: 8BIT'] }, 'ok', 'ok', '8bit'],
    [
      { secondHeader: [DATA, 'Content-Transfer-Encoding: x-mine'] },
      'transfer_encoding_wrong',
      'transfer_encoding_wrong',
      'unknown',
    ],
    [
      { secondHeader: [DATA, 'Content-Transfer-Encoding: base64'], second: base64(armor(encryptedBytes(5000))) },
      'transfer_encoding_wrong',
      'ok',
      'base64 around the armor',
    ],
    [
      {
        secondHeader: [DATA, 'Content-Transfer-Encoding: base64'],
        second: base64(armor(encryptedBytes(5000), { eol: '\n' })),
      },
      'transfer_encoding_wrong',
      'ok',
      'base64 around armor with LF',
    ],
    [
      {
        secondHeader: [DATA, 'Content-Transfer-Encoding: quoted-printable'],
        second: quoted(armor(encryptedBytes(5000))),
      },
      'transfer_encoding_wrong',
      'ok',
      'quoted-printable armor',
    ],
    [
      {
        secondHeader: [DATA, 'Content-Transfer-Encoding: base64'],
        second: base64(`Dear Bob ${armor(encryptedBytes())}`),
      },
      'transfer_encoding_wrong',
      'armor_missing',
      'text in base64',
    ],
    [
      { second: armor(encryptedBytes(), { headers: ['Version: ProtonMail'] }) },
      'armor_header',
      'ok',
      "ProtonMail's header line",
    ],
    [
      { second: armor(Buffer.concat([packet(1, pkeskV3()), packet(20, ocbData())])) },
      'packet_unexpected',
      'ok',
      "GnuPG's OCB",
    ],
    [{ second: 'Dear Bob\r\n' }, 'armor_missing', 'armor_missing', 'clear text'],
    [
      {
        second: armor(Buffer.concat([packet(1, pkeskV3()), packet(18, seipdV1(Buffer.from('Dear Bob, '.repeat(20))))])),
      },
      'ciphertext_fake',
      'ciphertext_fake',
      'text in an armor',
    ],
  ];
  for (const [details, outgoing, incoming, why] of rows) {
    const body = mimeBody(details);
    t.equal(checkBody(body, 'outgoing'), outgoing, `${why}, outgoing`);
    t.equal(checkBody(body, 'incoming'), incoming, `${why}, incoming`);
    const bytewise = chunksOf(body.length, 1);
    if (body.length < 20_000) t.equal(checkBody(body, 'incoming', bytewise), incoming, `${why}, byte by byte`);
  }
  t.equal(
    checkBody(Buffer.from(`--${BOUNDARY}\r\n${CONTROL}\r\n\r\nVersion: 1\r\n--${BOUNDARY}--`)),
    'part_missing',
    'one part',
  );
  t.equal(checkBody(Buffer.from(`--${BOUNDARY}--`)), 'part_missing', 'no part');
  t.end();
});

t.test('chunks do not matter', (t) => {
  const body = mimeBody();
  t.same(
    chunksOf(body.length, 1).filter((cut) => checkBody(body, 'outgoing', [cut]) !== 'ok'),
    [],
    'cut anywhere',
  );
  const long = mimeBody({ second: armor(encryptedBytes(200_000)) });
  for (const size of [1, 63, 1000, 4096, 65_535])
    t.equal(checkBody(long, 'outgoing', chunksOf(long.length, size)), 'ok', `chunks of ${size}`);
  t.end();
});

/** What the strict check stands for, decided by other means: the armor's text read as a whole. */
function isStillValid(body: Buffer): boolean {
  const match =
    /\r\n\r\n-----BEGIN PGP MESSAGE-----[ \t]*\r?\n[ \t]*\r?\n([A-Za-z0-9+/\r\n]+)\r?\n-----END PGP MESSAGE-----[ \t]*\r?\n/.exec(
      body.toString('latin1'),
    );
  if (!match) return false;
  const original = encryptedBytes(300);
  const bytes = Buffer.from(match[1]!, 'base64');
  // Headers, versions and counts must be as they were. Key id, algorithm, cipher, keys and ciphertext may be others.
  const fixed = [0, 1, 2, 44, 86, 87, 88, 89];
  return bytes.length === original.length && fixed.every((at) => bytes[at] === original[at]);
}

t.test('a message changed in one byte passes only if it is still one', (t) => {
  // 300 bytes of ciphertext make a multiple of 3 in all: no padding; no checksum that would see every change.
  const body = mimeBody({ second: armor(encryptedBytes(300), { crc: 'none' }) });
  const armorFrom = body.indexOf('\r\n\r\n-----BEGIN');
  const armorTo = body.indexOf('-----END PGP MESSAGE-----') + 25;
  t.equal(checkBody(body), 'ok');
  t.ok(isStillValid(body));
  const wrong: string[] = [];
  const expectValid = (changed: Buffer, what: string) => {
    if (checkBody(changed) === 'ok' && !isStillValid(changed)) wrong.push(what);
  };
  for (let at = armorFrom; at < armorTo; at++) {
    for (const bit of [0x01, 0x04, 0x20, 0x80]) {
      const flipped = Buffer.from(body);
      flipped[at] = flipped[at]! ^ bit;
      expectValid(flipped, `flip ${bit} at ${at}`);
    }
    expectValid(Buffer.concat([body.subarray(0, at), body.subarray(at + 1)]), `delete at ${at}`);
    for (const added of ['A', '-', '\0', ' ']) {
      expectValid(
        Buffer.concat([body.subarray(0, at), Buffer.from(added), body.subarray(at)]),
        `insert ${added} at ${at}`,
      );
    }
  }
  t.same(wrong, [], 'in the armor');

  const passed: number[] = [];
  const lastNeeded = body.lastIndexOf('--');
  for (let length = 0; length <= lastNeeded; length++)
    if (checkBody(body.subarray(0, length)) === 'ok') passed.push(length);
  t.same(passed, [], 'no beginning of it passes');
  t.end();
});

t.test('text put anywhere is refused', (t) => {
  const body = mimeBody({ second: armor(encryptedBytes(300)) });
  const text = Buffer.from('\r\nDear Bob, let us meet at noon.\r\n');
  const passed = chunksOf(body.length + 1, 1).filter(
    (at) => checkBody(Buffer.concat([body.subarray(0, at), text, body.subarray(at)]), 'incoming') === 'ok',
  );
  t.same(passed, []);
  t.end();
});

t.test('hostile bodies end in a code', (t) => {
  const pieces = fc.constantFrom(
    `\r\n--${BOUNDARY}`,
    `--${BOUNDARY}--`,
    '\r\n',
    '\r',
    '\n',
    '\0',
    `${CONTROL}\r\n\r\nVersion: 1`,
    `${DATA}\r\n\r\n`,
    'Content-Transfer-Encoding: base64\r\n',
    '-----BEGIN PGP MESSAGE-----\r\n\r\n',
    '-----END PGP MESSAGE-----',
    encryptedBytes().toString('base64'),
    noise(100).toString('base64'),
    '=AAAA',
    '==',
    'A'.repeat(5000),
    ' '.repeat(300),
    '--'.repeat(100),
  );
  fc.assert(
    fc.property(
      fc.array(pieces, { maxLength: 30 }),
      fc.constantFrom('outgoing' as const, 'incoming' as const),
      fc.nat(200),
      (parts, direction, size) => {
        const body = Buffer.from(parts.join(''), 'latin1');
        return checkBody(body, direction) === checkBody(body, direction, chunksOf(body.length, size + 1));
      },
    ),
    { numRuns: 400 },
  );
  t.pass('400 bodies, each the same in any chunks');
  t.end();
});

t.test('time is linear in hostile bodies', (t) => {
  const megabyte = (unit: string) => unit.repeat(Math.ceil((1 << 20) / unit.length));
  const rows: readonly [body: string, why: string][] = [
    [megabyte('\r\n--Y'), 'boundaries that almost begin'],
    [megabyte('\r'), 'CRs'],
    [
      mimeBody({ second: `-----BEGIN PGP MESSAGE-----\r\n\r\n${megabyte('A\n')}` }).toString('latin1'),
      'one character to a line',
    ],
    [
      mimeBody({ second: `-----BEGIN PGP MESSAGE-----\r\n\r\n${megabyte('AAAA\r\n')}` }).toString('latin1'),
      'four characters to a line',
    ],
    [
      mimeBody({ second: `-----BEGIN PGP MESSAGE-----\r\n\r\n${megabyte('AAAA\r\nAAA\r\nA\r\n')}` }).toString('latin1'),
      'lines of changing length',
    ],
    [
      mimeBody({ second: `-----BEGIN PGP MESSAGE-----\r\n\r\n${megabyte('A')}` }).toString('latin1'),
      'one endless line',
    ],
    [megabyte(`--${BOUNDARY}\r\n\r\n`), 'nothing but parts'],
  ];
  for (const [text, why] of rows) {
    const body = Buffer.from(text, 'latin1');
    const began = process.threadCpuUsage();
    const code = checkBody(body, 'incoming', chunksOf(body.length, 65_535));
    const { user, system } = process.threadCpuUsage(began);
    t.ok(code !== 'ok' && user + system < 500_000, `${why}: ${code}`);
  }
  t.end();
});
