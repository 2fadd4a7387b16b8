/** OpenPGP and armor of people who want to get around the rule. */

import {
  armor,
  encryptedBytes,
  noise,
  oldPacket,
  packet,
  partialPacket,
  pkeskRsa,
  pkeskV3,
  pkeskV6,
  seipdV1,
  seipdV2,
  skeskV4,
  skeskV6,
} from '../../../packages/filtermail/test/support/openpgp.ts';
import { type Entry, GOOD, NOON, pgpMime, refused, withArmor } from './entry.ts';

const TEXT = Buffer.from(NOON.repeat(20));
/** Words that can be read in the armor itself, as bytes. A group of four characters begins where they do. */
const LETTERS = Buffer.from(
  'Dear/Bob/let/us/meet/at/noon/under/the/old/clock/and/tell/nobody/of/it/but/bring/all/the/papers/that/Carol/gave/you/x',
  'base64',
);
const PKESK = packet(1, pkeskV3());
const SEIPD = packet(18, seipdV1(300));

/** SEIPD version 1 with the words after that many random bytes. */
function lettersAfter(bytes: number): Buffer {
  return seipdV1(Buffer.concat([noise(bytes), LETTERS]));
}

function pkeskV3WithLetters(): Buffer {
  const key = pkeskV3();
  Buffer.from('let+us+meet+at+the+old+stone+house+tonight', 'base64').copy(key, 10);
  return key;
}

/** OpenPGP that is not, or not only, one encrypted message. */
export function packetEntries(): Entry[] {
  const many = (one: (i: number) => Buffer) => Array.from({ length: 60 }, (_, i) => one(i));
  const letters = (i: number) => TEXT.subarray(i * 8, i * 8 + 8);
  const rows: [name: string, reason: string, why: string, packets: Buffer[]][] = [
    ['literal', 'packet_unexpected', 'a literal packet', [packet(11, Buffer.from('b\0\0\0\0\0hello'))]],
    ['compressed', 'packet_unexpected', 'compressed data', [packet(8, noise(200))]],
    ['no-integrity', 'packet_unexpected', 'encrypted without integrity (tag 9)', [PKESK, packet(9, noise(200))]],
    ['marker', 'packet_unexpected', 'a marker packet first', [packet(10, Buffer.from('PGP')), PKESK, SEIPD]],
    ['padding', 'packet_unexpected', 'a padding packet between', [PKESK, packet(21, noise(80)), SEIPD]],
    ['user-id', 'packet_unexpected', 'a user id between', [PKESK, packet(13, TEXT.subarray(0, 60)), SEIPD]],
    ['private', 'packet_unexpected', 'a packet of a private kind', [PKESK, packet(60, TEXT.subarray(0, 60)), SEIPD]],
    ['no-session-key', 'session_key_missing', 'encrypted data and no session key', [SEIPD]],
    ['no-data', 'packet_truncated', 'session keys and no data', [PKESK, packet(3, skeskV4())]],
    ['trailing-literal', 'packet_trailing', 'a literal packet after the data', [PKESK, SEIPD, packet(11, TEXT)]],
    ['trailing-byte', 'packet_trailing', 'a byte after the data', [PKESK, SEIPD, Buffer.from([0])]],
    ['trailing-key', 'packet_trailing', 'a session key after the data', [PKESK, SEIPD, PKESK]],
    ['two-data', 'packet_trailing', 'data twice', [PKESK, SEIPD, SEIPD]],
    ['cut-off', 'packet_truncated', 'the end is missing', [PKESK, SEIPD.subarray(0, -20)]],
    ['indeterminate', 'packet_length', 'a session key of indeterminate length', [oldPacket(1, pkeskRsa(), 3), SEIPD]],
    [
      'partial-session-key',
      'packet_length',
      'a session key in partial lengths',
      [partialPacket(1, pkeskRsa(1024), 9), SEIPD],
    ],
    [
      'partial-short',
      'packet_length',
      'a first partial length that is too short',
      [PKESK, partialPacket(18, seipdV1(900), 8)],
    ],
    [
      'partial-endless',
      'packet_truncated',
      'partial lengths without a last one',
      [PKESK, partialPacket(18, seipdV1(2000), 9).subarray(0, 1028)],
    ],
    [
      'data-version',
      'packet_version',
      'SEIPD version 3',
      [PKESK, packet(18, Buffer.concat([Buffer.from([3]), noise(200)]))],
    ],
    [
      'mixed-versions',
      'packet_version',
      'a version 3 session key before SEIPD version 2',
      [PKESK, packet(18, seipdV2())],
    ],
    [
      'mixed-versions-back',
      'packet_version',
      'a version 6 session key before SEIPD version 1',
      [packet(1, pkeskV6()), SEIPD],
    ],
    [
      'password-versions',
      'packet_version',
      'a version 6 password before SEIPD version 1',
      [packet(3, skeskV6()), SEIPD],
    ],
    ['tiny-data', 'packet_size', 'data too short for any message', [PKESK, packet(18, seipdV1(20))]],
    ['text-as-data', 'ciphertext_fake', 'a text as data', [PKESK, packet(18, seipdV1(TEXT))]],
    [
      'base64-as-data',
      'ciphertext_fake',
      'base64 as data',
      [PKESK, packet(18, seipdV1(Buffer.from(noise(900).toString('base64'))))],
    ],
    ['zeros-as-data', 'ciphertext_fake', 'zeros as data', [PKESK, packet(18, seipdV1(Buffer.alloc(900)))]],
    [
      'text-in-data',
      'ciphertext_fake',
      'a text inside random data',
      [PKESK, packet(18, seipdV1(Buffer.concat([noise(8000), TEXT, noise(8000)])))],
    ],
    [
      'text-between',
      'ciphertext_fake',
      'a little text in every window of random data',
      [
        PKESK,
        packet(
          18,
          seipdV1(
            Buffer.concat(
              Array.from({ length: 20 }, (_, i) => Buffer.concat([noise(3770, `${i}`), TEXT.subarray(0, 326)])),
            ),
          ),
        ),
      ],
    ],
    // The session key has 86 bytes, tag, length and version 3, or 4 where the length is longer.
    [
      'letters-as-data',
      'ciphertext_fake',
      'words in the characters of the armor',
      [PKESK, packet(18, lettersAfter(1))],
    ],
    [
      'letters-in-data',
      'ciphertext_fake',
      'such words between random data',
      [PKESK, packet(18, Buffer.concat([lettersAfter(3000), noise(3000)]))],
    ],
    [
      'letters-in-session-key',
      'session_key_fake',
      'such words in a session key',
      [packet(1, pkeskV3WithLetters()), SEIPD],
    ],
    [
      'text-as-data-2',
      'ciphertext_fake',
      'a text in SEIPD version 2',
      [packet(1, pkeskV6()), packet(18, seipdV2(TEXT))],
    ],
    [
      'text-as-rsa',
      'session_key_fake',
      'a text as RSA ciphertext',
      [packet(1, pkeskRsa(256, TEXT.subarray(0, 256))), SEIPD],
    ],
    [
      'text-as-unknown',
      'session_key_fake',
      'a text under an unknown algorithm',
      [packet(1, Buffer.concat([Buffer.from([6, 0, 99]), TEXT.subarray(0, 300)])), packet(18, seipdV2())],
    ],
    [
      'text-as-password-key',
      'session_key_fake',
      'a text as the key of a password',
      [packet(3, Buffer.concat([skeskV4().subarray(0, 13), TEXT.subarray(0, 60)])), SEIPD],
    ],
    [
      'text-in-key-ids',
      'session_key_fake',
      'a text in the key ids of sixty recipients',
      [...many((i) => packet(1, Buffer.concat([Buffer.from([3]), letters(i), pkeskV3(`${i}`).subarray(9)]))), SEIPD],
    ],
    [
      'text-in-salts',
      'session_key_fake',
      'a text in the salts of sixty passwords',
      [
        ...many((i) =>
          packet(3, Buffer.concat([Buffer.from([4, 9, 3, 8]), letters(i), Buffer.from([0xe0]), noise(33, `${i}`)])),
        ),
        SEIPD,
      ],
    ],
    [
      'signing-key',
      'packet_version',
      'a session key for a key that can only sign',
      [packet(1, Buffer.concat([Buffer.from([3]), noise(8), Buffer.from([22]), noise(90)])), SEIPD],
    ],
  ];
  return rows.map(([name, reason, why, packets]) =>
    refused(`packets-${name}`, reason, why, withArmor(Buffer.concat(packets))),
  );
}

