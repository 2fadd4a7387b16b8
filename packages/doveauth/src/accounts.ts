/**
 * What all fronts of doveauth share: who exists, who may log in, who comes into being by logging in. The three outcomes
 * are ok, refused with a reason code, and temporary: whatever goes wrong on our side is temporary, never "no such user".
 * Outcomes are logged and counted here, by reason and never by name. Store, hashing, host and clock are handed in.
 */

import { type Address, type Config, type Logger, type Metrics, mailboxPath, parseAddress } from '#core';
import type { InvitationStore } from './invitation.ts';
import { planLastLogin, startOfDay } from './last-login.ts';
import { MAX_CRYPT3_PASSWORD_BYTES, MAX_PASSWORD_BYTES } from './password-limits.ts';
import { checkApplication, checkHost, type HostState, type RefusalReason } from './registration.ts';
import type { Owner } from './userdb.ts';

/** The accounts on disk. Every method rejects when the disk gives no answer. */
export interface AccountStore {
  /** Whom mailboxes belong to. */
  readonly owner: Owner;
  /** The stored hash; empty: the account is blocked; undefined: there is none. */
  readPassword(address: Address): Promise<string | undefined>;
  /**
   * Makes an account, completely or not at all, that survives a power cut once the promise resolves.
   *
   * @param lastLogin seconds since the epoch
   * @returns false when somebody else has made it before
   */
  create(address: Address, hash: string, lastLogin: number): Promise<boolean>;
  /** All accounts that are not blocked. */
  list(): AsyncIterable<Address>;
  /** Seconds since the epoch, or undefined when there is no such account. */
  readLastLogin(address: Address): Promise<number | undefined>;
  /** Does nothing when there is no such account. */
  writeLastLogin(address: Address, seconds: number): Promise<void>;
}

/** Hashing off the event loop; rejects when there is too much of it. */
export interface PasswordHasher {
  hash(password: Uint8Array): Promise<string>;
  verify(password: Uint8Array, stored: string): Promise<boolean>;
}

/** What a configuration decides; replaced as a whole on reload. */
export interface AccountSettings {
  readonly config: Config;
  readonly store: AccountStore;
  readonly invitations: InvitationStore;
  readHost(): Promise<HostState>;
}

export interface AccountsContext {
  readonly hasher: PasswordHasher;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that nobody sets. */
  uptime(): number;
}

type Refused = { readonly kind: 'refused'; readonly reason: RefusalReason };
/** With a reason: somebody new, for whom the machine has no room just now. */
type Temporary = { readonly kind: 'temporary'; readonly reason?: RefusalReason };

export type LoginOutcome =
  /** The account exists; whether the password is right is for the asker to verify against the hash. */
  | { readonly kind: 'found'; readonly hash: string }
  /** The password has been verified here. */
  | { readonly kind: 'verified' }
  | Refused
  | Temporary;

export type LookupOutcome =
  | { readonly kind: 'found'; readonly home: string; readonly owner: Owner }
  | { readonly kind: 'unknown' }
  | Temporary;

export type LastLoginOutcome = 'recorded' | 'unchanged' | 'unknown';

/** From a cached file to a creation behind a full queue. */
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1, 4];

const TEMPORARY: Temporary = { kind: 'temporary' };

function refused(reason: RefusalReason): Refused {
  return { kind: 'refused', reason };
}

export class Accounts {
  readonly #context: AccountsContext;
  #settings: AccountSettings;
  /** Creations under way, by address: a second login of the same name waits for the first instead of hashing as well. */
  readonly #creations = new Map<string, Promise<LoginOutcome>>();
  readonly #seconds;
  readonly #lookups;
  readonly #created;
  readonly #refusals;
  readonly #lastLogins;

