/** [io] A machine as cmdeploy leaves it, taken over in place and given back. */

import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, utimesSync } from 'node:fs';
import t from 'tap';
import { EXIT_CONFIG, parseConfig } from '#core';
import { accountFiles, adopt } from '../../src/adopt/adopt.ts';
import { adoptedConfig, INHERITED_CONFIG } from '../../src/adopt/inherited.ts';
import { makeSelfSigned } from '../../src/tls/self-signed.ts';
import { TestMachine } from '../apply/machine.ts';

const NAME = 'chat.example.org';
const OLD_INI = `[params]
mail_domain = ${NAME}
max_mailbox_size = 100M
# pages on the computer of the operator
www_folder = /home/operator/www
  continued
mtail_address =
delete_mails_after = 40
`;
const NGINX = `load_module modules/ngx_stream_module.so;
stream { server { listen 443; } }
http { server { listen 8443 ssl; } }
`;
const ACCOUNT = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey;
const OLD_UNITS = ['doveauth', 'filtermail', 'filtermail-incoming', 'chatmail-metadata', 'lastlogin'];

async function inheritedRelay(t: { teardown(work: () => void): void }): Promise<TestMachine> {
  const m = new TestMachine();
  t.teardown(() => m.remove());
  m.write(INHERITED_CONFIG, OLD_INI);
  m.write('/etc/postfix/main.cf', `myorigin = ${NAME}\nvirtual_transport = lmtp:unix:private/dovecot-lmtp\n`);
  m.write('/etc/postfix/master.cf', 'smtp inet n - y - - smtpd -o smtpd_proxy_filter=127.0.0.1:10081\n');
  m.write('/etc/dovecot/dovecot.conf', 'protocols = imap lmtp\n');
  m.write('/etc/dovecot/push_notification.lua', '-- theirs\n');
  m.write('/etc/nginx/nginx.conf', NGINX);
  m.write('/etc/dkimkeys/opendkim.private', 'the key');
  m.write('/etc/mailname', `${NAME}\n`);
  m.write('/var/www/html/index.html', '<h1>ours</h1>');
  m.write('/usr/bin/dehydrated', '');
  for (const name of OLD_UNITS) {
    m.write(`/etc/systemd/system/${name}.service`, '[Service]\nExecStart=/usr/local/lib/chatmaild/venv/bin/x\n');
    m.enabled.add(`${name}.service`);
    m.active.add(`${name}.service`);
  }
  for (const unit of ['opendkim.service', 'acmetool-redirector.service', 'turnserver.service']) {
    m.write(`/lib/systemd/system/${unit}`, '[Service]\n');
    m.enabled.add(unit);
    m.active.add(unit);
  }
  m.write(`/home/vmail/mail/${NAME}/one@${NAME}/password`, '{SHA512-CRYPT}$6$x');
  m.write(`/home/vmail/mail/${NAME}/one@${NAME}/metadata.json`, '{}');
  utimesSync(`${m.root}/home/vmail/mail/${NAME}/one@${NAME}/password`, 1_700_000_000, 1_700_000_000);
  const live = `/var/lib/acme/live/${NAME}`;
  await makeSelfSigned(m.host, { chain: '/authority/chain', key: '/authority/key' }, NAME);
  m.write(`${live}/fullchain`, m.read('/authority/chain'));
  m.write(`${live}/privkey`, m.read('/authority/key'));
  m.write('/var/lib/acme/accounts/acme-v02.api.letsencrypt.org%2fdirectory/abc/privkey', ACCOUNT);
  return m;
}

async function adopted(m: TestMachine): Promise<void> {
  m.lines.length = 0;
  await adopt(m.host, (line) => void m.lines.push(line));
}

t.test('what is kept goes where ours looks, and nothing that runs is touched', async (t) => {
  const m = await inheritedRelay(t);
  const before = m.etc();
  await adopted(m);
  t.same(m.etc(), before, 'but for /etc/chatmail');
  t.same(m.ran, []);
  const config = parseConfig(m.read('/etc/chatmail/chatmail.ini'));
  t.match(config, {
    mail_domain: NAME,
    max_mailbox_size: 104_857_600,
    delete_mails_after: 40,
    www_folder: '/var/www/html',
  });
  t.equal(m.read('/var/lib/chatmail/acme/live.key'), m.read('/authority/key'));
  for (const [path, text] of Object.entries(accountFiles(config.acme_directory_url, ACCOUNT)))
    t.equal(m.read(path), text);
  t.match(m.output, /keep {2}1 accounts/);
  t.match(m.output, /keep {2}running: turnserver\.service/);
  t.match(m.output, /apply stops acmetool-redirector\.service, opendkim\.service/);
  const once = m.read('/etc/chatmail/chatmail.ini');
  await adopted(m);
  t.equal(m.read('/etc/chatmail/chatmail.ini'), once, 'twice is as once');
});

