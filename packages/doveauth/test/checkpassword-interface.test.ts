import fc from 'fast-check';
import t from 'tap';
import type { ClientLookupReply } from '#dovecot-dict/client';
import {
  formatReply,
  formatReplyEnvironment,
  parseAccount,
  parseCheckpasswordArguments,
  parseCredentials,
  parsePamPassword,
} from '../src/checkpassword-interface.ts';
import { formatPassdbKey, formatUserdbKey, parseLookupKey } from '../src/lookup-key.ts';

t.test('arguments', async (t) => {
  const socket = '/run/doveauth/doveauth.socket';
  const rows: [words: string[], expected: object | undefined, reason: string][] = [
    [['/reply'], { socket, isPam: false, program: ['/reply'] }, 'a program'],
    [['qmail-pop3d', '-x', '--pam'], { socket, isPam: false, program: ['qmail-pop3d', '-x', '--pam'] }, 'its options'],
    [['--socket', 'unix:/s', 'p'], { socket: '/s', isPam: false, program: ['p'] }, 'a socket'],
    [['--socket', '/s', '--pam'], { socket: '/s', isPam: true, program: [] }, 'pam_exec'],
    [[], undefined, 'no program'],
    [['--socket'], undefined, 'no socket'],
    [['--socket', 'relative', 'p'], undefined, 'no path'],
    [['--pam', 'p'], undefined, 'pam_exec has no program'],
    [['--help'], undefined, 'no such option'],
  ];
  for (const [words, expected, reason] of rows) t.same(parseCheckpasswordArguments(words), expected, reason);
});

t.test('credentials', async (t) => {
  const rows: [bytes: string, user: string | undefined, password: string, reason: string][] = [
    ['user\0pass\0\0', 'user', 'pass', 'as Dovecot writes them'],
    ['user\0pass\x001700000000\0', 'user', 'pass', 'with a time stamp'],
    ['user\0\xff\0', 'user', '\xff', 'bytes, and no time stamp'],
    ['user\0\0\0', 'user', '', 'a look-up'],
    ['user\0pass', undefined, '', 'cut off'],
    ['', undefined, '', 'nothing'],
    [`user\0${'x'.repeat(600)}\0\0`, undefined, '', 'over 512 bytes'],
  ];
  for (const [bytes, user, password, reason] of rows) {
    const parsed = parseCredentials(Buffer.from(bytes, 'latin1'));
    t.equal(parsed?.user, user, reason);
    if (parsed) t.equal(parsed.password.toString('latin1'), password, reason);
  }
});

t.test('passwords from pam_exec', async (t) => {
  const rows: [bytes: string, password: string | undefined, reason: string][] = [
    ['pass\xff', 'pass\xff', 'bytes'],
    ['pass\0', 'pass', 'with the NUL some versions add'],
    ['', '', 'none'],
    ['x'.repeat(510), 'x'.repeat(510), 'the longest that is surely whole'],
    [`${'x'.repeat(510)}\0`, 'x'.repeat(510), 'the same with a NUL'],
    ['x'.repeat(511), undefined, 'perhaps cut off by pam_exec'],
    ['x'.repeat(513), undefined, 'certainly not all of it'],
  ];
  for (const [bytes, password, reason] of rows) {
    t.equal(parsePamPassword(Buffer.from(bytes, 'latin1'))?.toString('latin1'), password, reason);
  }
});

t.test('what a program before checkpassword-reply is told', async (t) => {
  const account = { user: 'a@x.org', home: '/mail/a@x.org', uid: 5000, gid: 5001 };
  const told = { USER: 'a@x.org', HOME: '/mail/a@x.org', userdb_uid: '5000', userdb_gid: '5001' };
  const inherited = { ORIG_UID: '101', USER: 'dovecot' };
  t.same(
    formatReplyEnvironment(inherited, account, false),
    { ORIG_UID: '101', ...told, EXTRA: 'userdb_uid userdb_gid' },
    'a login: AUTHORIZED stays absent',
  );
  t.same(
    formatReplyEnvironment({ ...inherited, AUTHORIZED: '1', EXTRA: 'quota' }, account, true),
    { ORIG_UID: '101', AUTHORIZED: '2', ...told, EXTRA: 'userdb_uid userdb_gid quota' },
    'a look-up',
  );
});

t.test('replies', async (t) => {
  const found = (text: string): ClientLookupReply => ({ kind: 'found', values: [Buffer.from(text)] });
  const account = { user: 'a@x.org', home: '/mail/a@x.org', uid: 5000, gid: 5001 };
  t.same(parseAccount('a@x.org', found('{"home":"/mail/a@x.org","uid":"5000","gid":"5001"}')), account);
  t.equal(parseAccount('a@x.org', found('{}')), undefined);
  t.equal(parseAccount('a@x.org', { kind: 'notFound' }), undefined);
  t.equal(parseAccount('a@x.org', undefined), undefined);
  t.throws(() => parseAccount('a@x.org', found('')), 'trouble of doveauth');
  t.equal(
    String(formatReply({ ...account, home: '/m\t\n\0/a' })),
    'user=a@x.org\tuserdb_home=/m\x01t\x01n\x010/a\tuserdb_uid=5000\tuserdb_gid=5001\t',
    'no byte that would end the line',
  );
});

t.test('the keys asked for are those the server reads', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ maxLength: 50 }), (name, bytes) => {
        const user = Buffer.from(name).toString('latin1');
        const passdb = parseLookupKey(formatPassdbKey(user, Buffer.from(bytes)));
        const userdb = parseLookupKey(formatUserdbKey(user));
        return (
          passdb.kind === 'passdb' &&
          passdb.user === user &&
          passdb.password.equals(bytes) &&
          userdb.kind === 'userdb' &&
          userdb.user === user
        );
      }),
    ),
  );
});
