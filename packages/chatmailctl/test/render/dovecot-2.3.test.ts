/** What Dovecot's configuration must say; that Dovecot agrees is tested with the real one (test/integration). */

import t from 'tap';
import { renderDovecot23 } from '../../src/render/dovecot-2.3.ts';
import { INSTALLED } from '../layouts.ts';

t.test('dovecot.conf', async (t) => {
  const text = renderDovecot23(INSTALLED)['/etc/dovecot/dovecot.conf']!;
  const rows: [line: string, reason: string][] = [
    ['ssl = required', 'no password in clear'],
    ['ssl_min_protocol = TLSv1.3', 'all clients have it'],
    ['mail_attribute_dict = proxy:/run/chatmail-metadata/metadata.socket:metadata', 'METADATA is ours'],
    ['  last_login_dict = proxy:/run/chatmail-lastlogin/lastlogin.socket:lastlogin', 'so are last logins'],
    ['imap_capability = +XDELTAPUSH XCHATMAIL', 'clients take it for a chatmail relay'],
    ['mail_location = maildir:/home/vmail/mail/chat.example.org/%u', 'the layout of existing relays'],
    ['  quota_rule = *:storage=524288000B', 'bytes, not the kilobytes of a bare number'],
    ['lmtp_add_received_header = no', 'delivery leaves no trace'],
    ['listen = *, ::', 'all addresses of the host'],
    ['    port = 993', 'IMAP over TLS'],
    ['imap_hibernate_timeout = 1s', 'the shortest Dovecot has: hibernated sessions hear of mail at once'],
    ['  extra_groups = $default_internal_group', 'imap may hand sessions to imap-hibernate'],
    ['auth_cache_size = 0', 'a cached refusal would outlive the creation of the account'],
    ['mail_plugins = quota zlib', 'mail is stored compressed'],
    ['  zlib_save = gz', 'as existing relays have it'],
    ['mail_fsync = optimized', 'on the disk before Postfix forgets it'],
    [
      '  quota_warning = storage=75%% quota-warning 350 /home/vmail/mail/chat.example.org/%u',
      'at 75 %, down to 70 % of 500 MiB',
    ],
    ['  executable = script /usr/lib/chatmail-sidecars/bin/chatmail-quota-expire', 'by our program'],
    ['  vsz_limit = 0', 'Node reserves more address space than Dovecot grants'],
  ];
  for (const [line, reason] of rows) t.ok(text.split('\n').includes(line), `${line}: ${reason}`);
  t.match(text, /auth_username_chars = \S*\.-_@\[\]\n/, 'address literals can log in');
  t.match(text, /inet_listener imap \{\n {4}port = 0\n/, 'no IMAP without TLS');
  t.match(
    text,
    /unix_listener anvil-auth-penalty \{\n {4}mode = 0\n/,
    'one wrong password does not slow all others down',
  );
  t.notMatch(text, /undefined|NaN|mail_server_admin|imap_zlib|rawlog/, 'nothing that was not asked for');
  t.equal(text.split('{').length, text.split('}').length, 'every block is closed');
});

t.test('listening', async (t) => {
  const listen = (layout: typeof INSTALLED) =>
    /^listen = (.*)$/m.exec(renderDovecot23(layout)['/etc/dovecot/dovecot.conf']!)?.[1];
  t.equal(listen({ ...INSTALLED, ipv4Only: true }), '*', 'IPv4 only');
  t.equal(listen({ ...INSTALLED, listenAddress: '127.0.0.1' }), '127.0.0.1', 'one address');
});

t.test('what chatmail.ini switches on', async (t) => {
  const layout = { ...INSTALLED, contact: 'operator@example.org', imap: { compress: true, rawlog: true } };
  const lines = renderDovecot23(layout)['/etc/dovecot/dovecot.conf']!.split('\n');
  t.ok(lines.includes('mail_server_admin = mailto:operator@example.org'));
  t.ok(lines.includes('  mail_plugins = $mail_plugins imap_quota last_login imap_zlib'), 'COMPRESS');
  t.ok(lines.includes('  rawlog_dir = %h'), 'sessions are recorded in the mailbox directory');
});

t.test('limits grow with the connections', async (t) => {
  const text = renderDovecot23(INSTALLED)['/etc/dovecot/dovecot.conf']!;
  const limit = (service: string) =>
    Number(
      new RegExp(`^service ${service} \\{\\n(?: {2}#.*\\n| {2}service_count.*\\n)*  client_limit = (\\d+)`, 'm').exec(
        text,
      )?.[1],
    );
  t.equal(limit('imap-hibernate'), 10_000);
  t.ok(limit('stats') > 10_000, 'every imap process has a connection to stats, which stops logins when it is full');
  t.ok(limit('anvil') > 10_000, 'and to anvil');
  t.ok(limit('auth') > 10_000 + 3 * 1000, 'all logins of IMAP and of the three SMTP services');
});

t.test('the other files', async (t) => {
  const files = renderDovecot23(INSTALLED);
  t.match(files['/etc/dovecot/auth-dict.conf'], /^uri = proxy:\/run\/doveauth\/doveauth\.socket:auth$/m);
  t.match(
    files['/etc/dovecot/auth-dict.conf'],
    /^password_key = passdb\/%Ew"%Eu$/m,
    'the quote between is the only bare one',
  );
  const hook = files['/etc/dovecot/push_notification.lua']!;
  t.match(hook, /entry = "messagenew"\n.*from_address then\n\s*entry = "messagewake"/, 'own messages push nothing');
  t.match(hook, /metadata_set\("\/private\/" \.\. entry, ""\)/);
});
