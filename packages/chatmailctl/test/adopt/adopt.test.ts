/** [io] A machine as cmdeploy leaves it, taken over in place and given back. */

import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EXIT_CONFIG, formatSampleConfig, packageVersion, parseConfig } from '#core';
import { type AdoptOptions, accountFiles, adopt } from '../../src/adopt/adopt.ts';
import { adoptedConfig, INHERITED_CONFIG } from '../../src/adopt/inherited.ts';
import { makeSelfSigned } from '../../src/tls/self-signed.ts';
import { installUnits } from '../../src/units/install.ts';
import { TestMachine } from '../apply/machine.ts';

const INI = '/etc/chatmail/chatmail.ini';
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

async function adopted(m: TestMachine, options?: AdoptOptions): Promise<void> {
  m.lines.length = 0;
  await adopt(m.host, (line) => void m.lines.push(line), options);
}

/** Adopts, and lets apply do the rest. */
async function takenOver(m: TestMachine): Promise<void> {
  await adopted(m);
  m.config = m.read(INI).replace('[params]\n', '');
  // The one of an authority would be kept; this one only looks like a placeholder.
  m.issuesCertificates = true;
  await m.apply();
}

/** An installation by npm; returns `chatmailctl units` of it. */
function npmInstallation(t: { teardown(work: () => void): void }, m: TestMachine): () => Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'npm-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  chmodSync(root, 0o755);
  cpSync(join(import.meta.dirname, '../../../../systemd'), join(root, 'systemd'), { recursive: true });
  mkdirSync(`${m.root}/etc/systemd/system`, { recursive: true });
  m.facts = { ...m.facts, programRoot: root };
  return async () => {
    m.lines.length = 0;
    const print = (line: string) => void m.lines.push(line);
    await installUnits({ host: m.host, root, version: packageVersion(), dryRun: false, print });
  };
}

t.test('what is kept goes where ours looks, and nothing that runs is touched', async (t) => {
  const m = await inheritedRelay(t);
  const before = m.etc();
  await adopted(m);
  t.same(m.etc(), before, 'but for /etc/chatmail');
  t.same(m.ran, []);
  const config = parseConfig(m.read(INI));
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
  const once = m.read(INI);
  await adopted(m);
  t.equal(m.read(INI), once, 'twice is as once');
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
  await takenOver(m);
  for (const name of OLD_UNITS) t.throws(() => m.read(`/etc/systemd/system/${name}.service`), name);
  t.match(m.read('/etc/nginx/nginx.conf'), /include \/etc\/nginx\/conf\.d\/\*\.conf;/);
  t.ok(m.enabled.has('doveauth.service') && m.enabled.has('filtermail-outgoing.socket'), 'ours, of the same name');
  t.notOk(m.enabled.has('opendkim.service') || m.active.has('acmetool-redirector.service'));
  t.ok(m.active.has('turnserver.service'));
  t.ok(
    m.ran.findIndex((line) => /disable --now .*filtermail\.service/.test(line)) <
      m.ran.findIndex((line) => line.startsWith('systemctl restart filtermail')),
  );
  t.same(readdirSync(`${m.root}/home/vmail/mail/${NAME}`), [`one@${NAME}`]);
  await m.apply();
  t.match(m.output, /Nothing to change/);
  await m.undo();
  t.same(m.etc(), before);
  t.same([...m.enabled].sort(), enabled, 'the old units run again');
  t.ok(m.active.has('doveauth.service') && m.active.has('opendkim.service'));
  await takenOver(m);
  await adopted(m);
  t.match(m.output, /apply replaces none/);
  await m.undo();
  await m.apply();
  t.notMatch(m.output, /Nothing to change/, 'adopted is adopted, also by one after the apply');
});

t.test('who has edited a file since is asked', async (t) => {
  const m = await inheritedRelay(t);
  m.config = `mail_domain = ${NAME}\n`;
  await t.rejects(m.apply(), {
    exitCode: EXIT_CONFIG,
    message: /of a relay that cmdeploy has set up: run chatmailctl adopt/,
  });
  await adopted(m);
  m.config = m.read(INI).replace('[params]\n', '');
  m.write('/etc/postfix/main.cf', 'something else entirely = 1\n');
  await t.rejects(m.apply(), { exitCode: EXIT_CONFIG, message: /would replace \/etc\/postfix\/main\.cf, which/ });
});

t.test('not without a relay, and not another one', async (t) => {
  const m = new TestMachine();
  t.teardown(() => m.remove());
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message: /no \/usr\/local\/lib\/chatmaild\/chatmail\.ini/ });
  m.write(INHERITED_CONFIG, OLD_INI);
  m.write(INI, '[params]\nmail_domain = other.example.org\n');
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message: /is for other\.example\.org/ });
});