t.test('an iroh relay that clients were told of goes on to be told', async (t) => {
  const unit = '/etc/systemd/system/iroh-relay.service';
  const told = async (ini: string, hasUnit = true) => {
    const m = await inheritedRelay(t);
    m.write(INHERITED_CONFIG, ini);
    if (hasUnit) m.write(unit, '[Service]\n');
    await adopted(m);
    const { iroh_relay } = parseConfig(m.read('/etc/chatmail/chatmail.ini'));
    return { iroh_relay, said: m.lines.filter((line) => line.includes('iroh_relay')) };
  };
  const url = `https://${NAME}`;
  t.match(await told(OLD_INI), { iroh_relay: url, said: [`keep  iroh_relay = ${url}: `] }, 'the default there');
  t.same(await told(OLD_INI, false), { iroh_relay: '', said: [] }, 'it does not run');
  for (const given of ['', 'https://iroh.example']) {
    t.same(await told(`${OLD_INI}iroh_relay = ${given}\n`), { iroh_relay: given, said: [] }, 'given');
  }
  const selfSigned = OLD_INI.replace(NAME, `_${NAME}`);
  t.same(await told(selfSigned), { iroh_relay: '', said: [] }, 'no client takes its certificate');
});

t.test('apply takes over, and undo gives back', async (t) => {
  const m = await inheritedRelay(t);
  const [before, enabled] = [m.etc(), [...m.enabled].sort()];
  await adopted(m);
  m.config = m.read('/etc/chatmail/chatmail.ini').replace('[params]\n', '');
  // The one of an authority would be kept; this one only looks like a placeholder.
  m.issuesCertificates = true;
  await m.apply();
  for (const name of OLD_UNITS) t.throws(() => m.read(`/etc/systemd/system/${name}.service`), name);
  t.match(m.read('/etc/nginx/nginx.conf'), /include \/etc\/nginx\/conf\.d\/\*\.conf;/);
  t.ok(m.enabled.has('doveauth.service') && m.enabled.has('filtermail-outgoing.socket'), 'ours, of the same name');
  t.notOk(m.enabled.has('opendkim.service') || m.active.has('acmetool-redirector.service'));
  t.ok(m.active.has('turnserver.service'));
  t.ok(
    m.ran.findIndex((line) => /disable --now .*filtermail\.service/.test(line)) <
      m.ran.findIndex((line) => line.startsWith('systemctl enable --now filtermail')),
  );
  t.same(readdirSync(`${m.root}/home/vmail/mail/${NAME}`), [`one@${NAME}`]);
  await m.apply();
  t.match(m.output, /Nothing to change/);
  await m.undo();
  t.same(m.etc(), before);
  t.same([...m.enabled].sort(), enabled, 'the old units run again');
  t.ok(m.active.has('doveauth.service') && m.active.has('opendkim.service'));
});

t.test('who has edited a file since is asked', async (t) => {
  const m = await inheritedRelay(t);
  m.config = `mail_domain = ${NAME}\n`;
  await t.rejects(m.apply(), {
    exitCode: EXIT_CONFIG,
    message: /of a relay that cmdeploy has set up: run chatmailctl adopt/,
  });
  await adopted(m);
  m.config = m.read('/etc/chatmail/chatmail.ini').replace('[params]\n', '');
  m.write('/etc/postfix/main.cf', 'something else entirely = 1\n');
  await t.rejects(m.apply(), { exitCode: EXIT_CONFIG, message: /would replace \/etc\/postfix\/main\.cf, which/ });
});

t.test('not without a relay, and not another one', async (t) => {
  const m = new TestMachine();
  t.teardown(() => m.remove());
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message: /no \/usr\/local\/lib\/chatmaild\/chatmail\.ini/ });
  m.write(INHERITED_CONFIG, OLD_INI);
  m.write('/etc/chatmail/chatmail.ini', '[params]\nmail_domain = other.example.org\n');
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message: /is for other\.example\.org/ });
});

t.test('keys of chatmail.ini that name places', async (t) => {
  const text = adoptedConfig(OLD_INI, {
    webPages: '/var/www/html',
    mailboxes: '/home/vmail/mail/1.2.3.4',
    irohRelay: undefined,
  });
  const config = parseConfig(text);
  t.equal(config.www_folder, '/var/www/html');
  t.equal(config.mailboxes_dir, '/home/vmail/mail/1.2.3.4');
  t.notMatch(text, /continued|operator\/www/);
  t.equal(adoptedConfig(OLD_INI, { webPages: undefined, mailboxes: undefined, irohRelay: undefined }), OLD_INI);
});
