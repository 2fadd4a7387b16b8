/**
 * [io] What every way of asking doveauth must do alike, whatever Dovecot and protocol are in between: a doveauth and a Dovecot
 * of our own in one temporary directory, and the checks. Needs root.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type t from 'tap';
import { type AccountDatabases, type Dovecot, LineClient, MAIL_ID, run, startDovecot } from './dict-dovecot.ts';

export type Assertions = Pick<typeof t, 'equal' | 'same' | 'ok' | 'notOk' | 'match' | 'notMatch'>;

export const DOMAIN = '[127.0.0.1]';

/** Everything a password may consist of, and how that is called. */
export const PASSWORDS: readonly (readonly [name: string, password: string | Buffer, reason: string])[] = [
  ['plain0000', 'password1', 'the plain case'],
  ['quotes000', `a"b'c\\d"\\"'`, 'quotes and backslashes'],
  ['spaces000', ' pass word ', 'blanks'],
  ['form00000', 'a=b&c=d+e%20f;g', 'what separates fields of a form'],
  ['utf800000', 'p\u00e4ssw\u00f6rd-\u20ac-\u{1f511}', 'UTF-8'],
  ['bytes0000', Buffer.from('fffefd80c081ff7f41', 'hex'), 'bytes that are not UTF-8'],
  ['percent00', '%u%w%Ew{PLAIN}$6$', "Dovecot's own syntax"],
  ['json00000', '","nopassword":"Y', 'JSON'],
  ['long46500', 'w'.repeat(465), 'the longest checkpassword takes'],
  ['long51100', 'x'.repeat(511), 'the longest crypt(3) takes'],
  ['long51200', 'x'.repeat(512), 'one longer'],
  ['long90000', 'y'.repeat(900), '900 bytes'],
];

/** Where doveauth listens. */
export interface DoveauthSockets {
  readonly auth: string;
  readonly lastLogin: string;
  readonly http: string;
}

/** A directory with a configuration, a doveauth that can be ended and started again, and a Dovecot that asks it. */
export class AccountFront {
  readonly directory = mkdtempSync(join(tmpdir(), 'doveauth-front-'));
  readonly mail = join(this.directory, 'mail');
  readonly sockets: DoveauthSockets = {
    auth: join(this.directory, 'auth.sock'),
    lastLogin: join(this.directory, 'lastlogin.sock'),
    http: join(this.directory, 'http.sock'),
  };
  dovecot!: Dovecot;
  /** All doveauth has logged. */
  log = '';
  #daemon: ChildProcess | undefined;

  /** Writes the configuration, with `lines` besides what all need. */
  configure(lines = ''): void {
    writeFileSync(
      join(this.directory, 'chatmail.ini'),
      `[params]\nmail_domain = 127.0.0.1\nmailboxes_dir = ${this.mail}\nstate_dir = ${this.directory}/state\n` +
        `max_load_1m = 1000\nmin_available_memory = 0\nmin_free_disk_space = 0\n${lines}`,
    );
  }

