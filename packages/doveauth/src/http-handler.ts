/**
 * The HTTP sockets of doveauth: `/passdb`, `/userdb` and `/users` for the Lua script in Dovecot, `/new` for the web server.
 * Only translates: requests to questions, outcomes to replies. The socket of the web server has `/new` and nothing else: whoever
 * runs as its user must not get at password hashes. On the other one, what comes through a web server, which says so in a header,
 * sees no more than that either.
 *
 *   POST /passdb  user=..&password=..  200 `password={SCHEME}hash` or `nopassword=y`, 403 refused, 503 temporary
 *   POST /userdb  user=..              200 `uid=..`, `gid=..`, `home=..`, 404 unknown, 503 temporary
 *   POST /users                        200, one address a line
 *   POST /account?t=TOKEN              `chatmailctl new`: 200 as /new, 403 not a token of the operator, 503
 */

import { type Config, formatDcaccountUrl } from '#core';
import type { Accounts } from './accounts.ts';
import { clientNetworks } from './client-network.ts';
import { parseForm } from './form.ts';
import type { NewcomerOutcome, NewcomerRefusalReason, Newcomers } from './newcomers.ts';
import type { OperatorAccountOutcome } from './operator-account.ts';

export interface HttpRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** What stands after the `?`. */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Undefined when it is longer than is read. */
  readonly body: Buffer | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | AsyncIterable<string>;
}

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

const NOT_FOUND: HttpReply = { status: 404 };
const TEMPORARY: HttpReply = { status: 503 };
const TOO_LARGE: HttpReply = { status: 413 };
const METHOD_NOT_ALLOWED: HttpReply = { status: 405, headers: { allow: 'POST' } };

/** Headers web servers and proxies add, and neither Dovecot nor our script does. */
const PROXY_HEADERS = ['x-forwarded-for', 'x-real-ip', 'forwarded', 'via'];
/** `/cgi-bin/newemail.py` is on the QR codes of older relays, and clients follow no redirect. */
const NEW_PATHS = ['/new', '/cgi-bin/newemail.py'];
/** Characters of a piece of the list of users. */
const CHUNK_LENGTH = 16_384;

/** What clients show to the person in front of them. */
const REFUSALS: Readonly<
  Record<NewcomerRefusalReason | 'not-the-operator', readonly [status: number, sentence: string]>
> = {
  'not-the-operator': [403, 'Only the operator of this relay may do this.'],
  'registration-closed': [403, 'This relay does not take new accounts.'],
  'invitation-missing': [403, 'This relay takes new accounts by invitation only.'],
  'invitation-unknown': [403, 'This invitation is not valid.'],
  'invitation-expired': [403, 'This invitation has expired.'],
  'invitation-used-up': [403, 'This invitation has been used up.'],
  'creation-stopped': [503, 'This relay takes no new accounts at the moment. Please try again later.'],
  'high-load': [503, 'This relay is busy. Please try again later.'],
  'low-memory': [503, 'This relay is busy. Please try again later.'],
  'low-disk': [503, 'This relay is full. Please try again later.'],
  'rate-limit': [429, 'Too many new accounts just now. Please try again later.'],
};

/** Makes an account for the operator who has this token. */
export type CreateAccount = (token: string) => Promise<OperatorAccountOutcome>;

/**
 * Answers `/new`, also by its old name, and knows nothing else: for the socket that the web server's user may connect to.
 * `readConfig` gives the configuration of the moment.
 */
export function createNewHandler(newcomers: Newcomers, readConfig: () => Config): HttpHandler {
  return (request) => (NEW_PATHS.includes(request.path) ? answerNew(newcomers, readConfig(), request) : NOT_FOUND);
}

/** Answers everything: for Dovecot and the operator. `readConfig` gives the configuration of the moment. */
export function createHttpHandler(
  accounts: Accounts,
  newcomers: Newcomers,
  createAccount: CreateAccount,
  readConfig: () => Config,
): HttpHandler {
  const answerWebServer = createNewHandler(newcomers, readConfig);
  return (request) => {
    if (NEW_PATHS.includes(request.path)) return answerWebServer(request);
    if (PROXY_HEADERS.some((name) => request.headers[name] !== undefined)) return NOT_FOUND;
    if (request.path === '/account') return answerAccount(createAccount, request);
    const answer = { '/passdb': answerPassdb, '/userdb': answerUserdb, '/users': answerUsers }[request.path];
    if (!answer) return NOT_FOUND;
    if (request.method !== 'POST') return METHOD_NOT_ALLOWED;
    return request.body ? answer(accounts, parseForm(request.body)) : TOO_LARGE;
  };
}

