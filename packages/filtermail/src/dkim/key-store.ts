/**
 * [io] Finds the TXT records of DKIM keys, and remembers them for as long as their time to live says. Only what was found is
 * remembered: a key that is missing, or a server that is out of order, is asked for again. Look-ups of one name at the same time
 * are one look-up.
 */

import { ConfigError } from '#core';
import type { TxtResult } from './dns-client.ts';
import { type DnsServer, parseDnsServer } from './dns-server.ts';
import type { KeyAnswer, KeyStore } from './verify.ts';

/** Most names remembered: 1 MB as keys are, 16 MB at worst. The one remembered longest goes first. */
const MAX_CACHED_NAMES = 2000;
/** Longest answer remembered, characters. A key has under 1000; what is longer is there to fill our memory. */
const MAX_CACHED_CHARACTERS = 8192;
/** Most names looked up at the same time, each with a socket. Above that it cannot be known now. */
const MAX_PENDING_NAMES = 1000;
/** Longest time any record is remembered, however long it says it will live. */
const MAX_TTL_SECONDS = 86_400;

export interface KeyStoreSettings {
  /** Looks up a name in DNS; never rejects. */
  readonly lookUpTxt: (name: string) => Promise<TxtResult>;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  readonly maxCachedNames?: number;
}

interface CachedTexts {
  readonly texts: readonly string[];
  readonly expiresMs: number;
}

export class DnsKeyStore implements KeyStore {
  readonly #settings: KeyStoreSettings;
  readonly #cache = new Map<string, CachedTexts>();
  readonly #pending = new Map<string, Promise<KeyAnswer>>();
  #turn = Promise.resolve();

  constructor(settings: KeyStoreSettings) {
    this.#settings = settings;
  }

  /** Names remembered, for metrics. */
  get size(): number {
    return this.#cache.size;
  }

  async lookUp(name: string, isFresh: boolean): Promise<KeyAnswer> {
    const cached = this.#cache.get(name);
    if (cached && !isFresh && cached.expiresMs > this.#settings.now()) {
      return { status: 'found', texts: cached.texts, isCached: true };
    }
    let pending = this.#pending.get(name);
    if (!pending) {
      if (this.#pending.size >= MAX_PENDING_NAMES) return { status: 'temporary' };
      pending = this.#ask(name).finally(() => this.#pending.delete(name));
      this.#pending.set(name, pending);
    }
    const answer = await pending;
    // Whoever waited for the same answer goes on to verify with it, some ms each: one after another, with other work between.
    this.#turn = this.#turn.then(() => new Promise((resolve) => setImmediate(resolve)));
    await this.#turn;
    return answer;
  }

  async #ask(name: string): Promise<KeyAnswer> {
    const result = await this.#settings.lookUpTxt(name);
    // Whatever was remembered is out of date now; out of order is the only answer that says nothing about it.
    if (result.status !== 'temporary') this.#cache.delete(name);
    if (result.status !== 'found') return result;
    const { texts, ttlSeconds } = result;
    const characters = texts.reduce((sum, text) => sum + text.length, 0);
    if (ttlSeconds > 0 && characters <= MAX_CACHED_CHARACTERS)
      this.#remember(name, texts, Math.min(ttlSeconds, MAX_TTL_SECONDS));
    return { status: 'found', texts, isCached: false };
  }

  #remember(name: string, texts: readonly string[], ttlSeconds: number): void {
    const { now, maxCachedNames = MAX_CACHED_NAMES } = this.#settings;
    if (this.#cache.size >= maxCachedNames) this.#cache.delete(this.#cache.keys().next().value!);
    this.#cache.set(name, { texts, expiresMs: now() + ttlSeconds * 1000 });
  }
}

/**
 * The key store of a relay.
 *
 * @param dnsServers of the configuration; empty for those of the system
 * @throws ConfigError when one is no address
 */
export function createKeyStore(dnsServers: readonly string[], now: () => number): DnsKeyStore {
  const configured = dnsServers.map(readServer);
  let servers = configured.length > 0 ? configured : undefined;
  return new DnsKeyStore({
    now,
    async lookUpTxt(name) {
      // Loaded at the first look-up: relays that only know each other by address need no DNS.
      const { lookUpTxt, systemDnsServers } = await import('./dns-client.ts');
      servers ??= systemDnsServers();
      const result = await lookUpTxt(servers, name);
      // The system's servers may have changed with its network.
      if (result.status === 'temporary' && configured.length === 0) servers = undefined;
      return result;
    },
  });
}

function readServer(text: string): DnsServer {
  const server = parseDnsServer(text);
  if (server) return server;
  throw new ConfigError(`'${text}' is not an address or address:port`, { key: 'dns_servers' });
}
