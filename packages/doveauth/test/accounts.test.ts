import t from 'tap';
import { type Address, NO_METRICS, parseConfig } from '#core';
import { type AccountStore, Accounts, type PasswordHasher } from '../src/accounts.ts';
import type { InvitationStore } from '../src/invitation.ts';
import type { HostState } from '../src/registration.ts';

const DAY = 20_000 * 86_400;
const NOW_MS = (DAY + 3600) * 1000;
const USER = 'abcdefghi@x.org';
const RICH: HostState = { load1: 0, availableMemoryBytes: 2 ** 40, freeDiskBytes: 2 ** 40, isCreationStopped: false };

/** A disk in memory. `broken` makes every access fail. */
class MemoryStore implements AccountStore {
  readonly owner = { uid: 5000, gid: 5001 };
  readonly accounts = new Map<string, { hash: string; lastLogin: number }>();
  broken = false;
  creations = 0;

  async readPassword({ text }: Address) {
    this.#check();
    return this.accounts.get(text)?.hash;
  }
  async create({ text }: Address, hash: string, lastLogin: number) {
    this.#check();
    this.creations++;
    if (this.accounts.has(text)) return false;
    this.accounts.set(text, { hash, lastLogin });
    return true;
  }
  async *list() {
    this.#check();
    for (const text of this.accounts.keys()) yield { text, localPart: '', domain: text.slice(text.indexOf('@') + 1) };
  }
  async readLastLogin({ text }: Address) {
    this.#check();
    return this.accounts.get(text)?.lastLogin;
  }
  async writeLastLogin({ text }: Address, seconds: number) {
    this.accounts.get(text)!.lastLogin = seconds;
  }
  #check() {
    if (this.broken) throw Object.assign(new Error(`cannot read ${USER}`), { code: 'EIO' });
  }
}

/** "Hashes" by writing the password down, one turn of the event loop later. */
class PlainHasher implements PasswordHasher {
  hashed = 0;
  error: Error | undefined;

  async hash(password: Uint8Array) {
    this.hashed++;
    await new Promise((resolve) => setImmediate(resolve));
    if (this.error) throw this.error;
    return `hash of ${Buffer.from(password)}`;
  }
  async verify(password: Uint8Array, stored: string) {
    return stored === `hash of ${Buffer.from(password)}`;
  }
}

function setUp(lines = '', host = RICH) {
  const store = new MemoryStore();
  const hasher = new PlainHasher();
  const logged: unknown[][] = [];
  const counted: string[] = [];
  const note = (...line: unknown[]) => void logged.push(line);
  const log = { debug: note, info: note, warn: note, error: note };
  const metrics = {
    ...NO_METRICS,
    counter: (name: string) => ({
      inc: (labels: object = {}) => void counted.push([name, ...Object.values(labels)].join(' ')),
    }),
  };
  const handedOut = new Set<string>();
  const record = ({ text }: Address, password: Uint8Array) => `${text} ${Buffer.from(password)}`;
  const invitations: InvitationStore = {
    take: async () => 'taken',
    takeOperator: async () => false,
    isHandedOut: async (address, password) => handedOut.has(record(address, password)),
    forget: async (address, password) => void handedOut.delete(record(address, password)),
  };
  const settings = (lines: string, state = host) => ({
    config: parseConfig(`[params]\nmail_domain = x.org\nmailboxes_dir = /mail\n${lines}`),
    store,
    invitations,
    readHost: async () => state,
  });
  const accounts = new Accounts({ hasher, log, metrics, now: () => NOW_MS, uptime: () => 0 }, settings(lines));
  const login = (user: string, password: string) => accounts.login(user, Buffer.from(password));
  return { accounts, login, store, hasher, logged, counted, settings, handedOut };
}

const refused = (reason: string) => ({ kind: 'refused', reason });

