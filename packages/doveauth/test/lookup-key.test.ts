import fc from 'fast-check';
import t from 'tap';
import { parseLastLoginKey, parseLookupKey } from '../src/lookup-key.ts';

type Row = [key: string, expected: unknown, reason: string];

t.test('keys as Dovecot sends them', async (t) => {
  const passdb = (password: string, user: string) => ({
    kind: 'passdb',
    user,
    password: Buffer.from(password, 'latin1'),
  });
  const malformed = (isPassdb: boolean) => ({ kind: 'malformed', isPassdb });
  const rows: Row[] = [
    ['shared/passdb/secret12"q1@x.org', passdb('secret12', 'q1@x.org'), 'the plain case'],
    ['shared/passdb/a\\"b\\\\c\\\'d"q1@x.org', passdb('a"b\\c\'d', 'q1@x.org'), 'captured from Dovecot 2.3.19'],
    [
      'shared/passdb/p\xc3\xa4"q5@[127.0.0.1]',
      passdb('p\xc3\xa4', 'q5@[127.0.0.1]'),
      'UTF-8 stays bytes, brackets pass',
    ],
    ['shared/passdb/\xff\xfe/"u@x', passdb('\xff\xfe/', 'u@x'), 'invalid UTF-8 and a slash'],
    ['shared/passdb/"q10@x.org', passdb('', 'q10@x.org'), 'an empty password'],
    ['shared/passdb/pw"', passdb('pw', ''), 'an empty user'],
    ['shared/passdb/pw"a\\"b', passdb('pw', 'a"b'), 'a quote in the name is escaped too'],
    ['shared/passdb/pw"a"b', malformed(true), 'a second bare quote: somebody left out %E'],
    ['shared/passdb/pw', malformed(true), 'no quote'],
    ['shared/passdb/pw\\"u@x', malformed(true), 'only an escaped quote'],
    ['shared/passdb/', malformed(true), 'nothing'],
    ['shared/userdb/q1@x.org', { kind: 'userdb', user: 'q1@x.org' }, 'the plain case'],
    ['shared/userdb/a\\\\b', { kind: 'userdb', user: 'a\\b' }, 'escaped name'],
    ['shared/userdb/a\\', { kind: 'userdb', user: 'a\\' }, 'a lone backslash at the end stays'],
    ['shared/userdb/a"b', malformed(false), 'a bare quote'],
    ['shared/userdb', malformed(false), 'a prefix cut short'],
    ['priv/x/devicetoken', malformed(false), 'the key of another dict'],
    ['', malformed(false), 'empty'],
  ];
  for (const [key, expected, reason] of rows) t.same(parseLookupKey(Buffer.from(key, 'latin1')), expected, reason);
});

t.test('last-login keys', async (t) => {
  const rows: Row[] = [
    ['shared/last-login/q1@x.org', 'q1@x.org', 'the plain case'],
    ['shared/last-login/', '', 'no name'],
    ['shared/userdb/q1@x.org', undefined, 'another key'],
  ];
  for (const [key, expected, reason] of rows) t.equal(parseLastLoginKey(Buffer.from(key)), expected, reason);
});

t.test('what %E escapes comes back, byte for byte', async (t) => {
  const escapeByte = (byte: number) => ([0x22, 0x27, 0x5c].includes(byte) ? [0x5c, byte] : [byte]);
  const escapeAll = (bytes: Uint8Array) => Buffer.from([...bytes].flatMap(escapeByte));
  const bytes = fc.uint8Array({ maxLength: 40 });
  const property = fc.property(bytes, bytes, (password, user) => {
    const key = Buffer.concat([Buffer.from('shared/passdb/'), escapeAll(password), Buffer.from('"'), escapeAll(user)]);
    const parsed = parseLookupKey(key);
    return (
      parsed.kind === 'passdb' &&
      parsed.password.equals(password) &&
      parsed.user === Buffer.from(user).toString('latin1')
    );
  });
  t.doesNotThrow(() => fc.assert(property));
});

t.test('no key throws', async (t) => {
  const property = fc.property(
    fc.constantFrom('', 'shared/passdb/', 'shared/userdb/'),
    fc.uint8Array({ maxLength: 80 }),
    (prefix, rest) =>
      ['passdb', 'userdb', 'malformed'].includes(parseLookupKey(Buffer.concat([Buffer.from(prefix), rest])).kind),
  );
  t.doesNotThrow(() => fc.assert(property));
});
