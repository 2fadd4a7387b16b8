/**
 * [io] Pushes without a gateway in between: opens the token, chooses the service, sends. Also what our own gateway is made of, which puts
 * a debouncer between opening and sending.
 */

import type { TokenDecryptor } from '../token-decrypt.ts';
import { encryptedMessage, isEncrypted, laneOf, type PlainToken, parsePlainToken } from '../token-format.ts';
import { tokenId } from '../tokens.ts';
import type { Expiring, LaneName, Provider, PushOutcome, PushService, RetryReason, ServiceName } from './provider.ts';

/** Opened tokens kept: clients repeat the same ciphertext for months, and opening one costs a millisecond. About 5 MB. */
const MAX_OPENED = 10_000;

type TokenOf<S extends ServiceName> = Extract<PlainToken, { service: S }>;

/** The services there are credentials for. */
export type Services = { readonly [S in ServiceName]?: PushService<TokenOf<S>> | undefined };

export interface DirectOptions {
  readonly services: Services;
  /** Undefined: encrypted tokens are not configured. */
  readonly decryptor: TokenDecryptor | undefined;
  /** Web pushes on the wire at once. Anybody can name an endpoint that never answers; other services must not wait behind it. */
  readonly maxWebPush: number;
  /** Of those, so many to one host: nor must other endpoints. */
  readonly maxPerWebPushHost: number;
  /** When the certificate we are known by ends, ms since the epoch; undefined: there is none. */
  readonly certificateEndsAt?: number | undefined;
  /** Told of a keyring that cannot be used; its message is for the operator. */
  readonly onKeyringError: (error: unknown) => void;
}

/** A token that names a device, or what to say instead. */
export type OpenedToken =
  | {
      readonly ok: true;
      readonly token: PlainToken /** Names the device; tells nothing about it. */;
      readonly id: string;
    }
  | { readonly ok: false; readonly outcome: PushOutcome };

export class Direct implements Provider, Expiring {
  readonly name = 'direct';
  readonly #options: DirectOptions;
  readonly #opened = new Map<string, OpenedToken & { ok: true }>();
  #webPushes = 0;
  /** How many of those there are for each host; one without any is not in it. */
  readonly #webPushesByHost = new Map<string, number>();

  constructor(options: DirectOptions) {
    this.#options = options;
  }

  get certificateEndsAt(): number | undefined {
    return this.#options.certificateEndsAt;
  }

  get keysEndAt(): number | undefined {
    return this.#options.decryptor?.keysEndAt();
  }

  async prepare(token: string): Promise<void> {
    // The OpenPGP library is 13 MB, which a relay with plain tokens does not need.
    if (isEncrypted(token)) await this.#options.decryptor?.prepare().catch(this.#options.onKeyringError);
  }

  async send(token: string, pushId?: number): Promise<PushOutcome> {
    const opened = await this.open(token);
    return opened.ok ? this.deliver(opened.token, pushId) : opened.outcome;
  }

  /** What fails together with a token's service, for limits of its own; undefined when that cannot be said. Opening is remembered. */
  async laneOf(token: string): Promise<LaneName | undefined> {
    const opened = await this.open(token);
    return opened.ok ? laneOf(opened.token) : undefined;
  }

  /** Decrypts and parses a token. Never rejects. */
  async open(token: string): Promise<OpenedToken> {
    const message = encryptedMessage(token);
    if (message === undefined) return openPlain(token);
    if (message === 'malformed') return failed('malformed');
    const key = tokenId(token);
    const known = this.#opened.get(key);
    if (known) {
      // A Map keeps the order of insertion: the one used longest ago is the first.
      this.#opened.delete(key);
      this.#opened.set(key, known);
      return known;
    }
    const opened = await this.#decrypt(message);
    if (opened.ok) this.#remember(key, opened);
    return opened;
  }

  /** Sends a push to an opened token; for `pushId` see {@link PushService}. Never rejects. */
  async deliver(token: PlainToken, pushId?: number): Promise<PushOutcome> {
    const via = token.service;
    try {
      return { ...(await this.#deliverTo(token, pushId)), via };
    } catch {
      return { kind: 'retry', reason: 'error', via };
    }
  }

  async close(): Promise<void> {
    for (const service of Object.values(this.#options.services)) service?.close();
  }

  async #decrypt(message: Buffer): Promise<OpenedToken> {
    const { decryptor, onKeyringError } = this.#options;
    if (!decryptor) return failed('not-configured');
    try {
      const decrypted = await decryptor.decrypt(message);
      if (decrypted.kind === 'token') return openPlain(decrypted.text);
      // Nobody can ever decrypt it here: the one thing besides a provider's word that makes a token dead.
      return decrypted.kind === 'foreign' ? { ok: false, outcome: { kind: 'dead' } } : failed('undecrypted');
    } catch (error) {
      onKeyringError(error);
      return failed('undecrypted');
    }
  }

  #remember(key: string, opened: OpenedToken & { ok: true }): void {
    if (this.#opened.size >= MAX_OPENED) {
      const [oldest = ''] = this.#opened.keys();
      this.#opened.delete(oldest);
    }
    this.#opened.set(key, opened);
  }

  async #deliverTo(token: PlainToken, pushId: number | undefined): Promise<PushOutcome> {
    const { apns, fcm, ubports, webpush } = this.#options.services;
    switch (token.service) {
      case 'apns':
        return apns?.send(token, pushId) ?? notConfigured;
      case 'fcm':
        return fcm?.send(token) ?? notConfigured;
      case 'ubports':
        return ubports?.send(token) ?? notConfigured;
      case 'webpush':
        return webpush ? this.#sendWebPush(webpush, token) : notConfigured;
    }
  }

  async #sendWebPush(service: PushService<TokenOf<'webpush'>>, token: TokenOf<'webpush'>): Promise<PushOutcome> {
    const { maxWebPush, maxPerWebPushHost } = this.#options;
    const { hostname } = token.endpoint;
    const toHost = this.#webPushesByHost.get(hostname) ?? 0;
    if (this.#webPushes >= maxWebPush || toHost >= maxPerWebPushHost) return { kind: 'retry', reason: 'busy' };
    this.#webPushes++;
    this.#webPushesByHost.set(hostname, toHost + 1);
    try {
      const outcome = await service.send(token);
      // Whatever an endpoint answers, or does not: everybody may name one of their own.
      return outcome.kind === 'retry' ? { ...outcome, scope: 'token' } : outcome;
    } finally {
      this.#webPushes--;
      const left = this.#webPushesByHost.get(hostname)! - 1;
      if (left > 0) this.#webPushesByHost.set(hostname, left);
      else this.#webPushesByHost.delete(hostname);
    }
  }
}

const notConfigured: PushOutcome = { kind: 'retry', reason: 'not-configured' };

function openPlain(text: string): OpenedToken {
  const token = parsePlainToken(text);
  return token ? { ok: true, token, id: tokenId(text) } : failed('malformed');
}

function failed(reason: RetryReason): OpenedToken {
  return { ok: false, outcome: { kind: 'retry', reason } };
}
