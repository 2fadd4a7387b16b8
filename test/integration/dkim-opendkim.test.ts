/**
 * Our DKIM against Debian's OpenDKIM, which today's relays run, both ways: its test mode reads messages from files and keys from a
 * table. Its library knows the dark corners; mailauth (a unit test) is the other half of the comparison.
 */

import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import {
  ED25519,
  MemoryKeys,
  RSA,
  signed,
  type TestKey,
  verifyMessage,
} from '../../packages/filtermail/test/support/dkim.ts';
import { armor, BOUNDARY, encryptedBytes, mimeBody } from '../../packages/filtermail/test/support/openpgp.ts';

t.setTimeout(120_000);
const OPENDKIM = '/usr/sbin/opendkim';
if (!existsSync(OPENDKIM)) {
  spawnSync('apt-get', ['install', '-q', '-y', '-o', 'DPkg::Lock::Timeout=300', 'opendkim', 'opendkim-tools'], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}
const directory = mkdtempSync(join(tmpdir(), 'dkim-opendkim-'));
t.teardown(() => rmSync(directory, { recursive: true }));

const DOMAIN = 'example.org';
const nowSeconds = Math.floor(Date.now() / 1000);
const KEYS: Readonly<Record<string, TestKey>> = { rsa: RSA, ed25519: ED25519 };
const zone = Object.fromEntries(
  Object.entries(KEYS).map(([name, key]) => [`${name}._domainkey.${DOMAIN}`, key.record]),
);
const keys = new MemoryKeys(zone);

function write(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text, { encoding: 'latin1', mode: 0o600 });
  return path;
}

const table = write(
  'keys',
  Object.entries(zone)
    .map((entry) => `${entry.join(' ')}\n`)
    .join(''),
);
for (const [name, { privateKey }] of Object.entries(KEYS)) {
  write(`${name}.pem`, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
}

/** Runs OpenDKIM over some messages and returns what it would have inserted into each, nothing where it would not. */
async function opendkim(config: string, messages: readonly string[]): Promise<string[]> {
  const settings = write('opendkim.conf', `Syslog no\nRequireSafeKeys no\n${config}`);
  const inserted: string[] = [];
  // One at a time: its output does not say which message a header is for.
  for (const message of messages) {
    const file = write('message.eml', message);
    const { stdout } = await promisify(execFile)(OPENDKIM, ['-x', settings, '-t', file, '-vvv'], {
      encoding: 'latin1',
    });
    inserted.push(/### INSHEADER: idx=\d+ hname='[^']*' hvalue='([^']*)'/.exec(stdout)?.[1] ?? '');
  }
  return inserted;
}

async function verifiesThere(messages: readonly string[]): Promise<string[]> {
  const headers = await opendkim(`Mode v\nTestDNSData file:${table}\n`, messages);
  return headers.map((value) => /dkim=(\w+)/.exec(value)?.[1] ?? 'none');
}

const CONTENT_TYPE = `Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="${BOUNDARY}"`;
const header = (...lines: string[]) => ['From: Carol <carol@example.org>', ...lines, '', ''].join('\r\n');
const MESSAGES: Readonly<Record<string, string>> = {
  encrypted: header('To: bob@relay.test', 'Subject: [...]', CONTENT_TYPE) + mimeBody().toString('latin1'),
  large:
    header('To: bob@relay.test', CONTENT_TYPE) +
    mimeBody({ second: armor(encryptedBytes(500_000)) }).toString('latin1'),
  blanks: `${header('Subject: two  words \t', 'To: bob@relay.test')}a  b \t\r\n\tc\r\n \r\n.dots\r\n..more\r\n\r\n\r\n`,
  folded: `${header('To: a@relay.test,\r\n\tb@relay.test,\r\n   c@relay.test', 'References: <1@x>\r\n <2@x>')}text\r\n`,
  repeated: `${header('To: a@relay.test', 'Subject: one', 'To: b@relay.test', 'Subject: two')}text\r\n`,
  empty: header('To: a@relay.test'),
  'only blank lines': `${header('To: a@relay.test')}\r\n \r\n\r\n`,
  'eight bits': `${header('Subject: \xc3\xa0 \xc3\xa0')}\xc3\xa9\xa0\r\n`,
  'long lines': `${header('To: a@relay.test')}${'x'.repeat(5000)} y\r\n`,
};

t.test('what we sign verifies there', async (t) => {
  for (const [selector, { privateKey }] of Object.entries(KEYS)) {
    const sign = (message: string) => signed(message, { selector, key: privateKey }, DOMAIN, nowSeconds);
    const results = await verifiesThere(Object.values(MESSAGES).map(sign));
    for (const [i, name] of Object.keys(MESSAGES).entries()) t.equal(results[i], 'pass', `${selector}: ${name}`);
  }
});

t.test('what is signed there verifies here', async (t) => {
  for (const selector of Object.keys(KEYS)) {
    for (const form of ['relaxed/relaxed', 'relaxed/simple', 'simple/relaxed', 'simple/simple']) {
      // OpenDKIM 2.11 itself cannot verify its Ed25519 signatures of simple headers; mailauth agrees that they are wrong.
      if (selector === 'ed25519' && form.startsWith('simple/')) continue;
      const signatures = await opendkim(
        `Mode s\nDomain ${DOMAIN}\nSelector ${selector}\nKeyFile ${join(directory, `${selector}.pem`)}\n` +
          `SignatureAlgorithm ${selector}-sha256\nCanonicalization ${form}\nOverSignHeaders From,To,Subject\n`,
        Object.values(MESSAGES),
      );
      for (const [i, [name, message]] of Object.entries(MESSAGES).entries()) {
        const value = signatures[i]!.replaceAll(/\r?\n/g, '\r\n');
        const outcome = await verifyMessage(`DKIM-Signature: ${value}\r\n${message}`, keys, {
          domain: DOMAIN,
          nowSeconds,
        });
        t.equal(outcome, 'pass', `${selector}, ${form}: ${name}`);
      }
    }
  }
});

t.test('what was changed on the way is judged alike', async (t) => {
  const original = signed(MESSAGES.folded!, { selector: 'rsa', key: RSA.privateKey }, DOMAIN, nowSeconds);
  const changes: Readonly<Record<string, string>> = {
    'a word in the body': original.replace('text', 'Text'),
    'a line at the end': `${original}more\r\n`,
    'blank lines at the end': `${original}\r\n \r\n`,
    'blanks in the body': original.replace('text', 'text \t'),
    'another From': original.replace('Carol', 'Eve'),
    'a folded line unfolded': original.replace(',\r\n\t', ', '),
    'names in capitals': original.replace('References:', 'REFERENCES:'),
    'a second Subject': original.replace('To:', 'Subject: x\r\nTo:'),
    'a Subject, over-signed': original.replace('To:', 'Subject: y\r\nTo:'),
    'a field nobody signs': original.replace('To:', 'X-Way: x\r\nTo:'),
    'another hash': original.replace(/bh=./, (tag) => (tag === 'bh=A' ? 'bh=B' : 'bh=A')),
  };
  const theirs = await verifiesThere(Object.values(changes));
  for (const [i, [name, message]] of Object.entries(changes).entries()) {
    const ours = await verifyMessage(message, keys, { domain: DOMAIN, nowSeconds });
    t.equal(ours === 'pass', theirs[i] === 'pass', `${name}: ${ours}, ${theirs[i]}`);
  }
});