t.test('logging in', async (t) => {
  const { login, store, logged, counted } = setUp();
  t.same(await login(USER, 'password1'), { kind: 'found', hash: 'hash of password1' }, 'the first login creates');
  t.equal(store.accounts.get(USER)?.lastLogin, DAY, 'and counts as a login of today');
  t.same(await login(USER, 'another password'), { kind: 'found', hash: 'hash of password1' }, 'Dovecot verifies');
  t.same(await login('ABCDEFGHI@X.ORG', 'p'), { kind: 'found', hash: 'hash of password1' }, 'capitals, short password');
  store.accounts.set('blocked00@x.org', { hash: '', lastLogin: 0 });

  const rows: [user: string, password: string, reason: string][] = [
    [USER, '', 'empty-password'],
    ['newcomer0@x.org', '', 'empty-password'],
    ['blocked00@x.org', 'password1', 'blocked'],
    ['abcdefghi', 'password1', 'bad-address'],
    ['../../etc@x.org', 'password1', 'bad-address'],
    ['abcdefghi@x.org.evil', 'password1', 'foreign-domain'],
    ['abcdefghi@[10.0.0.1]', 'password1', 'foreign-domain'],
    ['newcomer@x.org', 'password1', 'name-length'],
    ['newcomer0@x.org', 'passwor8', 'password-length'],
    [USER, 'x'.repeat(1025), 'password-length'],
  ];
  for (const [user, password, reason] of rows)
    t.same(await login(user, password), refused(reason), `${user}: ${reason}`);
  t.same([...store.accounts.keys()], [USER, 'blocked00@x.org'], 'none of them came into being');
  t.match(counted, ['doveauth_accounts_created_total', 'doveauth_lookups_total passdb found']);
  for (const [, , reason] of rows) t.ok(counted.includes(`doveauth_refusals_total ${reason}`), reason);
  t.notMatch(JSON.stringify(logged), /@|password1|passwor8/, 'the log names nobody');
});

t.test('who may not come into being, while who exists logs in', async (t) => {
  const rows: [lines: string, host: HostState, reason: string][] = [
    ['registration = closed', RICH, 'registration-closed'],
    ['registration = token', RICH, 'not-invited'],
    ['', { ...RICH, isCreationStopped: true }, 'creation-stopped'],
    ['', { ...RICH, load1: 99 }, 'high-load'],
    ['', { ...RICH, freeDiskBytes: 0 }, 'low-disk'],
    ['', { ...RICH, availableMemoryBytes: 0 }, 'low-memory'],
  ];
  for (const [lines, host, reason] of rows) {
    const { login, store, counted } = setUp(lines, host);
    store.accounts.set('olduser00@x.org', { hash: 'old', lastLogin: 0 });
    // What the machine lacks is our trouble: the client tries again instead of asking for another password.
    const kind = host === RICH || host.isCreationStopped ? 'refused' : 'temporary';
    t.same(await login(USER, 'password1'), { kind, reason });
    t.ok(counted.includes(`doveauth_refusals_total ${reason}`));
    t.same(await login('olduser00@x.org', 'password1'), { kind: 'found', hash: 'old' }, reason);
  }
});

t.test('by invitation, only what was handed out comes into being', async (t) => {
  const { login, store, handedOut } = setUp('registration = token');
  handedOut.add(`${USER} password1`);
  const [wrong, right] = await Promise.all([login(USER, 'password2'), login(USER, 'password1')]);
  t.same(wrong, refused('not-invited'), 'another password');
  t.same(right, { kind: 'found', hash: 'hash of password1' }, 'while the right one is at work');
  t.equal(handedOut.size, 0, 'is forgotten then');
  t.same(await login(USER, 'password2'), { kind: 'found', hash: 'hash of password1' }, 'who exists is found as ever');
  store.accounts.clear();
  t.same(await login(USER, 'password1'), refused('not-invited'), 'and does not come back after deletion');
});

t.test('by invitation, a login while another one makes the account', async (t) => {
  const { login, store, handedOut } = setUp('registration = token');
  handedOut.has = () => {
    store.accounts.set(USER, { hash: 'theirs', lastLogin: 0 });
    return false;
  };
  t.same(await login(USER, 'password1'), { kind: 'found', hash: 'theirs' });
});

t.test('passwords crypt(3) does not take are verified here', async (t) => {
  const { login, counted } = setUp();
  const long = 'x'.repeat(512);
  t.same(await login(USER, long), { kind: 'verified' }, 'created');
  t.same(await login(USER, long), { kind: 'verified' }, 'and again');
  t.same(await login(USER, `${long.slice(1)}y`), refused('wrong-password'));
  t.equal((await login(USER, long.slice(1))).kind, 'found', 'a shorter one is left to Dovecot');
  t.ok(counted.includes('doveauth_lookups_total passdb verified'));
});

