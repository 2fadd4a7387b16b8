/** [io] `init` in a directory that stands for the machine. Needs root, for who owns what. */

import { createPrivateKey } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { EXIT_CONFIG, parseConfig } from '#core';
import type { Host } from '../../src/apply/host.ts';
import { init } from '../../src/init/init.ts';

const INI = '/etc/chatmail/chatmail.ini';
const PASSWD = 'vmail:x:999:998::/home/vmail:/bin/false\n';

function machine(t: { teardown(work: () => void): void }, passwd = PASSWD) {
  const root = mkdtempSync(`${tmpdir()}/init-`);
  t.teardown(() => rmSync(root, { recursive: true }));
  mkdirSync(`${root}/etc`);
  writeFileSync(`${root}/etc/passwd`, passwd);
  const ran: string[] = [];
  const host: Host = {
    root,
    portOwners: async () => [],
    pause: async () => {},
    run: async (program, args) => {
      ran.push([program, ...args].join(' '));
      writeFileSync(`${root}/etc/passwd`, PASSWD);
      return { code: 0, output: '' };
    },
  };
  const lines: string[] = [];
  const run = async (domain: string) => await init(host, domain, INI, (line) => void lines.push(line));
  return { root, ran, lines, run, read: (path: string) => readFileSync(root + path, 'utf8') };
}

t.test('a relay with a name', async (t) => {
  const { root, run, read, lines, ran } = machine(t);
  await run('chat.example.org');
  const config = parseConfig(read(INI));
  t.equal(config.mail_domain, 'chat.example.org');
  t.same(config.warnings, []);
  t.same(
    { ...config },
    { ...parseConfig('[params]\nmail_domain = chat.example.org\n') },
    'every other key at its default',
  );
  const key = createPrivateKey(read('/etc/dkimkeys/opendkim.private'));
  t.equal(key.asymmetricKeyDetails?.modulusLength, 2048);
  const { mode, uid } = statSync(`${root}/etc/dkimkeys/opendkim.private`);
  t.same([mode & 0o777, uid], [0o600, 0]);
  t.equal(read('/etc/mailname'), 'chat.example.org\n');
  const mail = statSync(`${root}/home/vmail/mail/chat.example.org`);
  t.same([mail.uid, mail.gid, mail.mode & 0o777], [999, 998, 0o700]);
  t.equal(statSync(`${root}/var/lib/chatmail`).mode & 0o777, 0o755, 'the web server gets to its pages');
  t.same(ran, []);
  t.notOk(
    lines.some((line) => /certificate/.test(line)),
    'an authority makes that',
  );
});

t.test('a second time nothing is written over', async (t) => {
  const { root, run, read, lines } = machine(t);
  await run('chat.example.org');
  const key = read('/etc/dkimkeys/opendkim.private');
  writeFileSync(`${root}${INI}`, '[params]\nmail_domain = chat.example.org\nmax_mailbox_size = 1G\n');
  lines.length = 0;
  await run('chat.example.org');
  t.match(read(INI), /1G/);
  t.equal(read('/etc/dkimkeys/opendkim.private'), key);
  t.ok(lines.length >= 4);
  t.ok(
    lines.every((line) => line.startsWith('kept ')),
    lines.join('\n'),
  );
  await t.rejects(run('other.example.org'), { exitCode: EXIT_CONFIG, message: /is for chat\.example\.org/ });
});

t.test('not on a relay of another stack', async (t) => {
  const { root, run } = machine(t);
  mkdirSync(`${root}/usr/local/lib/chatmaild`, { recursive: true });
  writeFileSync(`${root}/usr/local/lib/chatmaild/chatmail.ini`, '[params]\nmail_domain = chat.example.org\n');
  const message = /set up: run chatmailctl adopt, which keeps its settings.*move \/usr\/local\/lib.* away first/;
  await t.rejects(run('chat.example.org'), { exitCode: EXIT_CONFIG, message });
  t.notOk(existsSync(`${root}/etc/chatmail`), 'nothing was made');
});

t.test('a relay for an address, on a machine without the mail user', async (t) => {
  const { run, read, ran } = machine(t, 'root:x:0:0::/root:/bin/sh\n');
  await run('10.1.2.3');
  t.match(ran, [/^useradd --system .* vmail$/]);
  t.match(read('/etc/chatmail/tls/self-signed.pem'), /BEGIN CERTIFICATE/);
  t.throws(() => read('/etc/dkimkeys/opendkim.private'), 'no DKIM without a name');
  t.equal(parseConfig(read(INI)).addressDomain, '[10.1.2.3]');
});

t.test('words that are no name', async (t) => {
  const { run, read } = machine(t);
  for (const domain of ['-x', 'a b', 'chat.example.org\npush = direct', '1.2.3', '']) {
    await t.rejects(run(domain), { exitCode: EXIT_CONFIG, message: /./ }, JSON.stringify(domain));
  }
  t.throws(() => read(INI));
});
