/** All files of a relay: which there are for which host, that ours are known as ours, and that the same input gives the same. */

import t from 'tap';
import { parseConfig } from '#core';
import { HEADER, type HostFacts, type RenderedFile } from '../../src/layout.ts';
import { renderRelay } from '../../src/render/relay.ts';
import { SMALL_MACHINE_BYTES } from '../../src/render/systemd.ts';
import { FACTS } from '../layouts.ts';

const NAMED = 'mail_domain = chat.example.org\n';
const DEBIAN_13: HostFacts = {
  ...FACTS,
  debian: 13,
  dovecot: '2.4',
  dovecotVersion: '2.4.1-4',
  postfixVersion: '3.10.13',
};

function render(ini = NAMED, facts = FACTS): RenderedFile[] {
  return renderRelay(parseConfig(`[params]\n${ini}`), facts);
}

function textOf(path: string, ini = NAMED, facts = FACTS): string | undefined {
  return render(ini, facts).find((file) => file.path === path)?.text;
}

const dropIn = (unit: string) => `/etc/systemd/system/${unit}.d/50-chatmail.conf`;

t.test('every file', async (t) => {
  for (const facts of [FACTS, DEBIAN_13]) {
    for (const ini of [
      NAMED,
      'mail_domain = 203.0.113.7\n',
      'mail_domain = _chat.example.org\nwww_folder = /srv/www\n',
    ]) {
      const files = render(ini, facts);
      const paths = files.map(({ path }) => path);
      t.same(paths, [...new Set(paths)].sort(), 'once, in order');
      for (const { path, text, mode } of files) {
        t.match(path, /^\/(?:etc|var\/lib\/chatmail)\//);
        t.ok(text.split('\n').slice(0, 2).join().includes(HEADER), `${path} says whose it is`);
        t.ok(text.endsWith('\n') && !/undefined|NaN|\[object/.test(text), path);
        t.equal(mode, 0o644, 'nothing in it is secret');
      }
      t.same(files, render(ini, facts), 'the same again');
    }
  }
});

t.test('what the host decides', async (t) => {
  const has = (path: string, facts: HostFacts) => textOf(path, NAMED, facts) !== undefined;
  t.ok(has('/etc/dovecot/auth-dict.conf', FACTS), 'Dovecot 2.3 asks a dict');
  t.notOk(has('/etc/dovecot/auth-dict.conf', DEBIAN_13), '2.4 a script');
  t.match(textOf('/etc/dovecot/dovecot.conf', NAMED, DEBIAN_13), /^dovecot_config_version = 2\.4\.0$/m);

  const bare = { ...FACTS, nginx: { installed: false, streamModule: false } };
  t.notOk(
    render(NAMED, bare).some(({ service }) => service === 'nginx' || service === 'web'),
    'no web server, no pages',
  );
  t.notMatch(textOf('/etc/postfix/master.cf', NAMED, bare), /8465/, 'and no port for one');
  t.equal(textOf(dropIn('doveauth-new.socket')), `# ${HEADER}\n[Socket]\nSocketUser=www-data\n`, 'opened to nginx');
  t.notOk(has(dropIn('doveauth-new.socket'), bare), 'the socket is not opened to it');
  for (const facts of [FACTS, DEBIAN_13, bare])
    t.notOk(has(dropIn('doveauth-http.socket'), facts), 'hashes are for Dovecot only');
  const shared = { ...FACTS, nginx: { installed: true, streamModule: true, port443Taken: true } };
  t.notOk(has('/etc/nginx/modules-enabled/90-chatmail.conf', shared), 'port 443 is left to those who have it');
  t.match(textOf('/etc/nginx/conf.d/chatmail.conf', NAMED, shared), /listen 443 ssl;/, 'and shared by name');
});

t.test('idle exit', async (t) => {
  const onMemory = (memoryBytes: number) => textOf(dropIn('doveauth.service'), NAMED, { ...FACTS, memoryBytes });
  t.equal(onMemory(SMALL_MACHINE_BYTES), undefined, 'not from 1.5 GiB on');
  t.match(
    onMemory(SMALL_MACHINE_BYTES - 1),
    /^ExecStart=\nExecStart=\/usr\/lib\/chatmail-sidecars\/bin\/doveauth --idle-exit 60\nRestart=on-failure$/m,
    'below; and ending is no reason to start again',
  );
});

t.test('the log names nobody', async (t) => {
  for (const [facts, unit, other] of [
    [FACTS, 'postfix@-.service', 'postfix.service'],
    [DEBIAN_13, 'postfix.service', 'postfix@-.service'],
  ] as const) {
    t.match(textOf(dropIn(unit), NAMED, facts), ' -s > >(exec ', `Debian ${facts.debian}: Postfix writes to a pipe`);
    t.notOk(textOf(dropIn(other), NAMED, facts), 'where its only instance runs');
    t.match(textOf(dropIn('dovecot.service'), NAMED, facts), 'dovecot.conf 2> >(exec ', 'so does Dovecot');
    t.match(textOf('/etc/dovecot/dovecot.conf', NAMED, facts), /^log_path = \/dev\/stderr\nlog_timestamp =$/m);
    const services = textOf('/etc/postfix/master.cf', NAMED, facts)!.match(
      /^\w.*\n {4}-o maillog_file=\/dev\/stdout$/gm,
    );
    t.equal(services?.length, textOf('/etc/postfix/master.cf', NAMED, facts)!.match(/^\w/gm)?.length, 'all of Postfix');
    t.notMatch(textOf('/etc/postfix/main.cf', NAMED, facts), 'maillog_file', 'but its commands, which are no unit');
    for (const server of ['postfix', 'dovecot']) t.ok(textOf(`/etc/${server}/chatmail-log.sed`, NAMED, facts));
  }
});

t.test('a server that was killed comes back', async (t) => {
  for (const unit of ['postfix@-.service', 'dovecot.service']) t.match(textOf(dropIn(unit)), /^Restart=always$/m, unit);
});

t.test('paths that chatmail.ini moves', async (t) => {
  const ini = `${NAMED}mailboxes_dir = /srv/my mail/100%\nstate_dir = /srv/state\ndkim_key = /etc/keys/dkim.pem\n`;
  for (const unit of ['doveauth.service', 'metadata-push.service', 'chatmail-expire.service']) {
    t.match(textOf(dropIn(unit), ini), 'ReadWritePaths="/srv/my mail/100%%"\n', unit);
  }
  t.match(textOf(dropIn('doveauth.service'), ini), 'ReadWritePaths=/srv/state\n', 'invitations');
  t.match(
    textOf(dropIn('filtermail.service'), ini),
    /^LoadCredential=\nLoadCredential=dkim_key:\/etc\/keys\/dkim\.pem$/m,
  );
  for (const unit of ['doveauth.service', 'metadata-push.service', 'chatmail-expire.service', 'filtermail.service']) {
    t.equal(textOf(dropIn(unit)), undefined, `${unit}: nothing to say at the default`);
  }
});

t.test('limits of the host', async (t) => {
  t.match(
    textOf('/etc/sysctl.d/60-chatmail.conf'),
    /^fs\.inotify\.max_user_instances = 14096$/m,
    'one for each session',
  );
  t.notMatch(textOf(dropIn('dovecot.service')), 'LimitNOFILE', "Debian's is enough for 10000 sessions");
  t.match(textOf(dropIn('dovecot.service'), `${NAMED}max_imap_connections = 50000\n`), /^LimitNOFILE=207096$/m);
});

t.test('IPv4 only, on every listener', async (t) => {
  const rows: [path: string, only: string, reason: string][] = [
    ['/etc/postfix/main.cf', 'inet_protocols = ipv4', 'in and out'],
    ['/etc/dovecot/dovecot.conf', 'listen = *', ''],
    ['/etc/nginx/conf.d/chatmail.conf', '  listen 80;', ''],
    ['/etc/nginx/modules-enabled/90-chatmail.conf', '    listen 443;', ''],
  ];
  for (const base of [FACTS, DEBIAN_13]) {
    for (const [ini, hasIpv6] of [
      ['disable_ipv6 = yes\n', true],
      ['', false],
    ] as const) {
      const texts = new Map(render(NAMED + ini, { ...base, hasIpv6 }).map(({ path, text }) => [path, text]));
      for (const [path, line, reason] of rows) {
        t.ok(texts.get(path)!.split('\n').includes(line), `${path} ${reason}`);
        t.notMatch(texts.get(path), /listen.*::/, path);
      }
    }
    t.match(textOf('/etc/dovecot/dovecot.conf', NAMED, base), /^listen = \*, ::$/m, 'both otherwise');
    t.match(textOf('/etc/postfix/main.cf', NAMED, base), /^inet_protocols = all$/m);
  }
});

t.test('the journal', async (t) => {
  const path = '/etc/systemd/journald.conf.d/60-chatmail.conf';
  t.match(textOf(path), /^MaxRetentionSec=3day$/m);
  t.equal(textOf(path, `${NAMED}journal_retention_days = 0\n`), undefined, 'is left alone');
});

t.test('the iroh relay, where clients are sent here for it', async (t) => {
  const site = '/etc/nginx/conf.d/chatmail.conf';
  const plain = textOf(site)!;
  const rows: [url: string, isHere: boolean][] = [
    ['https://chat.example.org', true],
    ['https://Chat.Example.org./', true],
    ['https://chat.example.org:443', true],
    ['https://chat.example.org:8443', false],
    ['http://chat.example.org', false],
    ['http://chat.example.org:443', false],
    ['https://iroh.chat.example.org', false],
    ['https://www.chat.example.org', false],
    ['https://chat.example.org.example', false],
    ['https://chat.example.org@iroh.example', false],
    ['', false],
  ];
  for (const [url, isHere] of rows) {
    const text = textOf(site, `${NAMED}iroh_relay = ${url}\n`)!;
    if (!isHere) t.equal(text, plain, url);
    else {
      for (const path of ['/relay', '/ping', '/generate_204']) t.match(text, `  location = ${path} {\n`, url);
      t.equal(text.match(/proxy_pass http:\/\/127\.0\.0\.1:3340;/g)?.length, 3);
      t.match(text, /Upgrade \$http_upgrade;\n {4}proxy_set_header Connection upgrade;\n {4}proxy_read_timeout 40m;/);
    }
  }
  t.match(textOf(site, 'mail_domain = 203.0.113.7\niroh_relay = https://203.0.113.7'), 'location = /relay');
});

t.test('web pages', async (t) => {
  const site = '/etc/nginx/conf.d/chatmail.conf';
  t.match(textOf(site), /return 200 "version: STSv1\\r\\nmode: enforce\\r\\nmx: chat\.example\.org\\r\\n/);
  t.notMatch(textOf(site, 'mail_domain = 203.0.113.7'), /mta-sts/, 'no policy for a certificate nobody can verify');
  t.match(textOf(site), /proxy_pass http:\/\/unix:\/run\/doveauth\/new\.socket;/);
  t.notMatch(textOf(site), 'http.socket', 'which has the hashes');
  t.match(textOf(site), /X-Forwarded-For \$remote_addr;/, 'doveauth counts by client');
  const xml = textOf('/var/lib/chatmail/web/autoconfig.xml')!;
  for (const port of [993, 465, 587]) t.match(xml, `<port>${port}</port>`);
  t.equal(xml.match(/<port>443</g)?.length, 2, 'mail on port 443');
  const page = (ini: string) => textOf('/var/lib/chatmail/web/index.html', NAMED + ini);
  t.match(page(''), 'href="DCACCOUNT:https://chat.example.org/new"');
  t.match(page('registration = closed'), /takes no new accounts/);
  t.match(page('privacy_mail = <a&b>'), '&lt;a&amp;b&gt;', 'text is text');
  t.equal(page('www_folder = /srv/www'), undefined, "the operator's own pages");
});
