/**
 * What `/new` hands out: a name and a password nobody has. The account itself comes into being at the first login, as every
 * other; where an invitation is needed, only what was handed out here for one may do so. Limits the rate per client and
 * overall. Clients are kept as pseudonyms, for a minute, in memory.
 */

import { type Address, formatDcloginUrl, type Logger, type Metrics, parseAddress } from '#core';
import type { AccountSettings } from './accounts.ts';
import { type ByteSource, inventName, inventPassword } from './credentials.ts';
import type { InvitationRefusalReason } from './invitation.ts';
import { RateLimit } from './rate-limit.ts';
import { checkHost, type HostRefusalReason } from './registration.ts';

export type NewcomerRefusalReason =
  | 'registration-closed'
  | 'invitation-missing'
  | 'rate-limit'
  | InvitationRefusalReason
  | HostRefusalReason;

export interface Credentials {
  readonly email: string;
  readonly password: string;
  /** Where clients cannot check our certificate. */
  readonly dcloginUrl: string | undefined;
}

export type NewcomerOutcome =
  | { readonly kind: 'offered'; readonly credentials: Credentials }
  | { readonly kind: 'refused'; readonly reason: NewcomerRefusalReason; readonly retryAfterSeconds?: number }
  | { readonly kind: 'temporary' };

/** Randomness, loaded when somebody first needs it. */
export interface Randomness {
  readonly bytes: ByteSource;
  /** A name for a text that tells nothing about it and is another after the next start. */
  pseudonym(text: string): string;
}

export interface NewcomersContext {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that nobody sets. */
  uptime(): number;
  randomness(): Promise<Randomness>;
}

/** Names tried before giving up; more than one is needed only where names are very short. */
const MAX_TRIES = 20;
/** What a client is told to wait when the machine has nothing to spare, s. */
const HOST_RETRY_SECONDS = 300;
/** The one key of the overall limit. */
const EVERYBODY = '';

export class Newcomers {
  readonly #context: NewcomersContext;
  #settings: AccountSettings;
  #overall: RateLimit;
  #perClient: RateLimit;
  readonly #outcomes;
  #hasWarned = false;

  constructor(context: NewcomersContext, settings: AccountSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#overall = new RateLimit(settings.config.new_accounts_per_minute);
    this.#perClient = new RateLimit(settings.config.new_accounts_per_minute_per_client);
    this.#outcomes = context.metrics.counter('doveauth_new_total', 'Requests to /new by outcome.', ['outcome']);
  }

  /** Takes a new configuration. Rates begin anew only where their limit changes. */
  configure(settings: AccountSettings): void {
    const before = this.#settings.config;
    const { new_accounts_per_minute, new_accounts_per_minute_per_client } = settings.config;
    this.#settings = settings;
    if (before.new_accounts_per_minute !== new_accounts_per_minute) {
      this.#overall = new RateLimit(new_accounts_per_minute);
    }
    if (before.new_accounts_per_minute_per_client !== new_accounts_per_minute_per_client) {
      this.#perClient = new RateLimit(new_accounts_per_minute_per_client);
    }
  }

  /**
   * Invents a name and a password. Never rejects.
   *
   * @param networks whom the request is counted under
   */
  async offer(networks: readonly string[], token: string | undefined): Promise<NewcomerOutcome> {
    let outcome: NewcomerOutcome;
    try {
      outcome = await this.#offer(networks, token);
    } catch (error) {
      this.#context.log.warn('no account could be offered for now', { error });
      outcome = { kind: 'temporary' };
    }
    this.#outcomes.inc({ outcome: outcome.kind === 'refused' ? outcome.reason : outcome.kind });
    if (outcome.kind === 'refused') this.#context.log.info('no account offered', { reason: outcome.reason });
    return outcome;
  }

  async #offer(networks: readonly string[], token: string | undefined): Promise<NewcomerOutcome> {
    const randomness = await this.#context.randomness();
    const waitMs = this.#count(networks, randomness);
    if (waitMs > 0) return { kind: 'refused', reason: 'rate-limit', retryAfterSeconds: Math.ceil(waitMs / 1000) };
    const { config, readHost } = this.#settings;
    if (config.registration === 'closed') return { kind: 'refused', reason: 'registration-closed' };
    if (config.registration === 'token' && !token) return { kind: 'refused', reason: 'invitation-missing' };
    const trouble = checkHost(config, await readHost());
    if (trouble) return { kind: 'refused', reason: trouble, retryAfterSeconds: HOST_RETRY_SECONDS };

    const address = await findUnusedAddress(this.#settings, randomness.bytes);
    if (!address) return { kind: 'temporary' };
    const password = inventPassword(config, randomness.bytes);
    if (config.registration === 'token') {
      const { invitations } = this.#settings;
      const result = await invitations.take(token!, address, Buffer.from(password), this.#context.now() / 1000);
      if (result === 'too-many') return { kind: 'temporary' };
      if (result !== 'taken') return { kind: 'refused', reason: result };
    }
    const dcloginUrl = config.isSelfSigned ? formatDcloginUrl(config, address.text, password) : undefined;
    return { kind: 'offered', credentials: { email: address.text, password, dcloginUrl } };
  }

  /** Counts a request where all its limits have room; else returns the time until they do, ms. */
  #count(networks: readonly string[], randomness: Randomness): number {
    if (networks.length === 0 && !this.#hasWarned) {
      this.#hasWarned = true;
      this.#context.log.warn('/new is asked without X-Forwarded-For or X-Real-IP: all clients share one limit');
    }
    const now = this.#context.uptime();
    const keys = (networks.length === 0 ? [EVERYBODY] : networks).map((network) => randomness.pseudonym(network));
    const waits = keys.map((key) => this.#perClient.waitMs(key, now));
    const waitMs = Math.max(this.#overall.waitMs(EVERYBODY, now), ...waits);
    if (waitMs > 0) return waitMs;
    this.#overall.take(EVERYBODY, now);
    for (const key of keys) this.#perClient.take(key, now);
    return 0;
  }
}

/** An address nobody has; undefined when that many tries found none. */
export async function findUnusedAddress(
  { config, store }: Pick<AccountSettings, 'config' | 'store'>,
  draw: ByteSource,
): Promise<Address | undefined> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const address = parseAddress(`${inventName(config, draw)}@${config.addressDomain}`)!;
    if ((await store.readPassword(address)) === undefined) return address;
  }
  return undefined;
}