  /** Starts doveauth. Its sockets are open to `socketUser`: Dovecot's processes run as that. */
  async startDoveauth(socketUser = MAIL_ID, http = `unix:${this.sockets.http}`): Promise<void> {
    const { auth, lastLogin } = this.sockets;
    const listen = [`auth=unix:${auth}`, `lastlogin=unix:${lastLogin}`, `http=${http}`];
    const begin = this.log.length;
    const daemon = spawn(
      join(import.meta.dirname, '../../bin/doveauth'),
      ['--config', join(this.directory, 'chatmail.ini'), ...listen.flatMap((word) => ['--listen', word])],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    daemon.stderr.on('data', (chunk: Buffer) => {
      this.log += chunk;
    });
    this.#daemon = daemon;
    while (!this.log.slice(begin).includes('"ready ')) {
      if (daemon.exitCode !== null) throw new Error(`doveauth did not start: ${this.log.slice(begin)}`);
      await sleep(10);
    }
    for (const socket of Object.values(this.sockets)) if (existsSync(socket)) chownSync(socket, socketUser, MAIL_ID);
  }

  async stopDoveauth(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (!daemon) return;
    const exit = once(daemon, 'close');
    daemon.kill('SIGTERM');
    await exit;
  }

  /** Makes doveauth read a new configuration. */
  async reconfigure(lines: string): Promise<void> {
    this.configure(lines);
    const begin = this.log.length;
    this.#daemon!.kill('SIGHUP');
    while (!this.log.slice(begin).includes('configuration reloaded')) await sleep(10);
  }

  async end(): Promise<void> {
    await this.stopDoveauth();
    await this.dovecot?.stop();
    rmSync(this.directory, { recursive: true });
  }

  passwordFile(user: string): string {
    return join(this.mail, user, 'password');
  }

  dovecotLog(): string {
    return readFileSync(join(this.directory, 'dovecot.log'), 'latin1');
  }

  /** Logs in over IMAP and returns the tagged answer. */
  async imapLogin(user: string, password: string | Buffer): Promise<string> {
    const client = new LineClient({ port: this.dovecot.imapPort });
    try {
      await client.say('', /^\* OK/);
      const plain = Buffer.concat([Buffer.from(`\0${user}\0`), Buffer.from(password)]).toString('base64');
      const answer = await client.say(`a AUTHENTICATE PLAIN ${plain}`, /^a /);
      if (/^a OK/m.test(answer)) await client.say('b LOGOUT', /^b /);
      return /^a .*$/m.exec(answer)![0];
    } finally {
      await client.close();
    }
  }

  /** Runs doveadm; resolves with its exit code and output. */
  async doveadm(...words: string[]): Promise<{ code: number; stdout: string }> {
    const [command, ...args] = this.dovecot.doveadm(...words);
    return run(command!, args, { maxBuffer: 2 ** 26 }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }) => ({ code, stdout }),
    );
  }

  /** Exit code of `doveadm auth test`: 0 right, 77 refused, 75 temporary. */
  async authTest(user: string, password: string): Promise<number> {
    return (await this.doveadm('auth', 'test', user, password)).code;
  }

  /** The answer to RCPT TO over LMTP, or to the end of a message that is delivered. */
  async lmtp(user: string, message?: string): Promise<string> {
    const client = new LineClient({ path: this.dovecot.lmtpSocket });
    try {
      await client.say('', /^220 /);
      await client.say('LHLO test', /^250 /);
      await client.say('MAIL FROM:<>', /^250 /);
      const answer = await client.say(`RCPT TO:<${user}>`, /^\d\d\d /);
      if (message === undefined || !answer.startsWith('250')) return answer;
      await client.say('DATA', /^354 /);
      return await client.say(`${message}\r\n.`, /^\d\d\d /);
    } finally {
      await client.close();
    }
  }
}

/** With a Dovecot 2.3 whose databases are these; dict ones, if none are given. doveauth is yet to be started. */
export async function startFront(databases?: (front: AccountFront) => AccountDatabases): Promise<AccountFront> {
  const front = new AccountFront();
  const { auth, lastLogin } = front.sockets;
  const sockets = { auth, lastLogin, metadata: join(front.directory, 'metadata.sock') };
  front.dovecot = await startDovecot(front.directory, sockets, databases?.(front));
  // After Dovecot: whom the mailboxes belong to is read at the start.
  front.configure();
  return front;
}

/** The first login creates, the second finds, a wrong password is refused: for each kind of password there is room for. */
export async function checkPasswords(t: Assertions, front: AccountFront, maxBytes = 1024): Promise<void> {
  const rows = PASSWORDS.filter(([, password]) => password.length <= maxBytes);
  // Starts doveauth's thread for hashes: if that takes seconds, whoever waits behind the first is refused.
  const first = `first0000@${DOMAIN}`;
  t.match(await front.imapLogin(first, 'password1'), /^a OK/);
  rmSync(join(front.mail, first), { recursive: true });
  await Promise.all(
    rows.map(async ([name, password, reason]) => {
      const user = `${name}@${DOMAIN}`;
      t.match(await front.imapLogin(user, password), /^a OK/, `first login: ${reason}`);
      const stored = readFileSync(front.passwordFile(user), 'utf8');
      t.match(await front.imapLogin(user, password), /^a OK/, `second login: ${reason}`);
      const wrong = Buffer.concat([Buffer.from(password).subarray(0, -1), Buffer.from('z')]);
      t.match(await front.imapLogin(user, wrong), /^a NO \[AUTHENTICATIONFAILED\]/, `wrong: ${reason}`);
      t.equal(readFileSync(front.passwordFile(user), 'utf8'), stored, `the password stays: ${reason}`);
    }),
  );
}

/** `doveadm auth test`: who is created, found and refused. */
export async function checkAuthTest(t: Assertions, front: AccountFront): Promise<void> {
  const rows: [user: string, password: string, code: number, reason: string][] = [
    [`abc123xyz@${DOMAIN}`, 'password1', 0, 'created'],
    [`abc123xyz@${DOMAIN}`, 'password1', 0, 'found'],
    [`abc123xyz@${DOMAIN}`, 'password2', 77, 'wrong'],
    [`abc123xyz@${DOMAIN}`, '', 77, 'empty'],
    [`newcomer0@${DOMAIN}`, 'passwor8', 77, 'too short'],
    [`newcomer@${DOMAIN}`, 'password1', 77, 'name too short'],
    ['newcomer0@example.org', 'password1', 77, 'another domain'],
    ['newcomer0', 'password1', 77, 'no domain'],
  ];
  for (const [user, password, code, reason] of rows) {
    t.equal(await front.authTest(user, password), code, `${user}: ${reason}`);
  }
  t.notOk(existsSync(join(front.mail, `newcomer0@${DOMAIN}`)));
}

