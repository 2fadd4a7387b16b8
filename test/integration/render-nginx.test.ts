/**
 * The rendered web server in a real nginx, in front of a whole relay: pages, /new, and mail on the port of HTTPS, which the
 * servers behind it see coming from the client and not from nginx; and the way to an iroh relay, played by a stub. nginx's user
 * gets at /new and at no password hash. Needs root.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, request as plainRequest } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { ensureDependencies } from '../../packages/chatmailctl/src/demo/dependencies.ts';
import { ManagedProcess } from '../../packages/chatmailctl/src/demo/managed-process.ts';
import { holdPorts } from '../../packages/chatmailctl/src/demo/ports.ts';
import { inventCredentials, startRelay } from '../../packages/chatmailctl/src/demo/relay.ts';
import { connectsTo, until } from '../../packages/chatmailctl/src/demo/wait.ts';
import { renderNginx } from '../../packages/chatmailctl/src/render/nginx.ts';
import { renderWeb, WEB_ROOT } from '../../packages/chatmailctl/src/render/web.ts';
import { parseConfig } from '../../packages/core/src/index.ts';
import { aptInstall } from './debian13.ts';
import { run } from './dict-dovecot.ts';

/** Where the client comes from; nginx comes from 127.0.0.1. */
const CLIENT = '127.0.0.9';
/** Debian's nginx runs as this. */
const WEB_USER = 'www-data';
const [webUid, webGid] = ['-u', '-g'].map((option) =>
  Number(execFileSync('id', [option, WEB_USER], { encoding: 'utf8' })),
);

t.setTimeout(300_000);
await ensureDependencies((line) => t.comment(line));
if (!existsSync('/usr/sbin/nginx')) await aptInstall('nginx-light');
if (!existsSync('/usr/lib/nginx/modules/ngx_stream_module.so')) await aptInstall('libnginx-mod-stream');

// Those of the relay are free when it starts, and it draws no others that are the same; the rest are held until nginx starts.
const [outer, inner] = [await holdPorts(3), await holdPorts(3)];
const [http, https, iroh] = outer.ports as [number, number, number];
const [local, submissions, imaps] = inner.ports as [number, number, number];
await inner.release();
const relay = await startRelay({
  gatewayUrl: 'http://127.0.0.1:9/notify',
  behindWebServer: { https: local, submissions, imaps },
});
const { http: httpSocket, new: newSocket } = relay.layout.sockets;
// What systemd/doveauth-new.socket and its rendered drop-in say.
chownSync(newSocket, webUid!, 0);
chmodSync(newSocket, 0o600);
const account = inventCredentials(relay.layout);
const config = parseConfig('[params]\nmail_domain = chat.example.org\niroh_relay = https://chat.example.org\n');
/** What the iroh relay was asked, and with which header fields. */
const asked: { path: string; headers: IncomingHttpHeaders }[] = [];
await outer.release();
const irohRelay = await startIrohRelay();
const nginx = await startNginx();
t.teardown(async () => {
  irohRelay.close();
  await nginx.stop();
  await relay.stop();
});

