/**
 * What the pusher needs of whoever delivers a push: the gateway, or one of the platforms' own services.
 */

/** What came of one attempt. */
export type PushOutcome = (
  | /** The provider has taken it. */ { readonly kind: 'delivered' }
  /** The provider confirms that the token belongs to no device any more. Nothing else may ever say so. */
  | { readonly kind: 'dead' }
  /**
   * Anything else. `afterMs` is the Retry-After of the provider, if it sent one. `scope: 'token'`: the provider is there, and says
   * this of the one token or of the endpoint it names; pushes to others may succeed.
   */
  | { readonly kind: 'retry'; readonly reason: RetryReason; readonly afterMs?: number; readonly scope?: 'token' }
) & {
  /** The service behind a provider that chooses one by the token; a fixed word for the metrics. */
  readonly via?: ServiceName;
};

export type ServiceName = 'apns' | 'fcm' | 'ubports' | 'webpush';

/** What works or fails as one: a service, or one of Apple's environments, which take different keys. */
export type LaneName = ServiceName | 'apns-sandbox';

/** Fixed words for the log and the metrics. */
export type RetryReason =
  /** The class of a status that says nothing more precise. */
  | 'status-3xx'
  | 'status-4xx'
  | 'status-5xx'
  /** The provider asks for patience: 429 and its like. */
  | 'rate-limited'
  /** The provider refuses our credentials or the form of our request: the operator has to act. */
  | 'refused'
  /** There are no credentials for the provider of this token. */
  | 'not-configured'
  /** Not a token any provider could know. */
  | 'malformed'
  /** The token is encrypted and could not be decrypted, although it may be meant for us. */
  | 'undecrypted'
  /** Too many pushes of this service are on the wire. It was not sent. */
  | 'busy'
  /** The service fails, and is left alone for a while; or our gateway had no place for the push. It was not sent. */
  | 'paused'
  | 'timeout'
  | 'connection'
  | 'error';

/** One of the platforms' own services, as the direct provider uses it. */
export interface PushService<Token> {
  /**
   * Sends one push. Never rejects.
   *
   * @param pushId tells the push from others to the same token; a repetition of it has the same
   */
  send(token: Token, pushId?: number): Promise<PushOutcome>;
  /** Ends all connections; pushes on the wire end as `retry`. */
  close(): void;
}

export interface Provider {
  /** Names it in metrics and log. */
  readonly name: string;
  /** Loads what sending to a token needs, so that its first push does not wait for it. May be called any number of times. */
  prepare(token: string): Promise<void>;
  /** Sends one push; for `pushId` see {@link PushService}. Never rejects. */
  send(token: string, pushId?: number): Promise<PushOutcome>;
  /** Ends all connections; pushes on the wire end as `retry`. */
  close(): Promise<void>;
}

/** The days on which what a provider works with ends, ms since the epoch; undefined: never, or not known yet. */
export interface Expiring {
  /** Of the client certificate. */
  readonly certificateEndsAt?: number | undefined;
  /** Of the OpenPGP key that ends last: from then on no client can encrypt a token to us. Known once the keys are loaded. */
  readonly keysEndAt?: number | undefined;
}
