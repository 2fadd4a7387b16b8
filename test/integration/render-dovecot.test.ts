/**
 * The rendered Dovecot configurations in a real Dovecot 2.3 and a real 2.4, with our doveauth and metadata-push behind them:
 * logins, metadata, deliveries that are compressed and announced, room made in a full mailbox, and a log without people.
 * Needs root.
 */

import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import t from 'tap';
import { loadConfig, parseAddress } from '#core';
import { blockAccount, unblockAccount } from '../../packages/chatmailctl/src/accounts/account-files.ts';
import { asOwnerOf } from '../../packages/chatmailctl/src/accounts/relay-access.ts';
import { endSessions } from '../../packages/chatmailctl/src/accounts/sessions.ts';
import { ImapClient, quoted } from '../../packages/chatmailctl/src/client/imap-client.ts';
import { findMailUser } from '../../packages/chatmailctl/src/demo/accounts.ts';
import { PACKAGE_ROOT, startDaemon } from '../../packages/chatmailctl/src/demo/daemons.ts';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { Guard } from '../../packages/chatmailctl/src/demo/guard.ts';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import { holdPorts } from '../../packages/chatmailctl/src/demo/ports.ts';
import { demoIni, makeCertificate, writeFiles } from '../../packages/chatmailctl/src/demo/relay-files.ts';
import { StubGateway } from '../../packages/chatmailctl/src/demo/stub-gateway.ts';
import { connectsTo, until } from '../../packages/chatmailctl/src/demo/wait.ts';
import type { RelayLayout } from '../../packages/chatmailctl/src/layout.ts';
import { renderDovecot23 } from '../../packages/chatmailctl/src/render/dovecot-2.3.ts';
import { renderDovecot24 } from '../../packages/chatmailctl/src/render/dovecot-2.4.ts';
import { INSTALLED } from '../../packages/chatmailctl/test/layouts.ts';
import { WAKE_FILE } from '../../packages/metadata-push/src/waker.ts';
import { canReadCheckout } from '../support/readable.ts';
import { debian13 } from './debian13.ts';
import { LineClient, run } from './dict-dovecot.ts';

const DOMAIN = '[127.0.0.1]';
const MAILBOX_MIB = 4;
const MIB = 1_048_576;

t.setTimeout(600_000);
await ensureDependencies((line) => t.comment(line));
const debian = await debian13();
const mailUser = await findMailUser();
const gateway = await StubGateway.start();
t.teardown(() => gateway.stop());

interface Instance {
  readonly layout: RelayLayout;
  doveadm(...words: string[]): Promise<{ stdout: string }>;
  readLog(): string;
  stop(): Promise<void>;
}