t.test('200 first logins at once', async (t) => {
  const same = setUp();
  const outcomes = await Promise.all(Array.from({ length: 200 }, () => same.login(USER, 'password1')));
  t.same(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size, 1, 'all see one account');
  t.same([same.hasher.hashed, same.store.creations], [1, 1], 'made once');

  const different = setUp();
  const passwords = Array.from({ length: 200 }, (_, index) => `password${index}`);
  const hashes = await Promise.all(passwords.map((password) => different.login(USER, password)));
  const right = hashes.filter(
    (outcome, index) => outcome.kind === 'found' && outcome.hash === `hash of ${passwords[index]}`,
  );
  t.equal(right.length, 1, 'one password wins');
  t.ok(
    hashes.every((outcome) => outcome.kind === 'found'),
    'the others are told the hash of the winner',
  );
});

t.test('somebody else was first', async (t) => {
  const rows: [there: string | undefined, expected: object, reason: string][] = [
    ['theirs', { kind: 'found', hash: 'theirs' }, 'another process made the account'],
    ['', refused('blocked'), 'and it was blocked'],
    [undefined, { kind: 'temporary' }, 'and it was deleted again'],
  ];
  for (const [there, expected, reason] of rows) {
    const { login, store } = setUp();
    store.create = async () => {
      if (there !== undefined) store.accounts.set(USER, { hash: there, lastLogin: 0 });
      return false;
    };
    t.same(await login(USER, 'password1'), expected, reason);
  }
});

t.test('trouble of ours is temporary, and no trouble for the next', async (t) => {
  const { accounts, login, store, hasher, logged } = setUp();
  hasher.error = new Error(`queue full for ${USER}`);
  t.same(await login(USER, 'password1'), { kind: 'temporary' }, 'hashing fails');
  hasher.error = undefined;
  t.equal((await login(USER, 'password1')).kind, 'found', 'then works');
  store.broken = true;
  t.same(await login(USER, 'password1'), { kind: 'temporary' }, 'the disk is broken');
  t.same(await accounts.lookup(USER), { kind: 'temporary' }, 'for userdb too');
  await t.rejects(accounts.list().next(), { code: 'EIO' });
  await t.rejects(accounts.recordLogin(USER, Buffer.from('1')), { code: 'EIO' });
  t.match(logged.at(-1), ['look-up failed for now', { error: { code: 'EIO' } }]);
});

t.test('looking up', async (t) => {
  const { accounts, store } = setUp();
  store.accounts.set(USER, { hash: 'hash', lastLogin: 0 });
  store.accounts.set('blocked00@x.org', { hash: '', lastLogin: 0 });
  store.accounts.set('abcdefghi@other.org', { hash: 'hash', lastLogin: 0 });
  t.same(await accounts.lookup(USER), { kind: 'found', home: `/mail/${USER}`, owner: { uid: 5000, gid: 5001 } });
  for (const user of ['blocked00@x.org', 'newcomer0@x.org', 'abcdefghi@other.org', 'abcdefghi', '', '../x@x.org']) {
    t.same(await accounts.lookup(user), { kind: 'unknown' }, user);
  }
  t.equal(store.creations, 0, 'looking up creates nobody');
});

t.test('recording logins', async (t) => {
  const { accounts, store } = setUp();
  store.accounts.set(USER, { hash: 'hash', lastLogin: DAY - 86_400 });
  const record = (user: string, value: string) => accounts.recordLogin(user, Buffer.from(value));
  t.equal(await record(USER, String(NOW_MS / 1000)), 'recorded');
  t.equal(store.accounts.get(USER)?.lastLogin, DAY);
  t.equal(await record(USER, String(NOW_MS / 1000)), 'unchanged');
  t.equal(await record(USER, 'soon'), 'unchanged');
  t.equal(await record('newcomer0@x.org', String(DAY)), 'unknown');
  t.equal(await record('newcomer0@other.org', String(DAY)), 'unknown');
});

t.test('a new configuration counts from the next login on', async (t) => {
  const { accounts, login, settings } = setUp();
  accounts.configure(settings('registration = closed'));
  t.same(await login(USER, 'password1'), refused('registration-closed'));
  accounts.configure(settings(''));
  t.equal((await login(USER, 'password1')).kind, 'found');
});
