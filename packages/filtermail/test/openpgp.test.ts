import t from 'tap';
import { PacketWalker } from '../src/openpgp.ts';
import { chunksOf, run } from './support/judge.ts';
import * as make from './support/openpgp.ts';

const { packet, oldPacket, partialPacket } = make;
const PKESK = packet(1, make.pkeskV3());
const PKESK6 = packet(1, make.pkeskV6());
const SEIPD = packet(18, make.seipdV1());
const TEXT = Buffer.from('Dear Bob, let us meet at noon under the old clock, and tell nobody of it. '.repeat(20));

const walk = (bytes: Buffer, allowOcb = false, cuts: readonly number[] = []) =>
  run(new PacketWalker({ allowOcb }), bytes, cuts);

/** Sixty recipients or passwords, each with some letters of a text where a message has random bytes. */
const many = (makeOne: (i: number) => Buffer) => Array.from({ length: 60 }, (_, i) => makeOne(i));
const letters = (i: number, length = 8) => TEXT.subarray(i * length, (i + 1) * length);
const withKeyId = (i: number) => Buffer.concat([Buffer.from([3]), letters(i), make.pkeskV3(`${i}`).subarray(9)]);
const withSalt = (i: number) =>
  Buffer.concat([Buffer.from([4, 9, 3, 8]), letters(i), Buffer.from([0xe0]), make.noise(33, `${i}`)]);
const withKey = (i: number) => Buffer.concat([make.skeskV4().subarray(0, 13), letters(i, 20)]);

/** Words that can be read in the armor itself, as bytes; packets before it must make up whole groups of three. */
const LETTERS = Buffer.from('Dear/Bob/let/us/meet/at/noon/under/the/old/clock/and/tell/nobody'.slice(0, 60), 'base64');
const filled = (bytes: number) => make.noise((3 - (bytes % 3)) % 3, 'fill');
/** Data that begins with random bytes, then says the words where groups begin. */
const dataWithLetters = (before: Buffer, length = 0) => {
  const start = before.length + (length + LETTERS.length + 3 > 191 ? 3 : 2) + 1 + length;
  return packet(18, make.seipdV1(Buffer.concat([make.noise(length), filled(start), LETTERS])));
};
/** A session key for a recipient that says some in its public value. */
const keyWithLetters = () => {
  const key = make.pkeskV3();
  Buffer.from('let+us+meet+at+the+old+stone+house+tonight', 'base64').copy(key, 10);
  return packet(1, key);
};
/** Many recipients, each with a key id of its own. */
const recipients = (count: number) =>
  Array.from({ length: count }, (_, i) => {
    const key = make.pkeskV3(`${i}`);
    make.noise(8, `id ${i}`).copy(key, 1);
    return packet(1, key);
  });
/** The smallest session key there is: a password without salt. */
const TINY = packet(3, Buffer.from([4, 9, 0, 8]));

type Row = readonly [parts: Buffer[], code: string, why: string];

t.test('messages that are accepted', (t) => {
  const rows: readonly Row[] = [
    [[PKESK, SEIPD], 'ok', 'one recipient, SEIPD version 1'],
    [[PKESK, packet(1, make.pkeskRsa()), packet(1, make.pkeskEcdh()), SEIPD], 'ok', 'several recipients'],
    [[packet(3, make.skeskV4()), SEIPD], 'ok', 'a password'],
    [[PKESK, packet(3, make.skeskV4()), SEIPD], 'ok', 'a key and a password'],
    [many((i) => packet(1, make.pkeskRsa(256, make.noise(256, `${i}`)))).concat(SEIPD), 'ok', 'sixty recipients'],
    [recipients(5000).concat(SEIPD), 'ok', '1000 recipients with five keys each'],
    [[PKESK6, packet(18, make.seipdV2())], 'ok', 'SEIPD version 2'],
    [[packet(1, make.pkeskV6(4)), packet(18, make.seipdV2())], 'ok', 'SEIPD version 2 for a version 4 key'],
    [[packet(1, make.pkeskV6(0)), packet(18, make.seipdV2())], 'ok', 'recipient not named'],
    [[packet(3, make.skeskV6()), packet(18, make.seipdV2())], 'ok', 'securejoin version 3'],
    [[oldPacket(1, make.pkeskRsa(), 1), SEIPD], 'ok', 'old format, two-octet length'],
    [[oldPacket(1, make.pkeskV3(), 0), SEIPD], 'ok', 'old format, one octet'],
    [[oldPacket(1, make.pkeskV3(), 2), SEIPD], 'ok', 'old format, four octets'],
    [[packet(1, make.pkeskV3(), 5), packet(18, make.seipdV1(), 5)], 'ok', 'long form of short lengths'],
    [[packet(1, make.pkeskRsa(2048)), SEIPD], 'ok', 'RSA with 16384 bits'],
    [[PKESK, partialPacket(18, make.seipdV1(5000), 9)], 'ok', 'partial lengths'],
    [[PKESK, partialPacket(18, make.seipdV1(70_000), 16)], 'ok', 'long partial lengths'],
    [[PKESK, packet(18, make.seipdV1(40))], 'ok', 'the shortest data'],
    [[packet(1, make.pkeskRsa(500)), packet(18, make.seipdV1(300_000))], 'ok', 'long data'],
  ];
  for (const [parts, code, why] of rows) t.equal(walk(Buffer.concat(parts)), code, why);
  t.end();
});

