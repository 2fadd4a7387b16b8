import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ConfigError, differingKeys, formatConfigManual, formatSampleConfig, parseConfig } from '#core';

const params = (...lines: string[]) => ['[params]', 'mail_domain = example.org', ...lines].join('\n');

t.test('defaults are those of existing relays', async (t) => {
  const config = parseConfig('[params]\nmail_domain = Chat.Example.org\n');
  t.equal(config.mail_domain, 'chat.example.org');
  t.equal(config.addressDomain, 'chat.example.org');
  t.equal(config.isIpRelay, false);
  t.equal(config.mailboxes_dir, '/home/vmail/mail/chat.example.org');
  t.equal(config.iroh_relay, '', 'but for this: whether an iroh relay runs there is not known');
  t.equal(config.max_mailbox_size, 500 * 1024 * 1024);
  t.equal(config.max_message_size, 31_457_280);
  t.equal(config.min_free_disk_space, 1024 ** 3);
  t.equal(config.delete_mails_after, 20);
  t.equal(config.username_min_length, 9);
  t.equal(config.registration, 'open');
  t.same(config.warnings, []);
  t.ok(Object.isFrozen(config));
});

t.test('an IPv4 address makes an IP relay', async (t) => {
  for (const text of ['203.0.113.7', '[203.0.113.7]']) {
    const config = parseConfig(`[params]\nmail_domain = ${text}\n`);
    t.equal(config.mail_domain, '203.0.113.7');
    t.equal(config.addressDomain, '[203.0.113.7]');
    t.equal(config.isIpRelay, true);
    t.equal(config.mailboxes_dir, '/home/vmail/mail/[203.0.113.7]');
  }
});

t.test('the file format', async (t) => {
  const config = parseConfig(
    '\uFEFF# comment\r\n[params]\r\nmail_domain: example.org\r\n; another\nprivacy_postal =\n  Street #5\n\n# in between\n\tCity; Country\n' +
      'privacy_mail = a=b:c\nmax_mailbox_size=2 GiB\ndns_servers = 192.0.2.1, 192.0.2.2:53\ndisable_ipv6 = True\nmax_load_1m = 2.5\n',
  );
  t.equal(
    config.privacy_postal,
    'Street #5\nCity; Country',
    'continuation lines, also after others; # belongs to the value',
  );
  t.equal(config.privacy_mail, 'a=b:c', 'only the first separator counts');
  t.equal(config.max_mailbox_size, 2 * 1024 ** 3);
  t.same(config.dns_servers, ['192.0.2.1', '192.0.2.2:53']);
  t.equal(config.disable_ipv6, true);
  t.equal(config.max_load_1m, 2.5);
});

t.test('warnings', async (t) => {
  const { warnings } = parseConfig(
    `${params('max_mailbox_sise = 1G', 'filtermail_smtp_port = 10080', 'zzzzzzzzzzzz = 1')}\n[other]\n`,
    'f.ini',
  );
  t.match(warnings, [
    /\[other\]/,
    /^f\.ini:3: unknown key 'max_mailbox_sise' .*'max_mailbox_size'/,
    /^f\.ini:4: key 'filtermail_smtp_port' has no effect/,
    /^f\.ini:5: unknown key 'zzzzzzzzzzzz' is ignored$/,
  ]);
});

