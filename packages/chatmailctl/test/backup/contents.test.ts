import t from 'tap';
import { itemOf, parseManifest, parseTokenLine } from '../../src/backup/contents.ts';
import { ArchiveError } from '../../src/backup/tar.ts';

const entry = (path: string, type: 'file' | 'directory' = 'file', size = 1) => ({
  path,
  type,
  size,
  mode: 0,
  mtime: 0,
});
const ID = '0123456789abcdef';

t.test('what a backup holds', async (t) => {
  const rows: [path: string, kind: string, type?: 'directory'][] = [
    ['chatmail.ini', 'config'],
    ['dkim.private', 'dkim'],
    ['tls/self-signed.key', 'tls-key'],
    [`invitations/${ID}.json`, 'invitation'],
    [`invitations/handed-out/${ID.repeat(4)}`, 'invitation'],
    ['accounts/a@x.org', 'account', 'directory'],
    ['accounts/a@[1.2.3.4]/password', 'account-file'],
    ['accounts/a@x.org/cur', 'account-directory', 'directory'],
    ['accounts/a@x.org/.DeltaChat/cur/1700.M1P2.host,S=3,W=4:2,S', 'account-file'],
    ['accounts/a@x.org/dovecot-uidlist', 'account-file'],
    ['device-tokens.jsonl', 'device-tokens'],
    ['manifest.json', 'manifest'],
  ];
  for (const [path, kind, type] of rows) t.equal(itemOf(entry(path, type)).kind, kind, path);
});

t.test('and nothing else', async (t) => {
  const rows: [path: string, reason: string, type?: 'directory'][] = [
    ['/etc/passwd', 'an absolute path'],
    ['../chatmail.ini', 'up'],
    ['accounts/../chatmail.ini', 'up'],
    ['accounts/a@x.org/../b@x.org/password', 'into another account'],
    ['accounts/a@x.org/./password', 'a dot'],
    ['accounts/a@x.org//password', 'an empty name'],
    ['accounts/a@x.org/cur/..', 'up at the end'],
    ['accounts/A@x.org/password', 'an address as nobody writes it'],
    ['accounts/.doveauth/password', 'no address'],
    ['accounts/a@x.org', 'a file for an account'],
    ['accounts', 'the directory itself', 'directory'],
    ['accounts/a@x.org/cur/1/2/3', 'deeper than a maildir'],
    [`accounts/a@x.org/${'x'.repeat(256)}`, 'a name no file system takes'],
    ['accounts/a@x.org/cur/a\0b', 'a NUL'],
    ['accounts/a@x.org/dovecot.index', 'a binary file that Dovecot would believe'],
    ['accounts/a@x.org/metadata.json', 'tokens that nobody has checked'],
    ['chatmail.ini', 'a directory for a file', 'directory'],
    ['invitations/../../x.json', 'up from the invitations'],
    [`invitations/${ID}.exe`, 'something else'],
    ['__proto__', 'a name every object has'],
    ['', 'no name'],
  ];
  for (const [path, reason, type] of rows) t.throws(() => itemOf(entry(path, type)), ArchiveError, reason);
  t.throws(() => itemOf(entry('accounts/a@x.org/password', 'file', 5000)), ArchiveError, 'a large password');
  t.throws(() => itemOf(entry('chatmail.ini', 'file', 2_000_000)), ArchiveError, 'a large configuration');
});

t.test('the small texts', async (t) => {
  t.equal(parseManifest('{"format":1,"accounts":3}').accounts, 3);
  for (const text of ['', '[]', 'null', '{"format":2}', '{"format":"1"}'])
    t.throws(() => parseManifest(text), ArchiveError);
  t.same(parseTokenLine('{"account":"a@x.org","tokens":["openpgp:a"]}'), { account: 'a@x.org', tokens: ['openpgp:a'] });
  const broken = ['', 'null', '{}', '{"account":"a","tokens":[]}', '{"account":"a@x.org","tokens":"x"}'];
  for (const line of [
    ...broken,
    '{"account":"a@x.org","tokens":["a b"]}',
    '{"account":"a@x.org","tokens":["a\\nC"]}',
  ]) {
    t.throws(() => parseTokenLine(line), ArchiveError, line);
  }
});