async function start(version: '2.3' | '2.4', imap: RelayLayout['imap']): Promise<Instance> {
  const directory = mkdtempSync(`${tmpdir()}/render-dovecot-`);
  const guard = new Guard(directory);
  chmodSync(directory, 0o755);
  for (const name of ['run', 'log', 'state', 'mail', 'config', 'dovecot-run', 'dovecot-state', 'postfix'])
    mkdirSync(`${directory}/${name}`);
  for (const name of ['run', 'state', 'mail']) chownSync(`${directory}/${name}`, mailUser.uid, mailUser.gid);
  const held = await holdPorts(2);
  const socket = (name: string) => `${directory}/run/${name}.sock`;
  const layout: RelayLayout = {
    ...INSTALLED,
    addressDomain: DOMAIN,
    hostname: 'render.invalid',
    mailUser: { user: mailUser.user, group: mailUser.group },
    listenAddress: '127.0.0.1',
    behindWebServer: { https: 0, submissions: 0, imaps: held.ports[1]! },
    ports: { smtp: 0, submissions: 0, submission: undefined, imaps: held.ports[0]! },
    directories: {
      ...INSTALLED.directories,
      mailboxes: `${directory}/mail`,
      dovecotConfig: `${directory}/config`,
      dovecotRun: `${directory}/dovecot-run`,
      dovecotState: `${directory}/dovecot-state`,
    },
    sockets: {
      ...INSTALLED.sockets,
      auth: socket('auth'),
      http: socket('http'),
      lastlogin: socket('lastlogin'),
      metadata: socket('metadata'),
      sasl: `${directory}/postfix/sasl`,
      lmtp: `${directory}/postfix/lmtp`,
    },
    programs: {
      quotaExpire: `${PACKAGE_ROOT}/bin/chatmail-quota-expire`,
      luaAuth: `${PACKAGE_ROOT}/lua/chatmail-auth.lua`,
    },
    certificate: { chain: `${directory}/tls/chain.pem`, key: `${directory}/tls/key.pem` },
    logs: { postfix: undefined, dovecot: `${directory}/log/dovecot.log` },
    contact: 'operator@example.org',
    imap,
    limits: {
      ...INSTALLED.limits,
      messageBytes: 2 * MIB,
      mailboxBytes: MAILBOX_MIB * MIB,
      imapConnections: 100,
      smtpConnections: 100,
    },
  };
  await makeCertificate(layout.certificate, '127.0.0.1');
  writeFileSync(`${directory}/chatmail.ini`, demoIni(layout, `${directory}/state`, gateway.url));
  const { auth, http, lastlogin, metadata } = layout.sockets;
  const daemons = await Promise.all(
    [
      { name: 'doveauth', sockets: { auth, http, lastlogin }, account: mailUser } as const,
      { name: 'metadata-push', sockets: { metadata }, account: mailUser } as const,
    ].map((spec) => startDaemon(spec, `${directory}/chatmail.ini`, `${directory}/log/${spec.name}.log`, guard)),
  );

  const files = version === '2.3' ? renderDovecot23(layout) : renderDovecot24(layout);
  const config = `${directory}/config/dovecot.conf`;
  await writeFiles({ ...files, [config]: await adapted(files[config]!, version) });
  const inside = (command: string[]) => (version === '2.3' ? command : debian.inside(directory, command));
  const [command, ...args] = inside(['dovecot', '-F', '-c', config]);
  await held.release();
  const logFile = `${directory}/log/start.log`;
  const dovecot = new ManagedProcess({ name: 'Dovecot', command: command!, args, logFile }, guard);
  const stop = async () => {
    await dovecot.stop();
    await Promise.all(daemons.map((daemon) => daemon.stop()));
    await guard.finish();
  };
  t.teardown(stop);
  await dovecot.during(connectsTo({ port: layout.ports.imaps }));
  await dovecot.during(connectsTo({ path: layout.sockets.lmtp }));
  return {
    layout,
    doveadm: async (...words) => {
      const [program, ...rest] = inside(['doveadm', '-c', config, ...words]);
      return await run(program!, rest);
    },
    readLog: () => readFileSync(`${directory}/log/dovecot.log`, 'utf8') + readFileSync(logFile, 'utf8'),
    stop,
  };
}

/** What this machine lacks and a relay has: a user postfix in the Debian 13, a checkout the mail user can read. */
async function adapted(text: string, version: '2.3' | '2.4'): Promise<string> {
  const ours = version === '2.4' ? text.replaceAll(/(user|group) = postfix/g, '$1 = root') : text;
  const readable = await canReadCheckout(mailUser);
  return readable ? ours : ours.replace(/(service (?:quota-warning|auth-worker) \{[^}]*?user = )\w+/g, '$1root');
}

async function deliver(
  layout: RelayLayout,
  user: string,
  body: string,
  from = 'secretsender@example.org',
): Promise<string> {
  const lmtp = new LineClient({ path: layout.sockets.lmtp });
  await lmtp.say('', /^220 /);
  await lmtp.say('LHLO test', /^250 /);
  await lmtp.say(`MAIL FROM:<${from}>`, /^250 /);
  await lmtp.say(`RCPT TO:<${user}>`, /^250 /);
  await lmtp.say('DATA', /^354 /);
  const head = `From: <${from}>\r\nMessage-ID: <secretid@example.org>\r\nSubject: secretsubject`;
  const answer = await lmtp.say(`${head}\r\n\r\n${body}\r\n.`, /^[245]\d\d /);
  await lmtp.close();
  return answer;
}

