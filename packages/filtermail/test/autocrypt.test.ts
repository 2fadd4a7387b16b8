import { createHash } from 'node:crypto';
import { generateKey } from 'openpgp';
import t from 'tap';
import { parseAddress } from '#core';
import { findAutocryptFault } from '../src/autocrypt.ts';
import { readCorpus } from './support/corpus.ts';
import { noise, oldPacket, packet } from './support/openpgp.ts';

const alice = parseAddress('alice@relay.test')!;
const bytes = (...octets: number[]) => Buffer.from(octets);
const field = (key: Buffer | string) =>
  `addr=alice@relay.test; prefer-encrypt=mutual; keydata=${typeof key === 'string' ? key : key.toString('base64')}`;
const faultOf = (value: string, from = alice) => {
  const fault = findAutocryptFault(value, from);
  return typeof fault === 'object' ? fault.keyHas : (fault ?? 'ok');
};

/** A version 4 Ed25519 key, or X25519 subkey, without its packet header. */
const keyBody = (algorithm = 27, number = noise(32, 'key')) =>
  Buffer.concat([bytes(4, 0x65, 0x92, 0, 0, algorithm), number]);
const fingerprint = (body: Buffer) =>
  createHash('sha1')
    .update(Buffer.concat([bytes(0x99, 0, body.length), body]))
    .digest();

const KEY = keyBody();
const ISSUER = fingerprint(KEY);
const sub = (kind: number, value: Buffer) => Buffer.concat([bytes(value.length + 1, kind), value]);
const CREATED = sub(2, bytes(0x65, 0x92, 0, 0));
const BY_KEY = sub(33, Buffer.concat([bytes(4), ISSUER]));

let made = 0;

interface SignatureDetails {
  readonly type?: number;
  readonly hashed?: readonly Buffer[];
  readonly unhashed?: readonly Buffer[];
  readonly end?: Buffer;
  readonly algorithm?: number;
}

function signature(details: SignatureDetails = {}): Buffer {
  const {
    type = 0x13,
    hashed = [CREATED, BY_KEY],
    unhashed = [],
    end = noise(64, `signature ${made++}`),
    algorithm = 27,
  } = details;
  const area = (subpackets: readonly Buffer[]) => {
    const all = Buffer.concat(subpackets);
    return Buffer.concat([bytes(all.length >> 8, all.length & 255), all]);
  };
  return Buffer.concat([bytes(4, type, algorithm, 8), area(hashed), area(unhashed), noise(2), end]);
}

const USER_ID = packet(13, Buffer.from('<alice@relay.test>'));
const SUBKEY = packet(14, keyBody(25, noise(32, 'subkey')));
const SUBKEY_2 = packet(14, keyBody(25, noise(32, 'another')));
const signed = (details: SignatureDetails = {}) => packet(2, signature(details));
const bound = (details: SignatureDetails = {}) => signed({ type: 0x18, ...details });

const key = (...more: Buffer[]) => Buffer.concat([packet(6, KEY), USER_ID, signed(), SUBKEY, bound(), ...more]);
/** A key whose user id is certified with one more subpacket. */
const saying = (...subpackets: Buffer[]) =>
  Buffer.concat([packet(6, KEY), USER_ID, signed({ hashed: [CREATED, ...subpackets, BY_KEY] })]);
const relays = (value: string, name = 'relays@chatmail.at', flags = 0x80) =>
  sub(
    20,
    Buffer.concat([bytes(flags, 0, 0, 0, 0, name.length, 0, value.length), Buffer.from(name), Buffer.from(value)]),
  );

t.test('the field around the key', (t) => {
  const good = key().toString('base64');
  const rows: readonly [value: string, fault: string, why: string][] = [
    [field(good), 'ok', 'a key'],
    [field(good.replace(/.{70}/g, '$&\n ')), 'ok', 'folded'],
    [`addr=Alice@Relay.test; keydata=${good}`, 'ok', 'no preference, capitals'],
    [`addr=bob@relay.test; keydata=${good}`, 'foreign', "somebody else's"],
    [`addr=alice@relay.test; _note=noon; keydata=${good}`, 'foreign', 'another attribute'],
    [`addr=alice@relay.test; prefer-encrypt=noon; keydata=${good}`, 'foreign', 'a text as preference'],
    [field(''), 'foreign', 'nothing'],
    [field(`${good}@`), 'foreign', 'not base64'],
    [field(`${good.slice(0, -2)}==${good}`), 'base64 that is not valid', 'padding in the middle'],
    [field(good.slice(0, 40)), 'a packet that is cut off', 'cut off'],
    [field(noise(9003).toString('base64')), 'more than 12000 characters', 'large'],
  ];
  for (const [value, fault, why] of rows) t.equal(faultOf(value), fault, why);
  t.end();
});

