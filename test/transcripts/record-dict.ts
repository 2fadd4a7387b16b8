/**
 * [io] Records test/transcripts/dict/dovecot-VERSION-*.txt from the Dovecot 2.3 of this machine; run as root:
 * `node test/transcripts/record-dict.ts`. What is recorded is read, not trusted: look at the diff.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDictServer } from '#dovecot-dict';
import { MemoryDict } from '../../packages/dovecot-dict/test/memory-dict.ts';
import { formatLines, TRANSCRIPTS } from '../../packages/dovecot-dict/test/transcript.ts';
import { dovecotVersion, LineClient, run, startDovecot, writeBareConfig } from '../integration/dict-dovecot.ts';

const USER = 'abc123@[127.0.0.1]';
const ENTRIES: Record<string, string> = {
  [`shared/userdb/${USER}`]: '{"uid":"8","gid":"8"}',
  'shared/userdb/second@example.org': '{"uid":"8","gid":"8"}',
  [`shared/passdb/secret"${USER}`]: '{"password":"{PLAIN}secret"}',
  [`shared/passdb/p\\"\\\\\\'\xc3\xa4"${USER}`]: '{"nopassword":"Y"}',
};

/** Copies both directions between Dovecot and the dict server, and keeps them per connection. */
function recordingServer(target: string, connections: string[]): Server {
  return createServer((socket) => {
    const index = connections.push('') - 1;
    const upstream = connect(target);
    socket.on('data', (bytes: Buffer) => {
      connections[index] += formatLines('>', bytes);
      upstream.write(bytes);
    });
    upstream.on('data', (bytes: Buffer) => {
      connections[index] += formatLines('<', bytes);
      socket.write(bytes);
    });
    socket.on('end', () => upstream.end());
    upstream.on('end', () => socket.end());
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
}

const dir = await mkdtemp(join(tmpdir(), 'dict-'));
const version = await dovecotVersion();
const connections: string[] = [];
const front = join(dir, 'front.sock');
const back = join(dir, 'back.sock');
const dict = new MemoryDict();
const { server } = createDictServer(dict);
const umask = process.umask(0);
server.listen(back);
const recorder = recordingServer(back, connections).listen(front);
process.umask(umask);

async function record(name: string, about: string, entries: Record<string, string>, scenario: () => Promise<void>) {
  connections.length = 0;
  dict.entries.clear();
  for (const [key, value] of Object.entries(entries)) dict.entries.set(key, Buffer.from(value, 'latin1'));
  await scenario();
  // The last connections of a logout close a moment after it.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const head = `# peer: Dovecot ${version}\n# ${about}\n`;
  const store = Object.entries(entries).map(([key, value]) =>
    formatLines('=', Buffer.from(`${key}\t${value}`, 'latin1')),
  );
  const text = `${head}${store.join('')}\n${connections.filter((lines) => lines !== '').join('\n')}`;
  await writeFile(join(TRANSCRIPTS, `dovecot-${version}-${name}.txt`), text, 'latin1');
}

const bare = await writeBareConfig(dir);
const doveadm = async (command: string, ...args: string[]) => {
  const options = args.slice(0, -2);
  const operands = args.slice(-2);
  const uri = [`proxy:${front}:test`];
  // "Not found" is an exit code of doveadm.
  await run('doveadm', ['-c', bare, 'dict', command, ...options, ...uri, ...operands.filter(Boolean)]).catch(() => {});
};

await record(
  'doveadm',
  'doveadm dict get, set, inc, unset, iter',
  { 'shared/a/1': 'one', 'shared/a/2': 'two\x01\r', 'shared/a/b/3': '' },
  async () => {
    await doveadm('get', 'shared/a/1', '');
    await doveadm('get', 'shared/none', '');
    await doveadm('set', '-u', USER, 'priv/n', '5');
    await doveadm('inc', '-u', USER, 'priv/n', '37');
    await doveadm('inc', '-u', USER, 'priv/none', '1');
    await doveadm('get', '-u', USER, 'priv/n', '');
    await doveadm('set', 'shared/a/4', 'tab\tline\r\nend\x01');
    await doveadm('unset', 'shared/a/1', '');
    await doveadm('iter', 'shared/a/', '');
    await doveadm('iter', '-R', 'shared/a/', '');
    await doveadm('iter', '-R', '-V', 'shared/a/', '');
    await doveadm('iter', '-1', 'shared/a/2', '');
    await doveadm('iter', 'shared/none/', '');
  },
);

const dovecot = await startDovecot(dir, { auth: front, lastLogin: front, metadata: front });
const login = async (password: string) => {
  const imap = new LineClient({ port: dovecot.imapPort });
  await imap.say('', /^\* OK/);
  await imap.say(`1 LOGIN "${USER}" "${password.replaceAll(/["\\]/g, '\\$&')}"`, /^1 /);
  return imap;
};

await record('auth', 'passdb, userdb, last login: IMAP logins, and doveadm user', ENTRIES, async () => {
  for (const password of ['secret', 'p"\\\'\xc3\xa4', 'wrong', '']) {
    const imap = await login(password);
    await imap.say('2 LOGOUT', /^2 /);
    await imap.close();
  }
  await run('doveadm', ['-c', dovecot.config, 'user', '*']);
});

await record('metadata', 'IMAP METADATA: set, get, unset, list, DELETE of a mailbox', ENTRIES, async () => {
  const imap = await login('secret');
  const commands = [
    'SETMETADATA INBOX (/private/devicetoken "multi tok")',
    'GETMETADATA INBOX (/private/devicetoken)',
    'GETMETADATA "" (/shared/vendor/deltachat/turn)',
    'GETMETADATA (DEPTH infinity) INBOX (/private)',
    'SETMETADATA INBOX (/private/devicetoken NIL)',
    'GETMETADATA INBOX (/private/devicetoken)',
    'CREATE other',
    'SETMETADATA other (/private/one "1" /shared/two "2")',
    'DELETE other',
    'LOGOUT',
  ];
  for (const [index, command] of commands.entries()) await imap.say(`a${index} ${command}`, new RegExp(`^a${index} `));
  // A value with the bytes that are escaped: IMAP carries it as a literal. Its first length is one too long, so the
  // command is a syntax error after the value, and Dovecot rolls back.
  const second = await login('secret');
  for (const [tag, length] of Object.entries({ b1: 22, b2: 21 })) {
    await second.say(`${tag} SETMETADATA INBOX (/private/devicetoken {${length}}`, /^\+/);
    await second.say('line1\r\nline2\ttab \x01x\\y)', new RegExp(`^${tag} `));
  }
  await second.say('b3 GETMETADATA INBOX (/private/devicetoken)', /^b3 /);
  await second.say('b4 LOGOUT', /^b4 /);
  await imap.close();
  await second.close();
});

await record('lmtp', 'LMTP delivery to a known and an unknown user; push notification by Lua', ENTRIES, async () => {
  const lmtp = new LineClient({ path: dovecot.lmtpSocket });
  await lmtp.say('', /^220/);
  await lmtp.say('LHLO test', /^250 /);
  await lmtp.say('MAIL FROM:<>', /^250 /);
  await lmtp.say('RCPT TO:<unknown@example.org>', /^5/);
  await lmtp.say(`RCPT TO:<${USER}>`, /^250 /);
  await lmtp.say('DATA', /^354/);
  await lmtp.say('Subject: hello\r\n\r\nbody\r\n.', /^250 /);
  await lmtp.say('QUIT', /^221/);
  await lmtp.close();
});

await dovecot.stop();
recorder.close();
server.close();
await rm(dir, { recursive: true });