/** Blocked, closed, and trouble of ours; and that LMTP tells them apart. */
export async function checkRefusals(t: Assertions, front: AccountFront): Promise<void> {
  const blocked = `blocked00@${DOMAIN}`;
  t.match(await front.imapLogin(blocked, 'password1'), /^a OK/);
  writeFileSync(front.passwordFile(blocked), '');
  t.match(await front.imapLogin(blocked, 'password1'), /^a NO \[AUTHENTICATIONFAILED\]/, 'blocked');
  t.equal(readFileSync(front.passwordFile(blocked), 'utf8'), '', 'and not made anew');

  const trouble = `trouble00@${DOMAIN}`;
  mkdirSync(front.passwordFile(trouble), { recursive: true });
  t.match(await front.imapLogin(trouble, 'password1'), /^a NO \[UNAVAILABLE\]/, 'no wrong password');
  t.match(await front.lmtp(trouble), /^451 /, 'and no unknown user');
  rmSync(join(front.mail, trouble), { recursive: true });

  await front.reconfigure('registration = closed\n');
  t.match(await front.imapLogin(`newcomer0@${DOMAIN}`, 'password1'), /^a NO \[AUTHENTICATIONFAILED\]/, 'closed');
  t.match(await front.imapLogin(`plain0000@${DOMAIN}`, 'password1'), /^a OK/, 'who exists logs in');
  await front.reconfigure('');

  t.match(await front.lmtp(`nobody000@${DOMAIN}`), /^550 /, 'unknown');
  t.match(await front.lmtp(blocked), /^550 /, 'blocked');
}

/** A password file that holds no hash makes no password wrong. */
export async function checkDamagedHash(t: Assertions, front: AccountFront): Promise<void> {
  const user = `damaged00@${DOMAIN}`;
  t.match(await front.imapLogin(user, 'password1'), /^a OK/);
  const hash = readFileSync(front.passwordFile(user), 'utf8');
  for (const damaged of ['\0'.repeat(122), 'no hash', '{NONE}x', '{SHA512-CRYPT}', hash.slice(0, -1), `${hash}x`]) {
    writeFileSync(front.passwordFile(user), damaged);
    t.match(await front.imapLogin(user, 'password1'), /^a NO \[UNAVAILABLE\]/, JSON.stringify(damaged.slice(0, 20)));
  }
  writeFileSync(front.passwordFile(user), hash);
  t.match(await front.imapLogin(user, 'password2'), /^a NO \[AUTHENTICATIONFAILED\]/, 'a whole one does');
  rmSync(join(front.mail, user), { recursive: true });
}

/** A message arrives, in the place and with the owner it should have. */
export async function checkDelivery(t: Assertions, front: AccountFront): Promise<void> {
  const user = `plain0000@${DOMAIN}`;
  t.match(await front.lmtp(user, 'Subject: x\r\n\r\nbody'), /^250 /);
  const { stdout } = await front.doveadm('mailbox', 'status', '-u', user, 'messages', 'INBOX');
  t.match(stdout, /messages=1/);
  const { uid, gid } = statSync(join(front.mail, user, 'cur'));
  t.same([uid, gid], [MAIL_ID, MAIL_ID]);
}

/** Many first logins at once: one account. */
export async function checkConcurrency(t: Assertions, front: AccountFront): Promise<void> {
  const logins = (user: string, password: (index: number) => string) =>
    Promise.all(Array.from({ length: 30 }, (_, index) => front.imapLogin(user, password(index))));
  const same = await logins(`together0@${DOMAIN}`, () => 'password1');
  t.same(new Set(same.map((answer) => answer.slice(0, 4))), new Set(['a OK']), 'with one password all get in');
  const different = await logins(`together1@${DOMAIN}`, (index) => `password${index}`);
  t.equal(different.filter((answer) => answer.startsWith('a OK')).length, 1, 'with 30 passwords exactly one does');
}

/** Neither our log nor Dovecot's shows a password; ours names nobody. */
export function checkLogs(t: Assertions, front: AccountFront): void {
  t.match(front.log, /account created/);
  t.notMatch(front.log, /@|password\d/);
  for (const [name, password] of PASSWORDS) {
    t.notOk(front.log.includes(name), `our log does not say ${name}`);
    for (const text of [front.log, front.dovecotLog()]) {
      t.notOk(text.includes(Buffer.from(password).toString('latin1').slice(0, 40)), `no password of ${name}`);
    }
  }
}