t.test('messages that are refused', (t) => {
  const rows: readonly Row[] = [
    [[], 'packet_malformed', 'nothing'],
    [[Buffer.from('Hello')], 'packet_malformed', 'text'],
    [[SEIPD], 'session_key_missing', 'data without a key'],
    [[PKESK], 'packet_truncated', 'a key without data'],
    [[PKESK, SEIPD, SEIPD], 'packet_trailing', 'two SEIPD'],
    [[...many((i) => packet(1, withKeyId(i))), SEIPD], 'session_key_fake', 'a text in the key ids of many recipients'],
    [[...many((i) => packet(3, withSalt(i))), SEIPD], 'session_key_fake', 'a text in the salts of many passwords'],
    [
      [...many((i) => packet(3, withKey(i))), SEIPD],
      'session_key_fake',
      'a text in their keys, each too short to tell',
    ],
    [[keyWithLetters(), SEIPD], 'session_key_fake', 'words in the armor of a key'],
    [[PKESK, dataWithLetters(PKESK)], 'ciphertext_fake', 'words in the armor of short data'],
    [[PKESK, dataWithLetters(PKESK, 3000)], 'ciphertext_fake', 'words in the armor after random data'],
    [[...new Array(10_000).fill(TINY), PKESK, SEIPD], 'session_keys_too_many', 'more session keys than anybody has'],
    [[PKESK, SEIPD, PKESK], 'packet_trailing', 'a key after the data'],
    [[PKESK, SEIPD, Buffer.from([0])], 'packet_trailing', 'one byte too many'],
    [[PKESK, SEIPD.subarray(0, -1)], 'packet_truncated', 'one byte too few'],
    [[PKESK, SEIPD.subarray(0, 1)], 'packet_truncated', 'no length'],
    [[PKESK, partialPacket(18, make.seipdV1(5000), 9).subarray(0, 3000)], 'packet_truncated', 'partial, no last part'],
    [[packet(11, Buffer.from('b\0\0\0\0\0hello'))], 'packet_unexpected', 'a literal packet: clear text'],
    [[packet(8, make.noise(100))], 'packet_unexpected', 'compressed data'],
    [[PKESK, packet(9, make.noise(100))], 'packet_unexpected', 'encrypted without integrity (tag 9)'],
    [[packet(10, Buffer.from('PGP')), PKESK, SEIPD], 'packet_unexpected', 'a marker'],
    [[PKESK, packet(21, make.noise(100)), SEIPD], 'packet_unexpected', 'padding'],
    [[packet(2, make.noise(100)), PKESK, SEIPD], 'packet_unexpected', 'a signature'],
    [[PKESK, packet(20, make.ocbData())], 'packet_unexpected', "GnuPG's OCB packet, outgoing"],
    [[oldPacket(1, make.pkeskV3(), 3), SEIPD], 'packet_length', 'indeterminate length'],
    [[PKESK, partialPacket(18, make.seipdV1(1000), 8)], 'packet_length', 'a first part under 512 bytes'],
    [[partialPacket(1, make.pkeskRsa(1000), 9), SEIPD], 'packet_length', 'partial lengths of a key'],
    [[PKESK, packet(18, Buffer.concat([Buffer.from([3]), make.noise(200)]))], 'packet_version', 'SEIPD version 3'],
    [[PKESK, packet(18, make.seipdV2())], 'packet_version', 'PKESK version 3 before SEIPD version 2'],
    [[PKESK6, SEIPD], 'packet_version', 'PKESK version 6 before SEIPD version 1'],
    [[PKESK6, PKESK, packet(18, make.seipdV2())], 'packet_version', 'mixed versions'],
    [
      [PKESK6, packet(18, Buffer.concat([Buffer.from([2, 0, 2, 6]), make.noise(200)]))],
      'packet_version',
      'plaintext cipher',
    ],
    [
      [PKESK6, packet(18, Buffer.concat([Buffer.from([2, 9, 9, 6]), make.noise(200)]))],
      'packet_version',
      'unknown AEAD',
    ],
    [
      [PKESK6, packet(18, Buffer.concat([Buffer.from([2, 9, 2, 17]), make.noise(200)]))],
      'packet_version',
      'chunk size',
    ],
    [[PKESK, packet(18, make.seipdV1(39))], 'packet_size', 'too short for any content'],
    [[PKESK, packet(18, Buffer.alloc(0))], 'packet_size', 'no data'],
    [[PKESK6, packet(18, make.seipdV2(32))], 'packet_size', 'tags and nothing between'],
    [[PKESK6, packet(18, Buffer.from([2, 9]))], 'packet_size', 'fields cut short'],
    [[packet(1, Buffer.alloc(0)), SEIPD], 'packet_size', 'an empty key'],
    [[packet(1, make.noise(5000)), SEIPD], 'packet_size', 'an enormous key'],
    [[PKESK, packet(18, make.seipdV1(TEXT))], 'ciphertext_fake', 'text as SEIPD version 1'],
    [[PKESK6, packet(18, make.seipdV2(TEXT))], 'ciphertext_fake', 'text as SEIPD version 2'],
    [[PKESK, partialPacket(18, make.seipdV1(TEXT), 9)], 'ciphertext_fake', 'text in partial lengths'],
    [[PKESK, packet(18, make.seipdV1(TEXT.subarray(0, 74)))], 'ciphertext_fake', 'one sentence'],
    [
      [PKESK, packet(18, make.seipdV1(Buffer.concat([make.noise(50_000), TEXT, make.noise(50_000)])))],
      'ciphertext_fake',
      'text between ciphertext',
    ],
  ];
  for (const [parts, code, why] of rows) {
    const bytes = Buffer.concat(parts);
    t.equal(walk(bytes), code, why);
    const isShort = bytes.length < 20_000;
    if (isShort) t.equal(walk(bytes, false, chunksOf(bytes.length, 1)), code, `${why}, byte by byte`);
  }
  t.end();
});

