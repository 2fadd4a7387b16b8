import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parseConfig } from '#core';
import type { Accounts } from '../src/accounts.ts';
import { type CreateAccount, createHttpHandler, createNewHandler } from '../src/http-handler.ts';
import { createHttpServer } from '../src/http-server.ts';
import type { NewcomerOutcome, Newcomers } from '../src/newcomers.ts';

const logged: unknown[][] = [];
const note = (...line: unknown[]) => void logged.push(line);
const log = { debug: note, info: note, warn: note, error: note };
const HASH = '{SHA512-CRYPT}$6$salt$digest';
const asked: unknown[][] = [];
const hold: { promise: Promise<void> } = { promise: Promise.resolve() };

const accounts = {
  async login(user: string, password: Buffer) {
    asked.push([user, password.toString('latin1')]);
    await hold.promise;
    if (user === 'throws') throw new Error('a bug');
    if (user === 'found') return { kind: 'found', hash: HASH };
    if (user === 'verified' || user === 'temporary') return { kind: user };
    return { kind: 'refused', reason: 'blocked' };
  },
  async lookup(user: string) {
    if (user === 'found') return { kind: 'found', home: '/mail/a b=c', owner: { uid: 8, gid: 9 } };
    return { kind: user };
  },
  async *list() {
    for (let index = 0; index < 5000; index++) yield `user${index}@x.org`;
  },
} as unknown as Accounts;

let outcome: NewcomerOutcome = { kind: 'temporary' };
const offered: unknown[][] = [];
const newcomers = {
  async offer(networks: string[], token: string | undefined) {
    offered.push([networks, token]);
    return outcome;
  },
} as unknown as Newcomers;

const operators: string[] = [];
const createAccount: CreateAccount = async (token) => {
  operators.push(token);
  if (token === 'busy') return { kind: 'refused', reason: 'high-load' };
  if (token !== 'secret') return { kind: 'refused', reason: 'not-the-operator' };
  return { kind: 'created', credentials: { email: 'a@x.org', password: 'p', dcloginUrl: 'dclogin:a' } };
};

