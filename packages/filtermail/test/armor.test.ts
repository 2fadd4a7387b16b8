import t from 'tap';
import { ArmorReader } from '../src/armor.ts';
import { chunksOf, run } from './support/judge.ts';
import { type ArmorDetails, armor, noise } from './support/openpgp.ts';

const BYTES = noise(1000);
const WHOLE = armor(BYTES);

function read(text: string, allowHeaders = false, cuts: readonly number[] = []) {
  const out: Buffer[] = [];
  const reader = new ArmorReader({ allowHeaders }, (bytes) => {
    out.push(Buffer.from(bytes));
    return undefined;
  });
  const code = run(reader, Buffer.from(text, 'latin1'), cuts);
  return { code, bytes: Buffer.concat(out) };
}

t.test('armor that is read', (t) => {
  const rows: readonly [details: ArmorDetails, bytes: number, why: string][] = [
    [{}, 1000, 'with checksum and padding'],
    [{ crc: 'none' }, 1000, 'without checksum, padded: RFC 9580 §6.1 makes it optional'],
    [{ crc: 'none' }, 999, 'without checksum or padding'],
    [{}, 998, 'other padding'],
    [{ lineLength: 60 }, 1000, 'lines as OpenPGP.js makes them'],
    [{ lineLength: 76 }, 1000, 'lines of 76'],
    [{ lineLength: 75 }, 1000, 'lines that cut groups of four'],
    [{ lineLength: 4000 }, 1000, 'one line'],
    [{ eol: '\n' }, 1000, 'LF, after a transfer encoding'],
  ];
  for (const [details, length, why] of rows) {
    const bytes = noise(length);
    const got = read(armor(bytes, details));
    t.ok(got.code === 'ok' && got.bytes.equals(bytes), why);
  }
  t.end();
});

t.test('armor that is refused', (t) => {
  const body = WHOLE.split('\r\n');
  const without = (index: number) => body.filter((_, i) => i !== index).join('\r\n');
  const rows: readonly [text: string, code: string, why: string][] = [
    ['', 'armor_missing', 'nothing'],
    ['\r\n\r\n', 'armor_missing', 'blank lines'],
    [`Hello\r\n${WHOLE}`, 'armor_missing', 'text before'],
    [`${WHOLE}Hello\r\n`, 'armor_trailing', 'text after'],
    [WHOLE + WHOLE, 'armor_trailing', 'a second message'],
    [`${WHOLE}${' '.repeat(150)}\r\n${' '.repeat(150)}\r\n`, 'armor_trailing', 'much blank space after'],
    [`${'\r\n'.repeat(150)}${WHOLE}`, 'armor_missing', 'much blank space before'],
    [WHOLE.replaceAll('MESSAGE', 'PUBLIC KEY BLOCK'), 'armor_missing', 'a key'],
    [WHOLE.replace('BEGIN PGP MESSAGE', 'BEGIN PGP SIGNED MESSAGE'), 'armor_missing', 'signed clear text'],
    [WHOLE.replace('END PGP MESSAGE', 'END PGP SIGNATURE'), 'armor_malformed', 'another end'],
    [without(1), 'armor_malformed', 'no empty line after the begin line'],
    [without(body.length - 2), 'armor_unfinished', 'no end line'],
    [WHOLE.slice(0, 500), 'armor_unfinished', 'cut off in the data'],
    [WHOLE.replace('MESSAGE-----', 'MESSAGE-----\f'), 'armor_missing', 'white space that is not blank'],
    [armor(BYTES, { crc: 'wrong' }), 'armor_checksum', 'wrong checksum'],
    [armor(BYTES, { headers: ['Version: ProtonMail'] }), 'armor_header', 'a header line: readable text'],
    [armor(BYTES, { headers: ['hello'] }), 'armor_malformed', 'text in place of a header line'],
    [armor(BYTES, { headers: ['x'.repeat(300)] }), 'armor_malformed', 'an endless line'],
    [WHOLE.replace(/=\r\n=/, '\r\n='), 'armor_base64', 'padding missing'],
    [WHOLE.replace(/==\r\n/, '=\r\n'), 'armor_base64', 'too little padding'],
    [WHOLE.replace(/(\r\n=....)/, '$1$1'), 'armor_malformed', 'two checksums'],
    [WHOLE.replace(/\r\n=..../, '\r\n=....'), 'armor_base64', 'a checksum that is none'],
    [WHOLE.replace(/(\r\n\r\n)./, '$1*'), 'armor_base64', 'a character that is not base64'],
    [WHOLE.replace(/(\r\n\r\n..)./, '$1-'), 'armor_base64', 'the URL alphabet'],
    [WHOLE.replace(/\r\n([A-Za-z])/, '\r\n $1'), 'armor_base64', 'an indented line'],
    [WHOLE.replace(/([A-Za-z])\r\n/, '$1 \r\n'), 'armor_base64', 'a blank at the end of a line'],
  ];
  for (const [text, code, why] of rows) t.equal(read(text).code, code, why);
  t.end();
});

t.test('header lines are tolerated where they may be', (t) => {
  const rows: readonly [headers: string[], code: string, why: string][] = [
    [['Version: ProtonMail', 'Comment: https://protonmail.com'], 'ok', 'ProtonMail'],
    [['Charset: UTF-8'], 'ok', 'PGP Desktop'],
    [['hello world'], 'armor_malformed', 'not a header line'],
    [Array.from({ length: 9 }, (_, i) => `Comment: ${i}`), 'armor_malformed', 'a letter in comments'],
  ];
  for (const [headers, code, why] of rows) t.equal(read(armor(BYTES, { headers }), true).code, code, why);
  t.end();
});

t.test('chunks do not matter', (t) => {
  for (const text of [WHOLE, WHOLE.replace(/(\r\n\r\n)./, '$1*'), armor(BYTES, { crc: 'wrong' })]) {
    const { code } = read(text);
    const different = chunksOf(text.length, 1).filter((cut) => read(text, false, [cut]).code !== code);
    t.same(different, [], `${code}, cut anywhere`);
    t.equal(read(text, false, chunksOf(text.length, 1)).code, code, 'byte by byte');
  }
  t.end();
});