t.test('errors name the file, the line and the key', async (t) => {
  const rows: [text: string, line: number | undefined, key: string | undefined, why: string][] = [
    ['', undefined, undefined, 'no section'],
    ['mail_domain = example.org', 1, undefined, 'an entry before the section'],
    ['[params]', undefined, 'mail_domain', 'the required key'],
    ['[params', 1, undefined, 'no section header'],
    ['[params]\nnonsense', 2, undefined, 'no entry'],
    ['[params]\nmail_domain = exa mple.org', 2, 'mail_domain', 'no domain'],
    ['[params]\nmail_domain = 1.2.3.400', 2, 'mail_domain', 'neither name nor address'],
    [params('mail_domain = example.net'), 3, 'mail_domain', 'given twice'],
    [params('max_mailbox_size = lots'), 3, 'max_mailbox_size', 'no size'],
    [params('max_mailbox_size = -1'), 3, 'max_mailbox_size', 'negative size'],
    [params('max_mailbox_size = 0'), 3, 'max_mailbox_size', '0 would delete all mail, it does not mean no limit'],
    [params('max_mailbox_size = 500'), 3, 'max_mailbox_size', 'a forgotten M'],
    [params('max_mailbox_size = 31457279'), 3, 'max_mailbox_size', 'a message of the allowed size would not fit'],
    [params('max_message_size = 600M'), undefined, 'max_mailbox_size', 'nor would it here'],
    [params('max_message_size = 0'), 3, 'max_message_size', 'no message could be sent'],
    [params('delete_mails_after = 0'), 3, 'delete_mails_after', 'zero days would delete everything'],
    [params('delete_mails_after = 20 # days'), 3, 'delete_mails_after', 'comments stand on their own line'],
    [params('disable_ipv6 = maybe'), 3, 'disable_ipv6', 'no boolean'],
    [params('registration = ajar'), 3, 'registration', 'no choice'],
    [params('push_gateway_url = ftp://x'), 3, 'push_gateway_url', 'no web URL'],
    [params('state_dir = var/lib'), 3, 'state_dir', 'relative path'],
    [params('state_dir ='), 3, 'state_dir', 'empty path'],
    [params('username_min_length = 10'), 3, 'username_min_length', 'above the maximum'],
    [params('username_max_length = 65'), 3, 'username_max_length', 'longer than SMTP allows'],
    [params('username_min_length = 0'), 3, 'username_min_length', 'an empty name'],
    [params('acme_directory_url ='), 3, 'acme_directory_url', 'no authority and no certificate'],
    [params('max_smtp_connections = 0'), 3, 'max_smtp_connections', 'nobody at all'],
    [params('max_imap_connections = 0'), 3, 'max_imap_connections', 'nobody at all'],
    [params('password_min_length = 0'), 3, 'password_min_length', 'an empty password'],
    [params('max_user_send_per_minute = 0'), 3, 'max_user_send_per_minute', 'nobody could send'],
    [params('new_accounts_per_minute = 0'), 3, 'new_accounts_per_minute', 'a page that refuses everybody'],
    [params('tls_external_cert_and_key = /only/one'), 3, 'tls_external_cert_and_key', 'one path'],
    [params('expire_max_accounts_percent = 101'), 3, 'expire_max_accounts_percent', 'over a hundred'],
  ];
  for (const [text, line, key, why] of rows) {
    try {
      parseConfig(text, 'f.ini');
      t.fail(why);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      t.equal(error.exitCode, 78, why);
      t.equal(error.location.file, 'f.ini', why);
      t.equal(error.location.line, line, why);
      t.equal(error.location.key, key, why);
    }
  }
});

t.test('no text makes the reader throw anything but a ConfigError', async (t) => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom('[params]', 'mail_domain = example.org', ' continued', '#', '=', '__proto__ = 1'),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parseConfig(lines.join('\n'));
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
        }
      }),
      { numRuns: 1000 },
    ),
  );
});

t.test('the sample file is a valid configuration of defaults', async (t) => {
  for (const domain of ['example.org', '203.0.113.7']) {
    const sample = formatSampleConfig(domain);
    const { warnings, ...values } = parseConfig(sample);
    const { warnings: none, ...defaults } = parseConfig(`[params]\nmail_domain = ${domain}`);
    t.same(values, defaults);
    t.same([...warnings, ...none], []);
    const { warnings: uncommented, ...same } = parseConfig(sample.replace(/^#(\w+ =)/gm, '$1'));
    t.same(same, defaults, 'the values shown are the defaults');
    t.same(uncommented, []);
  }
});

t.test('keys that differ, by meaning', async (t) => {
  const differ = (one: string[], other: string[]) =>
    differingKeys(parseConfig(params(...one)), parseConfig(params(...other)));
  t.same(differ(['max_mailbox_size = 512000K', 'mtail_address = x'], []), [], 'the default, and a key without effect');
  t.same(differ(['delete_mails_after = 100', 'dns_servers = 127.0.0.1'], []), ['delete_mails_after', 'dns_servers']);
});

t.test('the manual page is the one the table gives', async (t) => {
  const manual = join(import.meta.dirname, '../../../man/chatmail.ini.5');
  t.equal(readFileSync(manual, 'utf8'), formatConfigManual(), "run 'npm run manual' to write it again");
});
