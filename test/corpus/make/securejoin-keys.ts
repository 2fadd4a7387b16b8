/** [io] Securejoin requests with the key of the sender, real ones by GnuPG and OpenPGP.js, and with what only claims to be one. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKey } from 'openpgp';
import { noise, packet } from '../../../packages/filtermail/test/support/openpgp.ts';
import { commonHeader, type Entry, message, NOON } from './entry.ts';

const ADDRESS = 'alice@relay.test';
const PART = 'Content-Type: text/plain; charset="utf-8"';
const MESSAGE_ID = /^Message-ID: .*/;

function request(key: Uint8Array, partHeader: readonly string[] = [PART]): string {
  const text = Buffer.from(key).toString('base64').replace(/.{78}/g, '$&\r\n ');
  return message(
    [
      ...commonHeader(),
      `Autocrypt: addr=${ADDRESS}; prefer-encrypt=mutual; keydata=${text}`,
      'Secure-Join: vc-request',
      'Secure-Join-Invitenumber: uH3kDTpq2Ys',
      'Content-Type: multipart/mixed; boundary="b1"',
    ],
    `--b1\r\n${partHeader.join('\r\n')}\r\n\r\nSecure-Join: vc-request\r\n--b1--\r\n`,
  );
}

export async function securejoinKeyEntries(): Promise<Entry[]> {
  const key = await openpgpJsKey();
  const words = (length: number) => Buffer.from(NOON.repeat(10)).subarray(0, length);
  const letters = Buffer.from('the+others+meet+at+the+old+stone+house+tonight+then', 'base64');
  const own = commonHeader().find((field) => MESSAGE_ID.test(field))!;
  const others = Array.from({ length: 30 }, (_, i) => `Message-ID: <let.us.meet.at.noon.${i}@under.the.old.clock>`);
  const accepted = { outgoing: 'securejoin', incoming: 'securejoin' };
  // Incoming mail may say what it wants in its header.
  const refused = { outgoing: 'autocrypt_key', incoming: 'securejoin' };
  const rows: readonly [name: string, verdicts: typeof accepted, why: string, text: string][] = [
    ['key', accepted, 'the key of an older client', request(key)],
    ['key-rsa4096', accepted, "an RSA key of GnuPG's", request(gnupgKey())],
    ['key-text', refused, 'a text as a key', request(packet(6, words(600)))],
    ['key-text-in-fields', refused, 'a text in place of the number of a key', request(ed25519(words(32)))],
    ['key-letters', refused, 'a text in the characters of a key', request(ed25519(letters.subarray(2, 34)))],
    ['key-trailing', refused, 'a text after the key', request(Buffer.concat([key, packet(11, words(200))]))],
    ['key-user-id', refused, 'a second user id', request(Buffer.concat([key, packet(13, words(200))]))],
    ['message-id', accepted, "the message's own Message-ID in its part", request(key, [PART, own])],
    [
      'message-id-other',
      { outgoing: 'part_header_text', incoming: 'securejoin' },
      'another Message-ID in its part',
      request(key, [PART, others[0]!]),
    ],
    [
      'message-ids',
      { outgoing: 'part_header_text', incoming: 'securejoin' },
      'thirty of them',
      request(key, [PART, own, ...others]),
    ],
  ];
  return rows.map(([name, verdicts, why, text]) => ({ name: `securejoin-${name}`, ...verdicts, why, text }));
}

/** A key packet alone. Its number is from byte 8 on, the third of a group. */
function ed25519(number: Buffer): Buffer {
  return packet(6, Buffer.concat([Buffer.from([4]), noise(4), Buffer.from([27]), number]));
}

async function openpgpJsKey(): Promise<Uint8Array> {
  const { publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ email: ADDRESS }],
    format: 'object',
    // A notation with random bytes, which Delta Chat does not make.
    config: { nonDeterministicSignaturesViaNotation: false },
  });
  return publicKey.write();
}

/** RSA 4096 with a subkey of that size. */
function gnupgKey(): Buffer {
  const home = mkdtempSync(join(tmpdir(), 'corpus-gpg-'));
  const common = [
    '--homedir',
    home,
    '--batch',
    '--quiet',
    '--no-tty',
    '--pinentry-mode',
    'loopback',
    '--passphrase',
    '',
  ];
  const gpg = (...args: string[]) => execFileSync('gpg', [...common, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    gpg('--quick-generate-key', ADDRESS, 'rsa4096', 'cert,sign', 'never');
    const fingerprint = /^fpr:+(\w+):/m.exec(gpg('--with-colons', '--list-keys').toString('latin1'))![1]!;
    gpg('--quick-add-key', fingerprint, 'rsa4096', 'encrypt', 'never');
    return gpg('--export', ADDRESS);
  } finally {
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  }
}