t.test('the packets of a key', (t) => {
  const text = Buffer.from('Dear Bob, let us meet at noon under the old clock, and tell nobody of it at all. ');
  const rsa = (modulus: Buffer, exponent = bytes(0, 17, 1, 0, 1)) =>
    packet(6, Buffer.concat([bytes(4, 1, 2, 3, 4, 1, 8, 0), modulus, exponent]));
  const modulus = Buffer.concat([bytes(0x80), noise(255)]);
  const back = sub(32, signature({ type: 0x19, hashed: [CREATED] }));
  const rows: readonly [key: Buffer, fault: string, why: string][] = [
    [
      Buffer.concat([oldPacket(6, KEY, 0), oldPacket(13, Buffer.from('alice@relay.test'), 1), signed()]),
      'ok',
      'old format',
    ],
    [packet(6, KEY), 'ok', 'the key alone, as version 6 may be'],
    [Buffer.concat([packet(6, KEY), signed({ type: 0x1f }), SUBKEY, bound()]), 'ok', 'no user id'],
    [key(SUBKEY_2, bound({ type: 0x28 }), bound()), 'ok', 'another subkey, renewed'],
    [rsa(modulus), 'ok', 'RSA'],
    [packet(13, Buffer.from('alice@relay.test')), 'a packet of type 13 first', 'no key packet'],
    [key(packet(6, KEY)), 'a packet of type 6', 'a second key'],
    [key(packet(11, text)), 'a packet of type 11', 'a literal packet'],
    [key(packet(17, text)), 'a packet of type 17', 'a picture'],
    [key(USER_ID), 'a second user id', 'the same user id again'],
    [Buffer.concat([packet(6, KEY), USER_ID, USER_ID]), 'a second user id', 'twice'],
    [Buffer.concat([packet(6, KEY), packet(13, text)]), 'a user id that is not the address', 'a text as user id'],
    [key(SUBKEY), 'a subkey without a signature', 'an unbound subkey'],
    [key(SUBKEY, SUBKEY, bound()), 'a subkey without a signature', 'an unbound subkey before another'],
    [key(...new Array<Buffer[]>(4).fill([SUBKEY, bound()]).flat()), 'more than 4 subkeys', 'many subkeys'],
    [key(...new Array<Buffer>(4).fill(bound())), 'more than 4 signatures in a place', 'many signatures'],
    [packet(6, Buffer.concat([bytes(3), KEY.subarray(1)])), 'a key of version 3', 'version 3'],
    [packet(6, text), 'a key of version 68', 'a text'],
    [packet(6, keyBody(99)), 'a key of algorithm 99', 'an unknown algorithm'],
    [packet(6, keyBody(27, noise(31))), 'a key of algorithm 27 with wrong fields', 'a byte too few'],
    [packet(6, keyBody(27, noise(33))), 'a key of algorithm 27 with wrong fields', 'a byte too many'],
    [rsa(modulus, bytes(0, 17, 1, 0, 1, 0)), 'a key of algorithm 1 with wrong fields', 'a byte after an RSA key'],
    [
      rsa(modulus, Buffer.concat([bytes(0, 0x9f), text.subarray(0, 20)])),
      'a key of algorithm 1 with wrong fields',
      'a text as exponent',
    ],
    [
      packet(6, keyBody(22, Buffer.concat([bytes(3, 1, 2, 3, 1, 7, 0x40), noise(32)]))),
      'a key of algorithm 22 with wrong fields',
      'an unknown curve',
    ],
    [
      rsa(Buffer.concat([bytes(0x80), text, text, text, text]).subarray(0, 256)),
      'text in place of random numbers',
      'as RSA',
    ],
    [packet(6, keyBody(27, text.subarray(0, 32))), 'text in place of random numbers', 'a text as Ed25519'],
    [
      Buffer.concat([packet(6, KEY), signed({ type: 0x1f, end: text.subarray(0, 64) })]),
      'text in place of random numbers',
      'as signature',
    ],
    [
      key(bound({ hashed: [CREATED, back] })),
      'a signature of another algorithm than its key',
      'a subkey that cannot sign',
    ],
    [
      Buffer.concat([packet(6, KEY), USER_ID, signed({ type: 0x18 })]),
      'a signature of type 24 where none belongs',
      'type',
    ],
    [
      Buffer.concat([packet(6, KEY), signed({ type: 0x1f, algorithm: 1 })]),
      'a signature of another algorithm than its key',
      'RSA',
    ],
    [
      Buffer.concat([packet(6, KEY), signed({ type: 0x1f, end: noise(65) })]),
      'a signature of algorithm 27 with wrong fields',
      'long',
    ],
    [
      Buffer.concat([packet(6, KEY), packet(2, Buffer.concat([bytes(3), noise(90)]))]),
      'a signature of version 3',
      'version',
    ],
    [
      Buffer.concat([packet(6, KEY), packet(2, signature({ type: 0x1f }).subarray(0, 12))]),
      'a signature that is cut off',
      'cut',
    ],
  ];
  for (const [bytes, fault, why] of rows) t.equal(faultOf(field(bytes)), fault, why);
  t.end();
});