for (const version of ['2.3', '2.4'] as const) {
  t.test(`Dovecot ${version}`, async (t) => {
    const { layout, doveadm, readLog, stop } = await start(version, { compress: false, rawlog: false });
    const alice = { user: `aliceabcd@${DOMAIN}`, password: 'correct horse' };
    const mailbox = `${layout.directories.mailboxes}/${alice.user}`;
    // What begins with a dot is no message, but wakes sessions.
    const messagesIn = (name: string) => readdirSync(`${mailbox}/${name}`).filter((file) => !file.startsWith('.'));
    const stored = () => ['new', 'cur'].flatMap((name) => messagesIn(name).map((file) => `${name}/${file}`));

    await t.test('accounts', async (t) => {
      t.match(
        (await doveadm('auth', 'test', alice.user, alice.password)).stdout,
        /auth succeeded/,
        'made at first login',
      );
      await t.rejects(doveadm('auth', 'test', alice.user, 'something else'), 'a wrong password');
      t.match((await doveadm('user', alice.user)).stdout, mailbox, 'the home is the mailbox');
    });

    const imap = await ImapClient.open(layout.ports.imaps, alice);
    await t.test('what clients are told', async (t) => {
      const { untagged } = await imap.mustSucceed('CAPABILITY');
      const capabilities = untagged.join(' ').split(' ');
      for (const wanted of ['XDELTAPUSH', 'XCHATMAIL', 'METADATA', 'QUOTA', 'IDLE', 'MOVE'])
        t.ok(capabilities.includes(wanted), wanted);
      t.notOk(capabilities.includes('COMPRESS=DEFLATE'), 'no COMPRESS: such sessions cannot hibernate');
      const entries = '(/shared/admin /shared/vendor/deltachat/maxsmtprecipients)';
      const metadata = (await imap.mustSucceed(`GETMETADATA "" ${entries}`)).untagged.join(' ');
      t.match(metadata, /mailto:operator@example\.org/);
      t.match(metadata, /maxsmtprecipients (?:\{4\} ?|")1000/, 'as many as Postfix takes');
      const token = await imap.command(`SETMETADATA INBOX (/private/devicetoken ${quoted(`openpgp:${version}`)})`);
      t.equal(token.status, 'OK', 'device tokens');
      const quota = (await imap.mustSucceed('GETQUOTAROOT INBOX')).untagged.join(' ');
      t.match(quota, new RegExp(`STORAGE \\d+ ${MAILBOX_MIB * 1024}`), 'the quota of chatmail.ini');
    });

    await t.test('a delivery is stored compressed and announced', async (t) => {
      await imap.mustSucceed('SELECT INBOX');
      const body = `${'x'.repeat(76)}\r\n`.repeat(1000);
      const line = waitForExists(layout, alice);
      await line.idling;
      const sinceMs = performance.now();
      t.match(await deliver(layout, alice.user, body), /^250 .*Saved/);
      await gateway.waitForToken(`openpgp:${version}`, sinceMs, 10_000);
      t.match(await line.announced, /^\* 1 EXISTS/, 'the hibernated session hears of it');
      const [name] = stored();
      const file = readFileSync(`${mailbox}/${name}`);
      t.same([...file.subarray(0, 2)], [0x1f, 0x8b], 'gzip');
      t.ok(file.length < 10_000, `${file.length} bytes on the disk`);
      t.ok(Number(/,S=(\d+)/.exec(name!)?.[1]) > 70_000, 'the name has the size before, which the quota counts');
      await imap.mustSucceed('NOOP');
      const fetched = (await imap.mustSucceed('FETCH 1 BODY.PEEK[]')).untagged.join('\n');
      t.match(fetched, /x{76}/);
      t.notMatch(fetched, /^Received:/m, 'delivery leaves no trace');
    });
    imap.close();

    await t.test('a message to oneself is not pushed', async (t) => {
      const posts = () => gateway.posts.filter(({ body }) => body === `openpgp:${version}`).length;
      const before = posts();
      t.match(await deliver(layout, alice.user, 'x', alice.user), /^250/);
      await sleep(1_000);
      t.equal(posts(), before);
      const sinceMs = performance.now();
      t.match(await deliver(layout, alice.user, 'x'), /^250/);
      await gateway.waitForToken(`openpgp:${version}`, sinceMs, 10_000);
      t.equal(posts(), before + 1, 'the next of somebody else is');
    });

    await t.test('what wakes sessions is nothing to the quota', async (t) => {
      const count = async () => {
        await doveadm('quota', 'recalc', '-u', alice.user);
        return /MESSAGE +(\d+)/.exec((await doveadm('quota', 'get', '-u', alice.user)).stdout)?.[1];
      };
      const before = await count();
      t.equal(before, String(stored().length));
      try {
        symlinkSync(WAKE_FILE, `${mailbox}/new/${WAKE_FILE}`);
      } catch (error) {
        // metadata-push is at it: its file is as good.
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      t.equal(await count(), before);
      rmSync(`${mailbox}/new/${WAKE_FILE}`, { force: true });
    });

    await t.test('room is made when it fills up', async (t) => {
      const old = Math.floor(Date.now() / 1000) - 3 * 86_400;
      for (let index = 0; index < 29; index++) {
        const path = `${mailbox}/cur/${old + index}.M${index}P1.mx,S=102400,W=102400:2,S`;
        writeFileSync(path, 'x'.repeat(102_400));
        chownSync(path, mailUser.uid, mailUser.gid);
      }
      await doveadm('quota', 'recalc', '-u', alice.user);
      for (let count = 0; count < 4; count++)
        t.match(await deliver(layout, alice.user, 'y'.repeat(900).concat('\r\n').repeat(110)), /^250/);
      await until(() => stored().filter((name) => name.includes('.mx,')).length < 29, 10_000);
      await sleep(300);
      const left = stored().filter((name) => name.includes('.mx,'));
      t.notOk(
        left.some((name) => name.includes(`/${old}.`)),
        'the oldest is gone',
      );
      t.ok(
        left.some((name) => name.includes(`/${old + 28}.`)),
        'the youngest is not',
      );
    });

    await t.test('no more than the quota, to the byte', async (t) => {
      const answers: string[] = [];
      for (let count = 0; count < 12; count++)
        answers.push(await deliver(layout, alice.user, 'z'.repeat(900).concat('\r\n').repeat(550)));
      t.ok(
        answers.some((answer) => /Quota exceeded/i.test(answer)),
        'a full mailbox takes no more',
      );
      const bytes = stored().reduce((sum, name) => sum + Number(/,S=(\d+)/.exec(name)?.[1]), 0);
      t.ok(bytes <= MAILBOX_MIB * MIB, `${bytes} bytes`);
    });

    const log = readLog();
    await t.test('who is blocked is logged out, asleep or not', async (t) => {
      const address = parseAddress(alice.user)!;
      const config = loadConfig(`${layout.directories.mailboxes}/../chatmail.ini`);
      const sessions = [idle(layout, alice), idle(layout, alice)];
      for (const { idling } of sessions) await idling;
      const { mailboxes } = layout.directories;
      await asOwnerOf(mailboxes, () => blockAccount(mailboxes, address));
      const runDoveadm = async (words: readonly string[]) => {
        return await doveadm(...words).then(
          ({ stdout }) => ({ code: 0, output: stdout }),
          (error) => ({ code: error.code as number, output: '' }),
        );
      };
      const { stdout } = await doveadm('who', '-1', alice.user);
      const known = stdout.split('\n').filter((line) => line.startsWith(`${alice.user} `));
      t.ok(known.length >= 2, 'endSessions can see them');
      t.equal(await endSessions({ config, dovecotConfig: undefined }, address, runDoveadm), undefined);
      for (const { ended } of sessions) t.ok(await Promise.race([ended.then(() => true), sleep(15_000, false)]));
      await t.rejects(doveadm('auth', 'test', alice.user, alice.password));
      await asOwnerOf(mailboxes, () => unblockAccount(mailboxes, address));
      t.match((await doveadm('auth', 'test', alice.user, alice.password)).stdout, /auth succeeded/);
    });

    await t.test('the log names nobody', async (t) => {
      t.match(log, /imap-login: Info: Log/, 'there is one');
      t.notMatch(log, /aliceabcd|secretsender|secretid|secretsubject|127\.0\.0\.1|correct horse/);
      t.notOk(hidesAddress(log), 'nor in the names of sessions');
      // What a program of Dovecot's says on standard error is an Error to it.
      t.notMatch(log.replace(/ Error: chatmail-quota-expire: removed \d+ messages/g, ''), /Error|Fatal|Panic|Warning/);
    });
    await stop();
  });

  t.test(`Dovecot ${version} with COMPRESS and rawlog`, async (t) => {
    const { layout, stop } = await start(version, { compress: true, rawlog: true });
    const bob = { user: `bobabcdef@${DOMAIN}`, password: 'battery staple' };
    const imap = await ImapClient.open(layout.ports.imaps, bob);
    t.match((await imap.mustSucceed('CAPABILITY')).untagged.join(' '), / COMPRESS=DEFLATE/);
    t.equal((await imap.command('COMPRESS DEFLATE')).status, 'OK');
    imap.close();
    const files = readdirSync(`${layout.directories.mailboxes}/${bob.user}`);
    t.ok(files.some((name) => name.endsWith('.in')) && files.some((name) => name.endsWith('.out')), files.join(' '));
    await stop();
  });
}

/** Whether a word that could be base64 has 127.0.0.1 in it, as Dovecot's names of sessions do. */
function hidesAddress(text: string): boolean {
  const words = text.match(/[A-Za-z0-9+/]{12,}/g) ?? [];
  return words.some((word) => Buffer.from(word, 'base64').includes(Uint8Array.of(127, 0, 0, 1)));
}

/** A session that idles long enough to hibernate, until the server ends it. */
function idle(layout: RelayLayout, login: { user: string; password: string }) {
  const socket = connectTls({ host: '127.0.0.1', port: layout.ports.imaps, rejectUnauthorized: false });
  t.teardown(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', () => {});
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(`a LOGIN ${quoted(login.user)} ${quoted(login.password)}\r\nb SELECT INBOX\r\nc IDLE\r\n`);
  const idling = until(() => text.includes('+ idling'), 10_000).then(() => sleep(1_600));
  return { idling, ended };
}

/** A second session that idles long enough to hibernate. */
function waitForExists(layout: RelayLayout, login: { user: string; password: string }) {
  const client = spawn('openssl', ['s_client', '-quiet', '-connect', `127.0.0.1:${layout.ports.imaps}`], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.teardown(() => client.kill());
  let text = '';
  client.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  const idling = (async () => {
    await until(() => text.includes('* OK'), 10_000);
    client.stdin.write(`a LOGIN ${quoted(login.user)} ${quoted(login.password)}\r\nb SELECT INBOX\r\n`);
    await until(() => text.includes('b OK'), 10_000);
    text = '';
    client.stdin.write('c IDLE\r\n');
    await until(() => text.includes('+ idling'), 10_000);
    await sleep(1_600);
  })();
  const announced = idling.then(async () => {
    await until(() => text.includes('EXISTS'), 10_000);
    client.kill();
    return text.slice(text.indexOf('* 1 EXISTS'));
  });
  return { idling, announced };
}