  constructor(context: AccountsContext, settings: AccountSettings) {
    this.#context = context;
    this.#settings = settings;
    const { metrics } = context;
    this.#seconds = metrics.histogram('doveauth_request_seconds', 'Time to answer.', REQUEST_SECONDS, ['request']);
    this.#lookups = metrics.counter('doveauth_lookups_total', 'Look-ups by database and outcome.', [
      'database',
      'outcome',
    ]);
    this.#created = metrics.counter('doveauth_accounts_created_total', 'Accounts created.');
    this.#refusals = metrics.counter('doveauth_refusals_total', 'Logins and creations refused, by reason.', ['reason']);
    this.#lastLogins = metrics.counter('doveauth_last_logins_total', 'Reports of a login, by outcome.', ['outcome']);
  }

  /** Takes a new configuration. Creations under way end with the old one. */
  configure(settings: AccountSettings): void {
    this.#settings = settings;
  }

  /** Finds the account of someone who logs in, and creates it when it may be. Never rejects. */
  async login(user: string, password: Uint8Array): Promise<LoginOutcome> {
    const outcome = await this.#timed('passdb', () => this.#orTemporary(() => this.#login(user, password)));
    this.#lookups.inc({ database: 'passdb', outcome: outcome.kind });
    if ('reason' in outcome && outcome.reason !== undefined) this.noteRefusal(outcome.reason, 'login refused');
    return outcome;
  }

  /** Logs and counts a login or a creation that is refused. */
  noteRefusal(reason: RefusalReason | 'not-the-operator', message: string): void {
    this.#refusals.inc({ reason });
    this.#context.log.info(message, { reason });
  }

  /** Logs and counts an account that has been made. */
  noteCreation(): void {
    this.#created.inc();
    this.#context.log.info('account created');
  }

  /** Finds an account without creating it; a blocked one is unknown. Never rejects. */
  async lookup(user: string): Promise<LookupOutcome> {
    const outcome = await this.#timed('userdb', () => this.#orTemporary(() => this.#lookup(user)));
    this.#lookups.inc({ database: 'userdb', outcome: outcome.kind });
    return outcome;
  }

  /** All accounts of our domain. The iteration rejects when the disk gives no answer. */
  async *list(): AsyncGenerator<string> {
    const { config, store } = this.#settings;
    for await (const address of store.list()) {
      if (address.domain === config.addressDomain) yield address.text;
    }
  }

  /** Notes that an account was used. Rejects when the disk gives no answer. */
  async recordLogin(user: string, value: Buffer): Promise<LastLoginOutcome> {
    const outcome = await this.#timed('lastlogin', () => this.#recordLogin(user, value));
    this.#lastLogins.inc({ outcome });
    return outcome;
  }

  async #login(user: string, password: Uint8Array): Promise<LoginOutcome> {
    const { config, store } = this.#settings;
    if (password.length === 0) return refused('empty-password');
    const address = parseAddress(user);
    if (!address) return refused('bad-address');
    if (address.domain !== config.addressDomain) return refused('foreign-domain');
    if (password.length > MAX_PASSWORD_BYTES) return refused('password-length');

    const hash = await store.readPassword(address);
    const found = hash === undefined ? await this.#createOnce(address, password) : foundOrBlocked(hash);
    if (found.kind !== 'found' || password.length <= MAX_CRYPT3_PASSWORD_BYTES) return found;
    return (await this.#context.hasher.verify(password, found.hash)) ? { kind: 'verified' } : refused('wrong-password');
  }

  async #createOnce(address: Address, password: Uint8Array): Promise<LoginOutcome> {
    const refusal = checkApplication(this.#settings.config, address, password.length);
    if (refusal) return refused(refusal);
    // Asked of each login, before it may share the outcome of another.
    const { config, store, invitations } = this.#settings;
    if (config.registration === 'token' && !(await invitations.isHandedOut(address, password, this.#nowSeconds()))) {
      // Its invitation is forgotten once the account is made: by another login, since this one looked for it.
      const hash = await store.readPassword(address);
      return hash === undefined ? refused('not-invited') : foundOrBlocked(hash);
    }
    const running = this.#creations.get(address.text);
    if (running) return running;
    const creation = this.#create(address, password).finally(() => this.#creations.delete(address.text));
    this.#creations.set(address.text, creation);
    return creation;
  }

  async #create(address: Address, password: Uint8Array): Promise<LoginOutcome> {
    const { config, store, invitations, readHost } = this.#settings;
    const refusal = checkHost(config, await readHost());
    // The operator's word is final; a full disk or a busy machine is our own trouble, and passes.
    if (refusal) return refusal === 'creation-stopped' ? refused(refusal) : { kind: 'temporary', reason: refusal };
    const hash = await this.#context.hasher.hash(password);
    if (await store.create(address, hash, startOfDay(this.#nowSeconds()))) {
      this.noteCreation();
      // What stays behind is good for nothing any more, and goes by itself after some days.
      if (config.registration === 'token') await invitations.forget(address, password).catch(() => {});
      return { kind: 'found', hash };
    }
    const winner = await store.readPassword(address);
    return winner === undefined ? TEMPORARY : foundOrBlocked(winner);
  }

  async #lookup(user: string): Promise<LookupOutcome> {
    const { config, store } = this.#settings;
    const address = this.#ourAddress(user);
    if (!address || !(await store.readPassword(address))) return { kind: 'unknown' };
    return { kind: 'found', home: mailboxPath(config.mailboxes_dir, address), owner: store.owner };
  }

  async #recordLogin(user: string, value: Buffer): Promise<LastLoginOutcome> {
    const { store } = this.#settings;
    const address = this.#ourAddress(user);
    const current = address && (await store.readLastLogin(address));
    if (address === undefined || current === undefined) return 'unknown';
    const day = planLastLogin(value, current, this.#nowSeconds());
    if (day === undefined) return 'unchanged';
    await store.writeLastLogin(address, day);
    return 'recorded';
  }

  #nowSeconds(): number {
    return this.#context.now() / 1000;
  }

  #ourAddress(user: string): Address | undefined {
    const address = parseAddress(user);
    return address?.domain === this.#settings.config.addressDomain ? address : undefined;
  }

  async #timed<T>(request: string, work: () => Promise<T>): Promise<T> {
    const { uptime } = this.#context;
    const begin = uptime();
    const outcome = await work();
    this.#seconds.observe((uptime() - begin) / 1000, { request });
    return outcome;
  }

  async #orTemporary<T>(work: () => Promise<T | Temporary>): Promise<T | Temporary> {
    try {
      return await work();
    } catch (error) {
      this.#context.log.warn('look-up failed for now', { error });
      return TEMPORARY;
    }
  }
}

function foundOrBlocked(hash: string): LoginOutcome {
  return hash === '' ? refused('blocked') : { kind: 'found', hash };
}