t.test('the subpackets of its signatures', (t) => {
  const rows: readonly [key: Buffer, fault: string, why: string][] = [
    [saying(sub(11, bytes(9, 8, 7)), sub(21, bytes(8, 10)), sub(22, bytes(2, 1))), 'ok', 'preferences'],
    [saying(sub(39, bytes(9, 2, 7, 2)), sub(34, bytes(2))), 'ok', 'those of version 6'],
    [saying(sub(27, bytes(3)), sub(30, bytes(9)), sub(25, bytes(1)), sub(9, noise(4))), 'ok', 'flags and an end'],
    [saying(sub(16, ISSUER.subarray(-8))), 'ok', 'a key id'],
    [saying(relays('alice@relay.test')), 'ok', "Delta Chat's notation"],
    [saying(relays('a@b.test,alice@relay.test')), 'ok', 'two relays'],
    [saying(relays('bob@relay.test')), 'a notation', 'none of them the address'],
    [saying(relays('let us meet at noon,alice@relay.test')), 'a notation', 'a text in it'],
    [saying(relays(`${'a'.repeat(80)}@b.test,alice@relay.test`)), 'a notation', 'a long address'],
    [saying(relays(`${'a@b.test,'.repeat(5)}alice@relay.test`)), 'a notation', 'many addresses'],
    [saying(relays('alice@relay.test', 'note@relay.test')), 'a notation', 'another one'],
    [saying(relays('alice@relay.test', 'relays@chatmail.at', 0)), 'a notation', 'not to be read by people'],
    [saying(sub(26, Buffer.from('meet at noon'))), 'a signature subpacket of type 26', 'a policy'],
    [saying(sub(24, Buffer.from('meet at noon'))), 'a signature subpacket of type 24', 'a key server'],
    [saying(sub(28, Buffer.from('meet at noon'))), 'a signature subpacket of type 28', "a signer's user id"],
    [saying(sub(6, Buffer.from('noon\0'))), 'a signature subpacket of type 6', 'a regular expression'],
    [saying(sub(101, Buffer.from('meet at noon'))), 'a signature subpacket of type 101', 'a private one'],
    [saying(sub(0x80 | 26, Buffer.from('noon'))), 'a signature subpacket of type 26', 'critical'],
    [saying(sub(29, Buffer.from('\0meet at noon'))), 'a signature subpacket of type 29 with a wrong value', 'a reason'],
    [saying(sub(11, Buffer.from('noon'))), 'a signature subpacket of type 11 with a wrong value', 'no ciphers'],
    [saying(sub(11, bytes(9, 9))), 'a signature subpacket of type 11 with a wrong value', 'one twice'],
    [saying(sub(39, bytes(9, 2, 9))), 'a signature subpacket of type 39 with a wrong value', 'half a pair'],
    [saying(sub(27, noise(9))), 'a signature subpacket of type 27 with a wrong value', 'many flags'],
    [saying(CREATED), 'a signature subpacket of type 2 twice', 'a time twice'],
    [saying(sub(16, noise(8))), 'a signature by another key', "another key's id"],
    [saying(bytes(9, 16)), 'a signature by another key', 'a length that reaches into the next'],
    [saying(sub(32, signature({ type: 0x19 }))), 'a signature inside a signature', 'no subkey has signed in return'],
    [
      Buffer.concat([packet(6, KEY), signed({ type: 0x1f, unhashed: [bytes(200, 5)] })]),
      'a signature subpacket that is cut off',
      'cut off',
    ],
  ];
  for (const [bytes, fault, why] of rows) t.equal(faultOf(field(bytes)), fault, why);
  t.end();
});

t.test('real keys', async (t) => {
  const [, addr, deltaChat] = /\r\nAutocrypt: addr=([^;]+); ([\s\S]*?)\r\nSecure-Join/.exec(
    readCorpus('deltachat-older-securejoin-1.eml'),
  )!;
  t.equal(faultOf(`addr=${addr}; ${deltaChat}`, parseAddress(addr!)!), 'ok', 'Delta Chat');
  const options = [
    { type: 'curve25519' },
    { type: 'curve448' },
    { type: 'curve25519', config: { v6Keys: true, aeadProtect: true } },
    { type: 'curve448', config: { v6Keys: true, aeadProtect: true } },
    { type: 'ecc', curve: 'ed25519Legacy' },
    { type: 'ecc', curve: 'nistP256', subkeys: [{}, { sign: true }] },
    { type: 'ecc', curve: 'nistP521' },
    { type: 'rsa', rsaBits: 2048, subkeys: [{}, { sign: true }] },
  ];
  for (const { config = {}, ...rest } of options as { config?: object }[]) {
    const { publicKey } = await generateKey({
      ...rest,
      userIDs: [{ email: 'alice@relay.test' }],
      format: 'object',
      config: { ...config, nonDeterministicSignaturesViaNotation: false },
    });
    t.equal(faultOf(field(Buffer.from(publicKey.write()))), 'ok', `OpenPGP.js, ${JSON.stringify(rest)}`);
  }
});

t.test('a key changed in one place, or cut, never throws', (t) => {
  const good = key(SUBKEY, bound({ hashed: [CREATED, relays('alice@relay.test'), BY_KEY] }));
  for (let at = 0; at < good.length; at++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const changed = Buffer.from(good);
      changed[at] = value;
      faultOf(field(changed));
    }
    if (at > 0) faultOf(field(good.subarray(0, at)));
  }
  t.pass();
  t.end();
});
