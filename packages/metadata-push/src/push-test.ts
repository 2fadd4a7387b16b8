/**
 * [io] `chatmailctl push test`: pushes to every token of an account, the way a message would, and tells what the provider answered.
 * Watches the provider instead of asking it a second time, so that a test goes through queue, limits and circuits like any push.
 */

import type { Provider, PushOutcome } from './providers/provider.ts';
import type { RoutedProvider } from './push-window.ts';
import { encryptedMessage, parsePlainToken } from './token-format.ts';
import type { TokenStore } from './token-store.ts';
import { liveTokens } from './tokens.ts';

/** Longest wait for an answer; below the time Dovecot's dict protocol has for one. */
const TEST_TIMEOUT_MS = 10_000;

/** What came of a test for one token, with nothing in it that tells whose it is. */
export interface TokenReport {
  /** `openpgp`, the service of a plain token, or `unknown`: a text only the gateway may understand. */
  readonly kind: string;
  /** `delivered`, `dead`, the reason of a failure, or `waiting`: not tried within 10 s, because an earlier failure is being waited for. */
  readonly outcome: string;
  /** From the test to the answer. */
  readonly ms: number;
}

export interface PushTesterOptions {
  readonly tokens: TokenStore;
  readonly now: () => number;
  readonly timeoutMs?: number;
}

type Listener = (outcome: PushOutcome) => void;

export class PushTester {
  readonly #options: PushTesterOptions;
  /** By token. */
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(options: PushTesterOptions) {
    this.#options = options;
  }

  /** The same provider; its answers are told to the tests that wait for them. */
  watch(provider: RoutedProvider): RoutedProvider {
    const send: Provider['send'] = async (token, pushId) => {
      const outcome = await provider.send(token, pushId);
      for (const listener of this.#listeners.get(token) ?? []) listener(outcome);
      return outcome;
    };
    return {
      name: provider.name,
      prepare: (token) => provider.prepare(token),
      // Where nobody tests, this costs one look into an empty map.
      send: (token, pushId) => (this.#listeners.size === 0 ? provider.send(token, pushId) : send(token, pushId)),
      ...(provider.laneOf && { laneOf: (token) => provider.laneOf!(token) }),
      close: () => provider.close(),
    };
  }

  /**
   * Queues a push to every live token of an account and waits for the answers.
   *
   * @param notify queues it
   * @throws DatabaseWriteError by rejection
   */
  async test(account: string, notify: (account: string) => Promise<void>): Promise<TokenReport[]> {
    const { tokens, now, timeoutMs = TEST_TIMEOUT_MS } = this.#options;
    const waits = liveTokens(tokens.list(account), now()).map(({ token }) => this.#wait(token, timeoutMs));
    try {
      await notify(account);
      return await Promise.all(waits.map(({ report }) => report));
    } finally {
      for (const { end } of waits) end();
    }
  }

  #wait(token: string, timeoutMs: number): { readonly report: Promise<TokenReport>; readonly end: () => void } {
    const { promise, resolve } = Promise.withResolvers<TokenReport>();
    const startedAt = performance.now();
    const tell = (outcome: string) =>
      resolve({ kind: kindOf(token), outcome, ms: Math.round(performance.now() - startedAt) });
    const listener: Listener = (outcome) => tell(outcome.kind === 'retry' ? outcome.reason : outcome.kind);
    const listeners = this.#listeners.get(token) ?? new Set();
    this.#listeners.set(token, listeners.add(listener));
    const timer = setTimeout(tell, timeoutMs, 'waiting');
    const end = () => {
      clearTimeout(timer);
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(token) === listeners) this.#listeners.delete(token);
    };
    return { report: promise, end };
  }
}

function kindOf(token: string): string {
  return encryptedMessage(token) === undefined ? (parsePlainToken(token)?.service ?? 'unknown') : 'openpgp';
}