/** Answers as iroh-relay does; on an upgraded connection it says what it hears. */
async function startIrohRelay() {
  const server = createServer(({ url = '', headers }, response) => {
    asked.push({ path: url, headers });
    response.writeHead(url === '/generate_204' ? 204 : url === '/ping' ? 200 : 400).end();
  });
  server.on('upgrade', ({ url = '', headers }, socket) => {
    asked.push({ path: url, headers });
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ${headers.upgrade}\r\n\r\n`);
    socket.on('error', () => {}).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(iroh, '127.0.0.1', resolve));
  return server;
}

/** An nginx of our own with the rendered files where Debian's nginx.conf includes them; ports and places are the test's. */
async function startNginx(): Promise<ManagedProcess> {
  const directory = `${relay.directory}/nginx`;
  for (const name of ['', '/web', '/tmp']) mkdirSync(directory + name);
  const here = (text: string) =>
    text
      .replaceAll(WEB_ROOT, `${directory}/web`)
      .replaceAll('127.0.0.1:3340', `127.0.0.1:${iroh}`)
      .replaceAll(/listen (?:\[::\]:)?80;/g, `listen 127.0.0.1:${http};`)
      .replaceAll(/listen (?:\[::\]:)?443;/g, `listen 127.0.0.1:${https};`)
      // Each is there once for IPv4 and once for IPv6.
      .replaceAll(/(^ +listen 127\.0\.0\.1:\d+;\n)\1/gm, '$1');
  const files = { ...renderNginx(config, relay.layout), ...renderWeb(config, true) };
  const site = here(files['/etc/nginx/conf.d/chatmail.conf']!);
  const stream = here(files['/etc/nginx/modules-enabled/90-chatmail.conf']!);
  for (const name of ['autoconfig.xml', 'index.html'])
    writeFileSync(`${directory}/web/${name}`, files[`${WEB_ROOT}/${name}`]!);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `  ${name}_temp_path ${directory}/tmp/${name};\n`,
  );
  writeFileSync(
    `${directory}/nginx.conf`,
    `user ${WEB_USER};\nworker_processes 1;\npid ${directory}/pid;\nerror_log ${directory}/error.log;\ndaemon off;\n` +
      `load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n${stream}events {}\nhttp {\n  access_log ${directory}/access.log;\n` +
      `${temporary.join('')}${site}}\n`,
  );
  await run('nginx', ['-t', '-q', '-c', `${directory}/nginx.conf`]);
  const logFile = `${directory}/start.log`;
  const args = ['-c', `${directory}/nginx.conf`];
  const server = new ManagedProcess({ name: 'nginx', command: 'nginx', args, logFile }, relay.guard);
  await server.during(connectsTo({ port: https }));
  return server;
}

const toNginx = (path: string, headers = {}): RequestOptions => ({
  ...{ host: '127.0.0.1', port: https, path, localAddress: CLIENT, rejectUnauthorized: false },
  headers: { host: 'chat.example.org', ...headers },
});

function fetchPage(path: string, method = 'GET'): Promise<{ status: number; type: string; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...toNginx(path), method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode!, type: response.headers['content-type'] ?? '', text }),
      );
    });
    sent.once('error', reject).end();
  });
}

/** A session on the port of HTTPS that asks for a protocol, as Delta Chat does. */
async function session(
  protocol: string,
): Promise<{ socket: TLSSocket; says(text: string): Promise<void>; text(): string }> {
  const socket = connect({
    ...{ host: '127.0.0.1', port: https, localAddress: CLIENT, rejectUnauthorized: false },
    ALPNProtocols: [protocol],
  } as ConnectionOptions);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => {});
  return { socket, says: (wanted) => until(() => text.includes(wanted), 30_000), text: () => text };
}

t.test('pages', async (t) => {
  const page = await fetchPage('/');
  t.equal(page.status, 200);
  t.match(page.text, 'DCACCOUNT:https://chat.example.org/new');
  const autoconfig = await fetchPage('/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=a%40b');
  t.equal(autoconfig.status, 200);
  t.equal(autoconfig.type, 'text/xml');
  t.match(autoconfig.text, '<hostname>chat.example.org</hostname>');
  const policy = await fetchPage('/.well-known/mta-sts.txt');
  t.equal(policy.text, 'version: STSv1\r\nmode: enforce\r\nmx: chat.example.org\r\nmax_age: 2419200\r\n');
  t.equal(policy.type, 'text/plain');
});

t.test('/new', async (t) => {
  for (const path of ['/new', '/cgi-bin/newemail.py']) {
    const { status, text } = await fetchPage(path, 'POST');
    t.equal(status, 200, path);
    t.match(JSON.parse(text), { email: /^[a-z0-9]{9}@\[127\.0\.0\.1\]$/, password: /^.{9,}$/ });
  }
  for (const path of ['/passdb', '/userdb', '/users', '/new/../users']) {
    const { status } = await fetchPage(path, 'POST');
    t.ok(status >= 400, `${path}: ${status}`);
  }
});

/** The status of an answer on a Unix socket, or why there is none. */
function askSocket(socketPath: string, path: string): Promise<number | string | undefined> {
  return new Promise((resolve) => {
    const sent = plainRequest({ socketPath, path, method: 'POST' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code)).end();
  });
}

/** Runs `work` with the rights of nginx's user, which those of PHP are in Debian too. */
async function asWebUser<T>(work: () => Promise<T>): Promise<T> {
  const [groups, gid] = [process.getgroups!(), process.getegid!()];
  process.setgroups!([webGid!]);
  process.setegid!(webGid!);
  process.seteuid!(webUid!);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
    process.setegid!(gid);
    process.setgroups!(groups);
  }
}

t.test("whoever runs as the web server's user gets no password hash", async (t) => {
  for (const path of ['/users', '/passdb', '/userdb', '/account']) {
    t.equal(await asWebUser(() => askSocket(newSocket, path)), 404, path);
    t.equal(await asWebUser(() => askSocket(httpSocket, path)), 'EACCES', `${path} where it is`);
  }
  t.equal(await askSocket(httpSocket, '/users'), 200, 'which there is');
});

t.test('IMAP on the port of HTTPS', async (t) => {
  const { socket, says } = await session('imap');
  await says('* OK');
  t.equal(socket.getProtocol(), 'TLSv1.3');
  socket.write(`a LOGIN "${account.user}" "${account.password}"\r\n`);
  await says('a OK');
  socket.destroy();
  t.pass('logged in');
});

t.test('SMTP on the port of HTTPS', async (t) => {
  const { socket, says } = await session('smtp');
  await says('220 ');
  socket.write('EHLO client.example\r\n');
  await says('250 ');
  socket.write(`AUTH PLAIN ${Buffer.from(`\0${account.user}\0${account.password}`).toString('base64')}\r\n`);
  await says('235 ');
  socket.write('MAIL FROM:<someone@else.example>\r\nRCPT TO:<a@b.example>\r\n');
  await says('553 ');
  socket.destroy();
  const isLogged = () => readFileSync(relay.layout.logs.postfix!, 'utf8').includes(`connect from unknown[${CLIENT}]`);
  await until(isLogged, 30_000);
  t.pass('limits per client are about clients');
});

t.test('the iroh relay', async (t) => {
  asked.length = 0;
  t.equal((await fetchPage('/ping')).status, 200);
  t.equal((await fetchPage('/generate_204')).status, 204);
  t.equal((await fetchPage('/relay')).status, 400, 'nothing to upgrade to');
  for (const protocol of ['websocket', 'iroh derp http']) {
    const heard = await new Promise<string>((resolve, reject) => {
      const headers = { connection: 'Upgrade', upgrade: protocol, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
      const sent = request(toNginx('/relay', headers), () => reject(new Error(`${protocol}: not upgraded`)));
      sent.once('upgrade', (_response, socket) => {
        socket.once('data', (data: Buffer) => {
          resolve(data.toString());
          socket.destroy();
        });
        socket.write('a frame');
      });
      sent.once('error', reject).end();
    });
    t.equal(heard, 'a frame', `${protocol}: there and back`);
    const { headers } = asked.at(-1)!;
    t.match(headers, { upgrade: protocol, host: 'chat.example.org', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' });
  }
  t.same(
    asked.map(({ path }) => path),
    ['/ping', '/generate_204', '/relay', '/relay', '/relay'],
  );
  t.notMatch(JSON.stringify(asked), CLIENT, 'it is not told who asks');
  await fetchPage('/relay/x');
  await fetchPage('/pingx');
  t.equal(asked.length, 5, 'and asked for nothing else');
});

t.test('what clients ask for that know nothing of ALPN is HTTPS', async (t) => {
  const { socket, says } = await session('http/1.1');
  socket.once('secureConnect', () => socket.write('GET / HTTP/1.0\r\nHost: chat.example.org\r\n\r\n'));
  await says('HTTP/1.1 200 OK');
  socket.destroy();
  t.pass('a page');
});

t.test('nginx tells nobody who came', async (t) => {
  for (const name of ['access.log', 'error.log', 'start.log']) {
    const path = `${relay.directory}/nginx/${name}`;
    t.notMatch(existsSync(path) ? readFileSync(path, 'utf8') : '', /127\.0\.0\.9/, name);
  }
});