t.test('words in key ids, each too short to tell', (t) => {
  const words = 'let+us+meet+at+noon+under+the+old+clock+and+tell+nobody+of+this+';
  const keys = Array.from({ length: 6 }, (_, i) => {
    const key = make.pkeskV3(`${i}`);
    // Packets of 87 bytes; ids begin at byte 4 of them, so that each has half a byte and then ten characters.
    const characters = Buffer.from(`A${words.slice(i * 10, i * 10 + 10)}A`, 'base64');
    key.writeBigUInt64BE((characters.readBigUInt64BE(0) << 2n) & 0x0fffffffffffffffn, 1);
    key[1] = key[1]! | 0xa0;
    key[8] = key[8]! | (characters[8]! >> 6);
    return oldPacket(1, key, 1);
  });
  t.equal(keys[0]!.length, 87);
  t.match(Buffer.concat(keys).toString('base64'), /let\+us\+mee.*t\+at\+noon\+/);
  t.equal(walk(Buffer.concat([...keys, SEIPD])), 'session_key_fake');
  t.end();
});

t.test("GnuPG's OCB packet, incoming", (t) => {
  t.equal(walk(Buffer.concat([PKESK, packet(20, make.ocbData())]), true), 'ok');
  t.equal(
    walk(Buffer.concat([PKESK6, packet(20, make.ocbData())]), true),
    'packet_version',
    'not with PKESK version 6',
  );
  t.equal(walk(Buffer.concat([packet(20, make.ocbData())]), true), 'session_key_missing');
  t.end();
});

t.test('chunks do not matter', (t) => {
  const bytes = Buffer.concat([PKESK, packet(3, make.skeskV4()), partialPacket(18, make.seipdV1(1200), 9)]);
  t.same(
    chunksOf(bytes.length, 1).filter((cut) => walk(bytes, false, [cut]) !== 'ok'),
    [],
    'cut anywhere',
  );
  t.end();
});