async function answerPassdb(accounts: Accounts, form: Map<string, Buffer>): Promise<HttpReply> {
  const outcome = await accounts.login(textOf(form, 'user'), form.get('password') ?? Buffer.alloc(0));
  switch (outcome.kind) {
    case 'found':
      return { status: 200, body: `password=${outcome.hash}\n` };
    case 'verified':
      return { status: 200, body: 'nopassword=y\n' };
    case 'refused':
      return { status: 403 };
    case 'temporary':
      return TEMPORARY;
  }
}

async function answerUserdb(accounts: Accounts, form: Map<string, Buffer>): Promise<HttpReply> {
  const outcome = await accounts.lookup(textOf(form, 'user'));
  switch (outcome.kind) {
    case 'found':
      return {
        status: 200,
        body: `uid=${outcome.owner.uid}\ngid=${outcome.owner.gid}\nhome=${outcome.home}\n`,
      };
    case 'unknown':
      return NOT_FOUND;
    case 'temporary':
      return TEMPORARY;
  }
}

function answerUsers(accounts: Accounts): HttpReply {
  return { status: 200, body: inChunks(accounts.list()) };
}

async function* inChunks(users: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = '';
  for await (const user of users) {
    chunk += `${user}\n`;
    if (chunk.length < CHUNK_LENGTH) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}

async function answerNew(newcomers: Newcomers, config: Config, request: HttpRequest): Promise<HttpReply> {
  if (!request.body) return error(413, 'This request is too long.');
  const token = tokenOf(request);
  if (request.method === 'GET' && !config.isSelfSigned) {
    // Somebody has opened an invitation link in a browser: their client takes it from there.
    return { status: 302, headers: { location: formatDcaccountUrl(config, token) } };
  }
  if (request.method !== 'POST' && request.method !== 'GET') {
    return error(405, 'This address takes GET and POST only.', { allow: 'GET, POST' });
  }
  const networks = clientNetworks(headerOf(request, 'x-forwarded-for'), headerOf(request, 'x-real-ip'));
  return newReply(await newcomers.offer(networks, token));
}

async function answerAccount(createAccount: CreateAccount, request: HttpRequest): Promise<HttpReply> {
  if (!request.body) return TOO_LARGE;
  if (request.method !== 'POST') return METHOD_NOT_ALLOWED;
  return newReply(await createAccount(tokenOf(request) ?? ''));
}

function tokenOf({ query }: HttpRequest): string | undefined {
  return parseForm(Buffer.from(query, 'latin1')).get('t')?.toString('latin1');
}

function newReply(outcome: NewcomerOutcome | OperatorAccountOutcome): HttpReply {
  switch (outcome.kind) {
    case 'created':
    case 'offered': {
      const { email, password, dcloginUrl } = outcome.credentials;
      return json(200, { email, password, ...(dcloginUrl === undefined ? {} : { dclogin_url: dcloginUrl }) });
    }
    case 'refused': {
      const [status, sentence] = REFUSALS[outcome.reason];
      const seconds = 'retryAfterSeconds' in outcome ? outcome.retryAfterSeconds : undefined;
      return error(status, sentence, seconds === undefined ? {} : { 'retry-after': String(seconds) });
    }
    case 'temporary':
      return error(503, 'This relay has a problem. Please try again later.');
  }
}

/** Clients read `reason`, the description of the interface says `error`: both have it. */
function error(status: number, sentence: string, headers: Readonly<Record<string, string>> = {}): HttpReply {
  return json(status, { reason: sentence, error: sentence }, headers);
}

function json(status: number, value: object, headers: Readonly<Record<string, string>> = {}): HttpReply {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(value),
  };
}

/** latin1: no byte above 0x7f can then pass for an ASCII letter of a name. */
function textOf(form: Map<string, Buffer>, name: string): string {
  return form.get(name)?.toString('latin1') ?? '';
}

function headerOf({ headers }: HttpRequest, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