/** Armor that is not one, or not alone. */
export function armorEntries(): Entry[] {
  const bytes = encryptedBytes(300);
  const [head, empty, ...lines] = GOOD.split('\r\n');
  const rows: [name: string, reason: string, why: string, text: string][] = [
    ['text', 'packet_malformed', 'a text in an armor', armor(TEXT)],
    ['checksum', 'armor_checksum', 'a wrong checksum', armor(bytes, { crc: 'wrong' })],
    ['before', 'armor_missing', 'a text before the armor', `${NOON}\r\n${GOOD}`],
    ['after', 'armor_trailing', 'a text after the armor', `${GOOD}${NOON}\r\n`],
    ['twice', 'armor_trailing', 'two armored messages', `${GOOD}${GOOD}`],
    ['unfinished', 'armor_unfinished', 'no end line', GOOD.slice(0, GOOD.indexOf('-----END'))],
    ['no-empty-line', 'armor_malformed', 'data where header lines belong', [head, ...lines].join('\r\n')],
    ['comma', 'armor_base64', 'a comma in the data', [head, empty, `,${lines[0]}`, ...lines.slice(1)].join('\r\n')],
    [
      'blank-in-line',
      'armor_base64',
      'a blank in the data',
      [head, empty, ` ${lines[0]}`, ...lines.slice(1)].join('\r\n'),
    ],
    ['nul', 'armor_base64', 'a NUL in the data', [head, empty, `\0${lines[0]}`, ...lines.slice(1)].join('\r\n')],
    [
      'url-alphabet',
      'armor_base64',
      'the other base64 alphabet',
      [head, empty, `A-_A${lines[0]}`, ...lines.slice(1)].join('\r\n'),
    ],
    ['public-key', 'armor_missing', 'a public key', GOOD.replaceAll('PGP MESSAGE', 'PGP PUBLIC KEY BLOCK')],
    ['binary', 'armor_missing', 'packets without armor', bytes.toString('latin1').replace(/[\r\n]/g, '.')],
  ];
  return rows.map(([name, reason, why, second]) => refused(`armor-${name}`, reason, why, pgpMime({ second })));
}
