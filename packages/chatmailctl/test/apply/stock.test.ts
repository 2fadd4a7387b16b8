import t from 'tap';
import { isStock, md5, parseDpkgConffiles, parseUcfHashes, settingsOf } from '../../src/apply/stock.ts';

/** What Debian 12 ships and what its package makes of it on a machine named relay. */
const TEMPLATE = `# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
`;
const TLS = `smtpd_tls_security_level=may
smtp_tls_session_cache_database = btree:\${data_directory}/smtp_scache
`;
const MADE = `${TEMPLATE}${TLS}
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = relay
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
mydestination = $myhostname, localdomain, localhost, localhost.localdomain, localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
`;

const knowledge = {
  checksums: new Map([['/etc/dovecot/dovecot.conf', new Set([md5('protocols = imap\n')])]]),
  mainCf: [TEMPLATE, TLS],
};

t.test('what packages made may go, what people wrote may not', async (t) => {
  const rows: [path: string, text: string, stock: boolean, why: string][] = [
    ['/etc/dovecot/dovecot.conf', 'protocols = imap\n', true, 'a conffile as shipped'],
    ['/etc/dovecot/dovecot.conf', 'protocols = imap pop3\n', false, 'a conffile that was changed'],
    ['/etc/dovecot/conf.d/10-auth.conf', 'protocols = imap\n', false, 'the text of another conffile'],
    ['/etc/postfix/main.cf', MADE, true, 'as the package makes it'],
    [
      '/etc/postfix/main.cf',
      MADE.replace('smtpd_tls_security_level=may', 'smtpd_tls_security_level = may'),
      true,
      'other spaces',
    ],
    [
      '/etc/postfix/main.cf',
      MADE.replace('relayhost =', 'relayhost = smarthost.example.org'),
      false,
      'mail goes elsewhere',
    ],
    ['/etc/postfix/main.cf', `${MADE}virtual_alias_maps = hash:/etc/postfix/virtual\n`, false, 'a setting of somebody'],
    ['/etc/postfix/main.cf', MADE.replace('level=may', 'level=encrypt'), false, 'another value'],
    ['/etc/postfix/main.cf', MADE.replace('relayhost =', 'relayhost =\n  smarthost'), false, 'on a continuation line'],
    ['/etc/postfix/main.cf', '', true, 'nothing'],
    ['/etc/postfix/master.cf', 'smtp inet n - y - - smtpd\n', false, 'a master.cf of somebody'],
    ['/etc/nginx/conf.d/chatmail.conf', MADE, false, 'not Postfix'],
  ];
  for (const [path, text, stock, why] of rows) t.equal(isStock(path, text, knowledge), stock, why);
});

t.test('what dpkg and ucf remember', async (t) => {
  const sum = '0123456789abcdef0123456789abcdef';
  t.same(parseUcfHashes(`${sum}  /etc/a\nnonsense\n`), [['/etc/a', sum]]);
  t.same(parseDpkgConffiles(`Package: x\nConffiles:\n /etc/a ${sum}\n /etc/b ${sum} obsolete\nStatus: ok\n`), [
    ['/etc/a', sum],
  ]);
});

t.test('settings of main.cf', async (t) => {
  t.same(settingsOf('# c\na = 1\n  2\n\nb=\n # c\nc\n'), [
    ['a', '1 2'],
    ['b', ''],
    ['c', ''],
  ]);
});
