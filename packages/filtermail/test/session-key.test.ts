import t from 'tap';
import { checkPkesk, checkSkesk, type SessionKeyResult } from '../src/session-key.ts';
import * as make from './support/openpgp.ts';

const code = (result: SessionKeyResult) => ('code' in result ? result.code : result.version);
const edit = (body: Buffer, at: number, value: number) => {
  const copy = Buffer.from(body);
  copy[at] = value;
  return copy;
};
const TEXT = Buffer.from(
  'meet me at noon under the old clock and tell nobody about it, not even your brother '.repeat(4),
);

t.test('PKESK', (t) => {
  const x448 = Buffer.concat([Buffer.from([6, 0, 26]), make.noise(56), Buffer.from([40]), make.noise(40)]);
  const elgamal = Buffer.concat([
    Buffer.from([3]),
    make.noise(8),
    Buffer.from([16]),
    make.pkeskRsa(256).subarray(10),
    make.pkeskRsa(256).subarray(10),
  ]);
  const mlkem = Buffer.concat([Buffer.from([6, 0, 35]), make.noise(32 + 1088 + 41)]);
  const rows: readonly [body: Buffer, result: number | string, why: string][] = [
    [make.pkeskV3(), 3, 'X25519'],
    [make.pkeskRsa(), 3, 'RSA'],
    [make.pkeskEcdh(), 3, 'ECDH'],
    [elgamal, 3, 'Elgamal'],
    [make.pkeskV6(6), 6, 'version 6 key'],
    [make.pkeskV6(4), 6, 'version 4 key'],
    [make.pkeskV6(0), 6, 'nobody named'],
    [x448, 6, 'X448'],
    [mlkem, 6, 'ML-KEM-768+X25519: an algorithm not known here'],
    [edit(make.pkeskV3(), 9, 22), 'packet_version', 'an algorithm that only signs'],
    [edit(make.pkeskV3(), 0, 2), 'packet_version', 'version 2'],
    [edit(make.pkeskV6(), 1, 20), 'packet_version', 'no such fingerprint length'],
    [edit(make.pkeskV6(), 2, 5), 'packet_version', 'no such key version'],
    [make.pkeskV3().subarray(0, 9), 'packet_size', 'cut in its fields'],
    [make.pkeskV3().subarray(0, -1), 'packet_size', 'one byte short'],
    [Buffer.concat([make.pkeskV3(), Buffer.from([0])]), 'packet_size', 'one byte long'],
    [Buffer.concat([make.pkeskRsa(), Buffer.from([0])]), 'packet_size', 'RSA, one byte long'],
    [edit(make.pkeskRsa(), 12, 0x01), 'packet_size', 'RSA, length not that of the highest bit'],
    [edit(make.pkeskV3(), 43, 99), 'packet_size', 'version 3 names a cipher that does not exist'],
    [edit(make.pkeskV3(), 43, 13), 'packet_size', 'version 3 names another cipher than AES'],
    [Buffer.concat([make.pkeskEcdh(), Buffer.from([0])]), 'packet_size', 'ECDH, one byte long'],
    [make.pkeskRsa(256, TEXT.subarray(0, 256)), 'session_key_fake', 'a text as RSA ciphertext'],
    [
      Buffer.concat([Buffer.from([3]), Buffer.alloc(8), make.pkeskV3().subarray(9)]),
      3,
      'key id of zeros: a hidden recipient',
    ],
    [Buffer.concat([Buffer.from([6, 0, 99]), TEXT]), 'session_key_fake', 'a text under an unknown algorithm'],
    [
      Buffer.concat([Buffer.from([6, 0, 25]), TEXT.subarray(0, 32), Buffer.from([48]), TEXT.subarray(0, 48)]),
      'session_key_fake',
      'a text as X25519',
    ],
  ];
  for (const [body, result, why] of rows) t.equal(code(checkPkesk(body)), result, why);
  t.end();
});

t.test('SKESK', (t) => {
  const argon = Buffer.concat([Buffer.from([4, 9, 4]), make.noise(19)]);
  const gnupg = Buffer.concat([Buffer.from([5, 9, 2, 3, 8]), make.noise(8), Buffer.from([0xe0]), make.noise(15 + 48)]);
  const rows: readonly [body: Buffer, result: number | string, why: string][] = [
    [make.skeskV4(), 4, 'version 4'],
    [make.skeskV4().subarray(0, 13), 4, 'version 4, the key is the hash'],
    [argon, 4, 'Argon2'],
    [gnupg, 5, "GnuPG's version 5"],
    [make.skeskV6(), 6, 'version 6'],
    [edit(make.skeskV4(), 0, 7), 'packet_version', 'version 7'],
    [edit(make.skeskV4(), 1, 0), 'packet_version', 'plaintext cipher'],
    [edit(make.skeskV4(), 2, 101), 'packet_version', 'unknown s2k'],
    [edit(make.skeskV6(), 1, 5), 'packet_size', 'count does not fit'],
    [edit(make.skeskV6(), 3, 9), 'packet_version', 'unknown AEAD'],
    [make.skeskV4().subarray(0, 6), 'packet_size', 'cut in its salt'],
    [Buffer.concat([make.skeskV4(), make.noise(100)]), 'packet_size', 'room for a text'],
    [edit(make.skeskV4(), 3, 99), 'packet_version', 'unknown hash'],
    [Buffer.concat([make.skeskV4().subarray(0, 13), TEXT.subarray(0, 60)]), 'session_key_fake', 'a text as key'],
  ];
  for (const [body, result, why] of rows) t.equal(code(checkSkesk(body)), result, why);
  t.end();
});
