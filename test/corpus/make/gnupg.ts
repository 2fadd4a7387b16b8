/** [io] Messages by GnuPG, as Debian has it: every kind of key and of recipient, every cipher with a block of its own size. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Entry, encrypted, withArmor } from './entry.ts';

const KEYS = [
  'rsa2048',
  'rsa4096',
  'cv25519',
  'nistp256',
  'nistp384',
  'nistp521',
  'brainpoolP256r1',
  'secp256k1',
  'elg2048',
];
const TEXT = 'Content-Type: text/plain\n\nLet us meet at noon.\n';

/** Makes keys in a directory of its own, and removes it. Takes some seconds. */
export function gnupgEntries(): Entry[] {
  const home = mkdtempSync(join(tmpdir(), 'corpus-gpg-'));
  const gpg = (input: string | Buffer, ...args: string[]) => {
    const common = ['--homedir', home, '--batch', '--quiet', '--no-tty', '--yes', '--trust-model', 'always'];
    const secret = ['--pinentry-mode', 'loopback', '--passphrase', ''];
    const output = execFileSync('gpg', [...common, ...secret, ...args], { input, stdio: ['pipe', 'pipe', 'ignore'] });
    return output.toString('latin1');
  };
  const encrypt = (...args: string[]) => gpg(TEXT, '--armor', '--encrypt', ...args);
  const password = (...args: string[]) =>
    gpg(TEXT, '--armor', ...args.filter((arg) => arg !== ''), '--passphrase', 'noon', '--symmetric');
  try {
    for (const algorithm of KEYS) makeKey(gpg, algorithm);
    const rows: [name: string, why: string, armored: string][] = [
      ...KEYS.map((key): [string, string, string] => [key, `a key of type ${key}`, encrypt('-r', key)]),
      ['recipients', 'several recipients', encrypt('-r', 'rsa2048', '-r', 'cv25519', '-r', 'nistp256')],
      ['hidden-recipient', 'a key id of zeros', encrypt('-R', 'rsa2048')],
      ['hidden-and-named', 'a hidden recipient and one who is not', encrypt('-R', 'rsa2048', '-r', 'cv25519')],
      ['throw-keyids', 'nobody is named', encrypt('--throw-keyids', '-r', 'rsa2048', '-r', 'cv25519')],
      ['password', 'a password only', password()],
      ['password-salted', 'an s2k with salt and no count', password('--s2k-mode', '1')],
      ['password-simple', 'an s2k without salt', password('--s2k-mode', '0')],
      ['password-and-key', 'a password and a key', password('--encrypt', '-r', 'cv25519')],
      ['signed', 'signed inside', encrypt('--sign', '-u', 'rsa2048', '-r', 'cv25519')],
      ['empty', 'an empty text', gpg('', '--armor', '--encrypt', '-r', 'cv25519', '--compress-algo', 'none')],
      [
        'empty-3des',
        'an empty text under a cipher with small blocks',
        gpg('', '--armor', '--encrypt', '-r', 'cv25519', '--compress-algo', 'none', '--cipher-algo', '3DES'),
      ],
      ...['AES', 'CAST5', 'BLOWFISH', 'TWOFISH', 'CAMELLIA256'].map((cipher): [string, string, string] => [
        cipher.toLowerCase(),
        `the cipher ${cipher}`,
        encrypt('--cipher-algo', cipher, '-r', 'cv25519'),
      ]),
      [
        'partial-lengths',
        '60 kB in partial lengths',
        gpg(randomBytes(60_000), '--armor', '--encrypt', '-r', 'cv25519'),
      ],
      [
        'uncompressed',
        'repetitive text, uncompressed, is random once encrypted',
        gpg(TEXT.repeat(1000), '--armor', '--encrypt', '-r', 'cv25519', '--compress-algo', 'none'),
      ],
      ['bzip2', 'compressed inside', encrypt('--compress-algo', 'bzip2', '-r', 'cv25519')],
    ];
    const entries = rows.map(([name, why, armored]) => encrypted(`gnupg-${name}`, `GnuPG: ${why}`, withArmor(armored)));
    for (const [name, why, option] of [
      ['comment', 'a Comment line in the armor', '--comment=Meet me at noon'],
      ['version', 'a Version line in the armor', '--emit-version'],
    ] as const) {
      const text = withArmor(encrypt(option, '-r', 'cv25519'));
      entries.push({ ...encrypted(`gnupg-${name}`, `GnuPG: ${why}`, text), outgoing: 'armor_header' });
    }
    const signed = withArmor(gpg(TEXT, '--armor', '--sign', '-u', 'rsa2048'));
    const stored = withArmor(gpg(TEXT, '--armor', '--store'));
    const refusal = { outgoing: 'packet_unexpected', incoming: 'packet_unexpected' };
    entries.push({
      ...refusal,
      name: 'gnupg-only-signed',
      why: 'GnuPG: signed and compressed, not encrypted',
      text: signed,
    });
    entries.push({ ...refusal, name: 'gnupg-stored', why: 'GnuPG: an OpenPGP message, not encrypted', text: stored });
    const key = withArmor(gpg('', '--armor', '--export', 'cv25519'));
    entries.push({
      name: 'gnupg-public-key',
      outgoing: 'armor_missing',
      incoming: 'armor_missing',
      why: 'GnuPG: a public key',
      text: key,
    });
    return entries;
  } finally {
    execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    rmSync(home, { recursive: true, force: true });
  }
}

function makeKey(gpg: (input: string, ...args: string[]) => string, algorithm: string): void {
  const [type, sub] = algorithm.startsWith('rsa')
    ? [`Key-Type: RSA\nKey-Length: ${algorithm.slice(3)}`, `Subkey-Type: RSA\nSubkey-Length: ${algorithm.slice(3)}`]
    : algorithm === 'elg2048'
      ? ['Key-Type: DSA\nKey-Length: 2048', 'Subkey-Type: ELG-E\nSubkey-Length: 2048']
      : [
          `Key-Type: EDDSA\nKey-Curve: ed25519`,
          `Subkey-Type: ECDH\nSubkey-Curve: ${algorithm === 'cv25519' ? 'Curve25519' : algorithm}`,
        ];
  gpg(
    `%no-protection\n${type}\nKey-Usage: sign\n${sub}\nSubkey-Usage: encrypt\nName-Real: ${algorithm}\n%commit\n`,
    '--generate-key',
  );
}
