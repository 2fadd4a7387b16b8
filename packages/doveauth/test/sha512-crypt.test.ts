import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { formatSalt, hashPassword, SALT_BYTES, UnknownHashError, verifyPassword } from '../src/sha512-crypt.ts';

/** What openssl makes of a password, which it takes as a line of at most 256 bytes. */
function opensslHash(password: Buffer, salt: string): string {
  const input = Buffer.concat([password, Buffer.from('\n')]);
  return execFileSync('openssl', ['passwd', '-6', '-salt', salt, '-stdin'], { input }).toString().trim();
}

t.test('the vector of the specification', async (t) => {
  t.equal(
    hashPassword(Buffer.from('Hello world!'), 'saltstring'),
    '{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
  );
});

t.test('openssl passwd -6 agrees', async (t) => {
  const lengths = [1, 2, 8, 9, 15, 16, 17, 22, 23, 31, 32, 33, 63, 64, 65, 111, 112, 127, 128, 129, 255, 256];
  const passwords = lengths.map((length) => Buffer.alloc(length, 'correct horse battery staple '));
  passwords.push(
    Buffer.from('p\u00e4ssw\u00f6rd-\u20ac'),
    Buffer.from('fffefd8041', 'hex'),
    Buffer.from('a"b\\c\'d$6$'),
  );
  for (const [index, password] of passwords.entries()) {
    const salt = formatSalt(randomBytes(1 + (index % SALT_BYTES)));
    t.equal(hashPassword(password, salt), `{SHA512-CRYPT}${opensslHash(password, salt)}`, `${password.length} bytes`);
  }
});

t.test('crypt(3) agrees up to the longest password it takes', async (t) => {
  const script = 'my ($l, $s) = @ARGV; print crypt("x" x $l, "\\$6\\$$s")';
  for (const length of [257, 400, 511]) {
    const expected = execFileSync('perl', ['-e', script, String(length), 'abcdefgh']).toString();
    t.equal(hashPassword(Buffer.alloc(length, 'x'), 'abcdefgh'), `{SHA512-CRYPT}${expected}`, `${length} bytes`);
  }
});

t.test('verification', async (t) => {
  const password = Buffer.alloc(900, 'long ');
  const stored = hashPassword(password, 'abcdefghijklmnop');
  const digest = stored.slice(-86);
  t.equal(verifyPassword(password, stored), true, 'its own hash');
  t.equal(verifyPassword(password.subarray(1), stored), false, 'another password');
  const rows: [stored: string, reason: string][] = [
    [`{SHA512-CRYPT}$6$rounds=999999999$abc$${digest}`, 'a number of rounds is not ours to obey'],
    [stored.replace('{SHA512-CRYPT}', ''), 'no scheme'],
    ['{PLAIN}long', 'another scheme'],
    [stored.slice(0, -1), 'cut short'],
    [`${stored}x`, 'longer than a hash'],
    ['', 'a blocked account'],
  ];
  for (const [hash, reason] of rows) t.throws(() => verifyPassword(password, hash), UnknownHashError, reason);
});

t.test('salts', async (t) => {
  t.equal(formatSalt(Uint8Array.of(0, 1, 63, 64, 255)), './z.z', 'six bits of each byte');
  t.match(formatSalt(randomBytes(SALT_BYTES)), /^[./0-9A-Za-z]{16}$/);
});
