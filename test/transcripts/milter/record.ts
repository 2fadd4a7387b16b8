/**
 * [io] Records the milter transcripts: starts a Postfix of its own (nothing under /etc or /var/spool is touched) and runs
 * the SMTP dialogues of packages/milter/test/scenarios.ts through it, writing down every frame. Needs root and Debian's
 * postfix package: `node test/transcripts/milter/record.ts`.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MilterServer } from '#milter';
import { SCENARIOS, type SmtpStep } from '../../../packages/milter/test/scenarios.ts';
import { formatTranscript, type TranscriptFrame } from '../../../packages/milter/test/transcript.ts';

const dir = mkdtempSync(join(tmpdir(), 'milter-record-'));
const postfixConfig = join(dir, 'etc');
const proxyPath = join(dir, 'proxy.sock');

function postfixId(what: '-u' | '-g'): number {
  return Number(execFileSync('id', [what, 'postfix'], { encoding: 'utf8' }));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

function writeConfig(port: number): void {
  chmodSync(dir, 0o755);
  for (const name of ['etc', 'queue', 'data']) mkdirSync(join(dir, name));
  chownSync(join(dir, 'data'), postfixId('-u'), postfixId('-g'));
  const main = {
    compatibility_level: '3.6',
    queue_directory: join(dir, 'queue'),
    data_directory: join(dir, 'data'),
    myhostname: 'relay.test',
    mydestination: 'relay.test',
    local_recipient_maps: '',
    local_transport: 'discard',
    default_transport: 'discard',
    mynetworks: '192.0.2.0/24',
    smtpd_relay_restrictions: 'reject_unauth_destination',
    smtpd_milters: `unix:${proxyPath}`,
    milter_default_action: 'tempfail',
    message_size_limit: '1000000',
    maillog_file: '/dev/null',
    maillog_file_prefixes: '/dev',
  };
  const lines = Object.entries(main).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(join(postfixConfig, 'main.cf'), lines.join(''));
  const services = [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    'pickup unix n - n 60 1 pickup',
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'proxymap unix - - n - - proxymap',
    'anvil unix - - n - 1 anvil',
    'discard unix - - n - - discard',
    'postlog unix-dgram n - n - 1 postlogd',
  ];
  writeFileSync(join(postfixConfig, 'master.cf'), `${services.join('\n')}\n`);
}

/** Splits a byte stream into frames and appends them. */
function frameTap(direction: '>' | '<', frames: TranscriptFrame[]): (chunk: Buffer) => void {
  let held = Buffer.alloc(0);
  return (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
      const end = 4 + held.readUInt32BE(0);
      frames.push({ direction, command: held[4]!, data: held.subarray(5, end) });
      held = held.subarray(end);
    }
  };
}

/** Lines of an SMTP reply up to its last one. */
async function readSmtpReply(socket: Socket): Promise<string> {
  let text = '';
  while (!/^\d{3} .*\r\n$/m.test(text)) {
    const chunk = socket.read() as Buffer | null;
    if (chunk) text += chunk.toString('latin1');
    else if (socket.readableEnded) return text;
    else await once(socket, 'readable');
  }
  return text;
}

async function speakSmtp(port: number, steps: readonly SmtpStep[]): Promise<string[]> {
  const socket = connect(port, '127.0.0.1');
  const replies = [await readSmtpReply(socket)];
  for (const step of steps) {
    if (step === null || !socket.writable) break;
    socket.write(step.endsWith('\r\n') ? Buffer.from(step, 'latin1') : `${step}\r\n`);
    replies.push(`${step.slice(0, 60).trimEnd()} -> ${await readSmtpReply(socket)}`);
  }
  socket.destroy();
  return replies;
}

async function record(name: string, port: number): Promise<void> {
  const scenario = SCENARIOS[name]!;
  const onError = (error: Error) => console.error(name, error);
  const milter = new MilterServer({ ...scenario.options([]), onError });
  const milterPath = join(dir, 'milter.sock');
  milter.server.listen(milterPath);
  await once(milter.server, 'listening');
  const frames: TranscriptFrame[] = [];
  const proxy = createServer((mta) => {
    const upstream = connect(milterPath);
    mta.on('data', frameTap('>', frames)).pipe(upstream);
    upstream.on('data', frameTap('<', frames)).pipe(mta);
    upstream.on('error', () => mta.destroy());
  });
  proxy.listen(proxyPath);
  await once(proxy, 'listening');
  chmodSync(proxyPath, 0o666);
  for (const steps of scenario.smtp) for (const line of await speakSmtp(port, steps)) console.log(name, line.trimEnd());
  await sleep(1500);
  proxy.close();
  await milter.drain(1000);
  rmSync(milterPath, { force: true });
  const version = execFileSync('postconf', ['-dh', 'mail_version'], { encoding: 'utf8' }).trim();
  const text = formatTranscript({ peer: `Postfix ${version} (smtpd, cleanup)`, scenario: name, frames });
  writeFileSync(join(import.meta.dirname, `${name}.txt`), text);
  console.log(`${name}: ${frames.length} frames, ${statSync(join(import.meta.dirname, `${name}.txt`)).size} bytes`);
}

const port = await freePort();
writeConfig(port);
execFileSync('postfix', ['-c', postfixConfig, 'start'], { stdio: 'inherit' });
try {
  for (const name of Object.keys(SCENARIOS)) await record(name, port);
} finally {
  execFileSync('postfix', ['-c', postfixConfig, 'stop'], { stdio: 'inherit' });
  rmSync(dir, { recursive: true });
}