let config = parseConfig('[params]\nmail_domain = x.org');
const directory = mkdtempSync(join(tmpdir(), 'doveauth-http-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const socketPath = join(directory, 'http.sock');
const http = createHttpServer(
  createHttpHandler(accounts, newcomers, createAccount, () => config),
  log,
  'http',
);
http.server.listen(socketPath);
await once(http.server, 'listening');
const newSocketPath = join(directory, 'new.sock');
const forWebServer = createHttpServer(
  createNewHandler(newcomers, () => config),
  log,
  'new',
);
forWebServer.server.listen(newSocketPath);
await once(forWebServer.server, 'listening');
t.teardown(() => forWebServer.drain(0));

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function ask(
  method: string,
  path: string,
  body = '',
  headers: Record<string, string> = {},
  socket = socketPath,
): Promise<Answer> {
  const outgoing = request({
    socketPath: socket,
    method,
    path,
    headers: { 'content-length': body.length, ...headers },
  });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, body: text };
}

t.test('Dovecot', async (t) => {
  const rows: [path: string, body: string, status: number, answer: string, reason: string][] = [
    ['/passdb', 'user=found&password=x', 200, `password=${HASH}\n`, 'a hash to verify'],
    ['/passdb', 'user=verified&password=x', 200, 'nopassword=y\n', 'verified here'],
    ['/passdb', 'user=stranger&password=x', 403, '', 'refused'],
    ['/passdb', 'user=temporary&password=x', 503, '', 'temporary'],
    ['/passdb', 'user=throws&password=x', 503, '', 'a bug is temporary too'],
    ['/passdb', '', 403, '', 'nothing at all'],
    ['http://doveauth/passdb', 'user=found&password=x', 200, `password=${HASH}\n`, 'the whole URL'],
    ['/userdb', 'user=found', 200, 'uid=8\ngid=9\nhome=/mail/a b=c\n', 'an account'],
    ['/userdb', 'user=unknown', 404, '', 'none'],
    ['/userdb', 'user=temporary', 503, '', 'no answer'],
    ['/', '', 404, '', 'no such path'],
    ['/toString', '', 404, '', 'nor this'],
  ];
  for (const [path, body, status, answer, reason] of rows) {
    t.match(await ask('POST', path, body), { status, body: answer }, reason);
  }
  asked.length = 0;
  await ask('POST', '/passdb', 'user=a%40x.org&password=%ff%26+%22');
  t.same(asked, [['a@x.org', '\u00ff& "']], 'bytes');
  t.equal((await ask('GET', '/users')).status, 405);
  const users = (await ask('POST', '/users')).body.split('\n');
  t.same([users.length, users[0], users[4999]], [5001, 'user0@x.org', 'user4999@x.org']);
});

t.test('what comes through a web server sees /new only', async (t) => {
  for (const header of ['X-Forwarded-For', 'X-Real-IP', 'Forwarded', 'Via']) {
    for (const path of ['/passdb', '/userdb', '/users', '/account?t=secret']) {
      t.equal((await ask('POST', path, 'user=found&password=x', { [header]: '' })).status, 404, `${header} ${path}`);
    }
  }
});

t.test('the socket of the web server has /new and nothing else', async (t) => {
  const askNew = (method: string, path: string, body = '', headers: Record<string, string> = {}) =>
    ask(method, path, body, headers, newSocketPath);
  outcome = { kind: 'offered', credentials: { email: 'a@x.org', password: 'pw', dcloginUrl: undefined } };
  asked.length = operators.length = 0;
  for (const path of ['/passdb', '/userdb', '/users', '/account?t=secret', '/', '/new/', '/new/../users', '//users'])
    for (const method of ['POST', 'GET'])
      t.match(await askNew(method, path, 'user=found&password=x'), { status: 404, body: '' }, `${method} ${path}`);
  t.equal((await askNew('POST', 'http://doveauth/users')).status, 404, 'the whole URL');
  t.same([asked, operators], [[], []], 'nobody was asked');
  for (const path of ['/new?t=token', '/cgi-bin/newemail.py?t=token']) {
    const { status, body } = await askNew('POST', path, '', { 'X-Forwarded-For': '10.0.0.3' });
    t.same([status, JSON.parse(body)], [200, { email: 'a@x.org', password: 'pw' }], path);
    t.same(offered.at(-1), [['10.0.0.3'], 'token']);
  }
  t.equal((await askNew('GET', '/new')).status, 302);
  t.equal((await askNew('PUT', '/new')).status, 405);
});

t.test('/account, for the operator', async (t) => {
  operators.length = 0;
  const answer = await ask('POST', '/account?t=secret');
  t.equal(answer.status, 200);
  t.same(JSON.parse(answer.body), { email: 'a@x.org', password: 'p', dclogin_url: 'dclogin:a' });
  t.equal((await ask('POST', '/account?t=other')).status, 403);
  t.match(await ask('POST', '/account?t=busy'), { status: 503, body: /busy/ });
  t.equal((await ask('POST', '/account')).status, 403);
  t.equal((await ask('GET', '/account?t=secret')).status, 405);
  t.same(operators, ['secret', 'other', 'busy', '']);
});

/** An error of `/new` says the same under both names. */
function checkSentence(t: Pick<typeof import('tap').default, 'match' | 'equal'>, body: string): void {
  const { reason, error } = JSON.parse(body);
  t.match(reason, /^[A-Z].*\.$/, 'a sentence for people');
  t.equal(error, reason);
}

t.test('/new', async (t) => {
  const credentials = { email: 'a@x.org', password: 'pw', dcloginUrl: undefined };
  outcome = { kind: 'offered', credentials };
  const answer = await ask('POST', '/new?x=1&t=tok%65n', '', { 'X-Forwarded-For': '10.0.0.1, 10.0.0.2' });
  t.match(answer, { status: 200, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' } });
  t.same(JSON.parse(answer.body), { email: 'a@x.org', password: 'pw' });
  t.same(offered.at(-1), [['10.0.0.2'], 'token']);
  t.same(JSON.parse((await ask('POST', '/cgi-bin/newemail.py')).body).email, 'a@x.org', 'the path of old QR codes');
  t.match(await ask('GET', '/new?t=abc'), { status: 302, headers: { location: 'dcaccount:https://x.org/new?t=abc' } });
  t.match(await ask('GET', '/new'), { status: 302, headers: { location: 'dcaccount:https://x.org/new' } });
  for (const method of ['PUT', 'DELETE', 'HEAD']) {
    const { status, headers, body } = await ask(method, '/new');
    t.match([status, headers.allow, headers['content-type']], [405, 'GET, POST', 'application/json'], method);
    if (method !== 'HEAD') checkSentence(t, body);
  }

  config = parseConfig('[params]\nmail_domain = 10.0.0.1');
  outcome = { kind: 'offered', credentials: { ...credentials, dcloginUrl: 'dclogin:x' } };
  for (const method of ['GET', 'POST']) {
    t.same(JSON.parse((await ask(method, '/new')).body), {
      email: 'a@x.org',
      password: 'pw',
      dclogin_url: 'dclogin:x',
    });
  }
  const refusals: [outcome: NewcomerOutcome, status: number, retryAfter: string | undefined][] = [
    [{ kind: 'refused', reason: 'rate-limit', retryAfterSeconds: 7 }, 429, '7'],
    [{ kind: 'refused', reason: 'registration-closed' }, 403, undefined],
    [{ kind: 'refused', reason: 'invitation-used-up' }, 403, undefined],
    [{ kind: 'refused', reason: 'low-disk', retryAfterSeconds: 300 }, 503, '300'],
    [{ kind: 'temporary' }, 503, undefined],
  ];
  for (const [refusal, status, retryAfter] of refusals) {
    outcome = refusal;
    const { status: code, headers, body } = await ask('POST', '/new');
    t.same([code, headers['retry-after']], [status, retryAfter]);
    checkSentence(t, body);
  }
});

t.test('limits', async (t) => {
  t.equal((await ask('POST', '/passdb', `password=${'x'.repeat(20_000)}`)).status, 413, 'a body that is too long');
  t.equal((await ask('POST', '/account?t=secret', 'x'.repeat(20_000))).status, 413);
  const long = await ask('POST', '/new', 'x'.repeat(20_000));
  t.match(long, { status: 413, headers: { connection: 'close', 'content-type': 'application/json' } });
  checkSentence(t, long.body);
  const endless = connect(socketPath);
  endless.on('error', () => {});
  endless.resume();
  endless.write('POST /passdb HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  endless.write(`5000\r\n${'x'.repeat(0x5000)}\r\n`);
  await once(endless, 'close');
  t.ok(true, 'one that does not end');
  const nonsense = connect(socketPath);
  nonsense.write('nonsense\r\n\r\n');
  const [answer] = await once(nonsense, 'data');
  t.match(String(answer), /^HTTP\/1\.1 400 /);
  nonsense.destroy();
});

t.test('draining answers what is in flight and closes the rest', async (t) => {
  let release = () => {};
  hold.promise = new Promise((resolve) => {
    release = resolve;
  });
  const idle = connect(socketPath);
  idle.write('POST /userdb HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nuser=found');
  await once(idle, 'data');
  idle.resume();
  const closed = once(idle, 'close');
  const running = ask('POST', '/passdb', 'user=found&password=x');
  while (asked.at(-1)?.[0] !== 'found') await new Promise((resolve) => setTimeout(resolve, 5));
  const drained = http.drain(2000);
  release();
  t.match(await running, { status: 200, headers: { connection: 'close' } });
  await Promise.all([closed, drained]);
  while (http.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(true, 'nobody is left');
});

t.test('the log of all that names nobody', async (t) => {
  t.notMatch(JSON.stringify(logged), /@|found|password/);
});
