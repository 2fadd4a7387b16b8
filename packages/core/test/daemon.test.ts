import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

const directory = mkdtempSync(join(tmpdir(), 'core-daemon-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const socket = join(directory, 's.sock');
const ini = join(directory, 'chatmail.ini');
const writeIni = (greeting: string) =>
  writeFileSync(ini, `[params]\nmail_domain = example.org\nprivacy_mail = ${greeting}\n`);
writeIni('one');

interface Daemon {
  readonly child: ChildProcess;
  readonly exit: Promise<[number | null]>;
  log(): string;
  logged(pattern: RegExp): Promise<void>;
}

function start(args: string[], command: string[] = []): Daemon {
  const program = [process.execPath, join(import.meta.dirname, 'fixtures/echo-daemon.ts'), ...args];
  const [file, ...rest] = [...command, ...program];
  const child = spawn(file!, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const onText = (chunk: Buffer) => {
    text += chunk;
  };
  child.stdout.on('data', onText);
  child.stderr.on('data', onText);
  t.teardown(() => child.kill('SIGKILL'));
  return {
    child,
    exit: once(child, 'close') as Promise<[number | null]>,
    log: () => text,
    async logged(pattern) {
      while (!pattern.test(text)) await new Promise((resolve) => setTimeout(resolve, 10));
    },
  };
}

function ask(line: string): Promise<string> {
  return askAt({ path: socket }, line);
}

async function askAt(address: NetConnectOpts, line: string): Promise<string> {
  const client = connect(address);
  client.write(`${line}\n`);
  let answer = '';
  for await (const chunk of client) answer += chunk;
  return answer.trim();
}

t.test('ready, reload, drain', async (t) => {
  const daemon = start(['--config', ini, '--listen', `main=unix:${socket}`, '--listen', 'metrics=inet:127.0.0.1:0']);
  await daemon.logged(/ready main=unix:\S+ metrics=inet:127\.0\.0\.1:\d+"/);
  t.equal(await ask('hi'), 'one:hi');

  const port = /metrics=inet:127\.0\.0\.1:(\d+)/.exec(daemon.log())![1];
  t.match(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), /process_cpu_seconds_total/);

  writeIni('two');
  daemon.child.kill('SIGHUP');
  await daemon.logged(/reloaded/);
  t.equal(await ask('hi'), 'two:hi');

  writeFileSync(ini, '[params]\nmail_domain = example.org\nprivacy_mial = three\n');
  daemon.child.kill('SIGHUP');
  await daemon.logged(/unknown key 'privacy_mial'[\s\S]*reloaded/);
  writeIni('two');
  daemon.child.kill('SIGHUP');
  await daemon.logged(/(?:reloaded[\s\S]*){3}/);

  writeFileSync(ini, 'nonsense');
  daemon.child.kill('SIGHUP');
  await daemon.logged(/the old configuration stays/);
  t.equal(await ask('hi'), 'two:hi');

  const slow = ask('slow');
  await ask('hi');
  daemon.child.kill('SIGTERM');
  t.equal(await slow, 'two:slow', 'what is in flight is finished');
  t.same((await daemon.exit)[0], 0);
  t.match(daemon.log(), /closed/);
  writeIni('one');
});

t.test('a listener that is off unless given', async (t) => {
  const extra = join(directory, 'extra.sock');
  const listen = ['--listen', `main=unix:${socket}`, '--listen', `extra=unix:${extra}`];
  const daemon = start(['--config', ini, ...listen]);
  await daemon.logged(/ready main=unix:\S+ extra=unix:\S+"/);
  t.equal(await askAt({ path: extra }, 'hi'), 'one:hi');
  daemon.child.kill('SIGTERM');
  t.same((await daemon.exit)[0], 0);
});

t.test('a SIGHUP while starting is obeyed when there is something to reload', async (t) => {
  const daemon = start(['--config', ini, '--listen', `main=unix:${socket}`], ['env', 'ECHO_START_MS=300']);
  await daemon.logged(/starting/);
  writeIni('four');
  daemon.child.kill('SIGHUP');
  await daemon.logged(/ready[\s\S]*reloaded/);
  t.equal(await ask('hi'), 'four:hi');
  daemon.child.kill('SIGTERM');
  t.same((await daemon.exit)[0], 0);
  writeIni('one');
});

t.test('exit codes', async (t) => {
  const rows: [args: string[], code: number, text: RegExp, why: string][] = [
    [['--help'], 0, /usage: echo[\s\S]*extra and metrics are off unless given/, 'help'],
    [['--version'], 0, /^echo \d+\.\d+\.\d+/, 'version'],
    [['--nonsense'], 64, /nonsense/, 'unknown option'],
    [['--listen', 'other=unix:/x'], 64, /NAME one of main, extra, metrics/, 'unknown listener'],
    [['--listen', 'main=nowhere'], 64, /no address/, 'bad address'],
    [['--listen', 'main=unix:/a', '--listen', 'main=unix:/b'], 64, /twice/, 'listener given twice'],
    [['--log-level', 'loud'], 64, /loud/, 'bad level'],
    [['--idle-exit', '0'], 64, /--idle-exit/, 'bad time'],
    [['--config', '/nonexistent.ini'], 78, /nonexistent\.ini.*ENOENT/, 'no configuration'],
    [['--config', ini], 78, /default\.sock.*does not exist/, 'no place for the socket'],
  ];
  await Promise.all(
    rows.map(async ([args, code, text, why]) => {
      const daemon = start(args);
      t.same((await daemon.exit)[0], code, why);
      t.match(daemon.log(), text, why);
    }),
  );
});

t.test('a bug ends the daemon with 70 and without telling secrets', async (t) => {
  const daemon = start(['--config', ini, '--listen', `main=unix:${socket}`]);
  await daemon.logged(/ready/);
  await ask('crash').catch(() => {});
  t.same((await daemon.exit)[0], 70);
  t.match(daemon.log(), /unexpected error/);
  t.notMatch(daemon.log(), /secret/);
});

t.test('under socket activation it serves the inherited socket and leaves when idle', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const descriptor = (server as unknown as { _handle: { fd: number } })._handle.fd;
  // What systemd does: the socket as descriptor 3, and LISTEN_PID set by the process that becomes the daemon.
  const shell = 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=main; exec "$@"';
  const command = [
    process.execPath,
    join(import.meta.dirname, 'fixtures/echo-daemon.ts'),
    '--config',
    ini,
    ...['--idle-exit', '3', '--listen', 'metrics=inet:127.0.0.1:0'],
  ];
  const child = spawn('sh', ['-c', shell, 'sh', ...command], { stdio: ['ignore', 'pipe', 'pipe', descriptor] });
  t.teardown(() => child.kill('SIGKILL'));
  server.close();
  let log = '';
  child.stderr!.on('data', (chunk) => {
    log += chunk;
  });
  const exit = once(child, 'close');
  while (!log.includes('ready')) await new Promise((resolve) => setTimeout(resolve, 10));
  t.match(log, /--listen metrics has no effect/, 'nothing else is bound, and the operator is told');
  t.match(log, /ready main=fd:3"/);
  const begun = performance.now();
  const slow = await askAt({ port, host: '127.0.0.1' }, 'slow');
  t.equal(slow, 'one:slow');
  t.same((await exit)[0], 0);
  t.ok(performance.now() - begun >= 3000, 'not before it was idle for so long');
  t.match(log, /stopping: idle/);
});