t.test('settings do not give way to those of another chatmail.ini without a word', async (t) => {
  const m = await inheritedRelay(t);
  m.write(INI, formatSampleConfig(NAME));
  const message =
    /has other settings than .*: max_mailbox_size, delete_mails_after, www_folder; .*move \/etc\/chatmail\/chatmail\.ini away.* --keep-config$/;
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message });
  t.throws(() => m.read('/var/lib/chatmail/adopted.json'), 'nothing was done');
  await adopted(m, { keepConfig: true });
  t.equal(m.read(INI), formatSampleConfig(NAME));
  await adopted(m);
  m.write(INHERITED_CONFIG, `${OLD_INI}delete_inactive_users_after = 30\n`);
  await t.rejects(adopted(m), { exitCode: EXIT_CONFIG, message: /delete_inactive_users_after/ });
  rmSync(m.root + INI);
  await adopted(m);
  t.match(parseConfig(m.read(INI)), { delete_mails_after: 40, delete_inactive_users_after: 30 });
});

t.test('the same settings in other words, and those changed after they were imported, are no matter', async (t) => {
  const m = await inheritedRelay(t);
  const same = `[params]\nmail_domain = ${NAME}\ndelete_mails_after=40\nmax_mailbox_size = 102400K\n`;
  m.write(INI, `${same}max_message_size = 30M\nwww_folder = /var/www/html\n`);
  await adopted(m);
  m.write(INI, m.read(INHERITED_CONFIG));
  rmSync(`${m.root}/var/lib/chatmail/adopted.json`);
  await adopted(m);
  t.equal(parseConfig(m.read(INI)).www_folder, '/var/www/html', 'a copy is imported like the original');
  m.write(INI, m.read(INI).replace('delete_mails_after = 40', 'delete_mails_after = 50'));
  await adopted(m);
  t.equal(parseConfig(m.read(INI)).delete_mails_after, 50);
});

t.test('an empty directory of a name with brackets hides no accounts', async (t) => {
  const m = new TestMachine();
  t.teardown(() => m.remove());
  m.write(INHERITED_CONFIG, '[params]\nmail_domain = 10.2.3.4\n');
  m.write('/home/vmail/mail/10.2.3.4/one@10.2.3.4/password', 'x');
  mkdirSync(`${m.root}/home/vmail/mail/[10.2.3.4]`);
  await adopted(m);
  t.match(m.output, /keep {2}1 accounts in \/home\/vmail\/mail\/10\.2\.3\.4:/);
});

t.test('an installation by npm', async (t) => {
  const m = await inheritedRelay(t);
  m.write('/etc/systemd/system/chatmail-expire.timer', '[Timer]\nOnCalendar=daily\n');
  m.enabled.add('chatmail-expire.timer');
  const units = npmInstallation(t, m);
  await t.rejects(units(), {
    exitCode: EXIT_CONFIG,
    message: /doveauth\.service.*cmdeploy.*run chatmailctl adopt first, then chatmailctl units again/,
  });
  await adopted(m);
  await units();
  t.match(m.output, /doveauth\.service: of the relay before; chatmailctl apply replaces it/);
  t.match(m.read('/etc/systemd/system/doveauth.service'), 'chatmaild', 'which goes on');
  t.notOk(
    m.ran.some((line) => /try-restart.* (doveauth|filtermail)\.service/.test(line)),
    'undisturbed',
  );
  t.match(m.read('/etc/systemd/system/metadata-push.service'), 'Written by chatmailctl units');

  const [before, enabled] = [m.etc(), [...m.enabled].sort()];
  await takenOver(m);
  for (const unit of ['doveauth.service', 'filtermail.service', 'chatmail-expire.timer']) {
    t.match(m.read(`/etc/systemd/system/${unit}`), 'Written by chatmailctl units', unit);
    t.ok(m.active.has(unit) && m.enabled.has(unit), unit);
  }
  t.throws(() => m.read('/etc/systemd/system/lastlogin.service'));
  t.ok(
    m.ran.findIndex((line) => /disable --now .*doveauth\.service/.test(line)) <
      m.ran.findIndex((line) => /restart doveauth\.service/.test(line)),
    'the old one ends first',
  );
  await m.apply();
  t.match(m.output, /Nothing to change/);
  await units();
  t.match(m.output, /nothing to do/);
  await adopted(m);
  t.match(m.output, /apply replaces none/);
  await m.apply();
  t.match(m.output, /Nothing to change/);
  await m.undo();
  t.same(m.etc(), before);
  t.same([...m.enabled].sort(), enabled);
});

t.test('units of ours are none of the relay before', async (t) => {
  const m = await inheritedRelay(t);
  for (const name of ['doveauth', 'filtermail']) rmSync(`${m.root}/etc/systemd/system/${name}.service`);
  await npmInstallation(t, m)();
  await takenOver(m);
  t.notMatch(m.read('/var/lib/chatmail/adopted.json'), /doveauth\.service|chatmail-expire/);
  t.match(m.read('/etc/systemd/system/doveauth.service'), 'Written by chatmailctl units');
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
