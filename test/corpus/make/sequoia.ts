/** [io] Messages by Sequoia's `sq`. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Entry, encrypted, withArmor } from './entry.ts';

/** Makes keys in a directory of its own, and removes it. */
export function sequoiaEntries(): Entry[] {
  const directory = mkdtempSync(join(tmpdir(), 'corpus-sq-'));
  const sq = (input: string | Buffer, ...args: string[]) =>
    execFileSync('sq', args, { input, stdio: ['pipe', 'pipe', 'ignore'] }).toString('latin1');
  try {
    const [cv25519, rsa3k, rsa4k] = ['cv25519', 'rsa3k', 'rsa4k'].map((suite) => {
      const key = join(directory, suite);
      sq('', 'key', 'generate', '--userid', suite, '--cipher-suite', suite, '--export', key);
      return key;
    }) as [string, string, string];
    const text = 'Let us meet at noon.\n';
    const encrypt = (input: string | Buffer, keys: string[], ...args: string[]) =>
      sq(input, 'encrypt', ...keys.flatMap((key) => ['--recipient-cert', key]), ...args);
    const rows: [name: string, why: string, armored: string][] = [
      ['cv25519', 'Curve25519', encrypt(text, [cv25519])],
      ['rsa3k', 'RSA 3072', encrypt(text, [rsa3k])],
      ['rsa4k', 'RSA 4096', encrypt(text, [rsa4k])],
      ['recipients', 'three recipients', encrypt(text, [cv25519, rsa3k, rsa4k])],
      ['signed', 'signed inside', encrypt(text, [cv25519], '--signer-key', rsa3k)],
      ['empty', 'an empty text', encrypt('', [cv25519])],
      ['long', '70 kB', encrypt(randomBytes(70_000), [cv25519])],
      ['uncompressed', 'repetitive text, uncompressed', encrypt(text.repeat(500), [cv25519], '--compression', 'none')],
      ['zip', 'compressed inside', encrypt(text.repeat(500), [cv25519], '--compression', 'zip')],
    ];
    return rows.map(([name, why, armored]) => encrypted(`sequoia-${name}`, `Sequoia: ${why}`, withArmor(armored)));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
