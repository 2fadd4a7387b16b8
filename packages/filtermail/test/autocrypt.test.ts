import { generateKey } from 'openpgp';
import t from 'tap';
import { parseAddress } from '#core';
import { isTransferableKey } from '../src/autocrypt.ts';
import { noise, oldPacket, packet } from './support/openpgp.ts';

const alice = parseAddress('alice@relay.test')!;
const key = (userID: Buffer | string = '<alice@relay.test>', ...more: Buffer[]) =>
  Buffer.concat([
    packet(6, noise(51, 'key')),
    packet(13, Buffer.from(userID)),
    packet(2, noise(120, 'signature')),
    packet(14, noise(56, 'subkey')),
    packet(2, noise(120, 'binding')),
    ...more,
  ]).toString('base64');
const field = (keydata: string) => `addr=alice@relay.test; prefer-encrypt=mutual; keydata=${keydata}`;

t.test('the value of an Autocrypt field', async (t) => {
  const text = Buffer.from('Dear Bob, let us meet at noon').toString('base64');
  const rows: readonly [value: string, fits: boolean, why: string][] = [
    [field(key()), true, 'a key'],
    [field(key().replace(/.{70}/g, '$&\n ')), true, 'folded'],
    [field(key('alice@relay.test')), true, 'a bare address as user id'],
    [`addr=Alice@Relay.test; keydata=${key()}`, true, 'no preference, capitals'],
    [field(Buffer.concat([oldPacket(6, noise(51), 0), packet(2, noise(300))]).toString('base64')), true, 'old format'],
    [`addr=bob@relay.test; keydata=${key()}`, false, "somebody else's"],
    [`addr=alice@relay.test; _note=noon; keydata=${key()}`, false, 'another attribute'],
    [`addr=alice@relay.test; prefer-encrypt=noon; keydata=${key()}`, false, 'a text as preference'],
    [field(key('Meet me at noon <alice@relay.test>')), false, 'a text as user id'],
    [field(text), false, 'a text'],
    [field(''), false, 'nothing'],
    [field(key().slice(0, 40)), false, 'cut off'],
    [field(`${key()}@`), false, 'not base64'],
    [field(`${key().slice(0, -2)}==${key()}`), false, 'padding in the middle'],
    [field(key('alice@relay.test', packet(11, noise(30)))), false, 'a literal packet'],
    [field(key('alice@relay.test', packet(6, noise(51)))), false, 'a second key'],
    [field(packet(13, Buffer.from('alice@relay.test')).toString('base64')), false, 'no key packet'],
    [field(key('alice@relay.test', packet(2, noise(30_000)))), false, 'large'],
  ];
  for (const [value, fits, why] of rows) t.equal(isTransferableKey(value, alice), fits, why);
});

t.test('keys of OpenPGP.js', async (t) => {
  const { publicKey } = await generateKey({ userIDs: [{ email: 'alice@relay.test' }], format: 'object' });
  t.ok(isTransferableKey(field(Buffer.from(publicKey.write()).toString('base64')), alice));
});
