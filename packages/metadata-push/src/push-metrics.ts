/**
 * What metadata-push counts: pushes by provider and outcome, the time from a message to the provider's answer, and how much is
 * waiting. Label values are fixed words; nothing here can identify anybody.
 */

import type { Metrics } from '#core';
import type { DeliveryRecord } from './delivery-record.ts';
import type { Expiring, PushOutcome } from './providers/provider.ts';
import type { QueueStore } from './queue-store.ts';
import type { TokenStore } from './token-store.ts';

/** Upper bounds in seconds: a gateway nearby, one far away, and the steps of the back-off. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600];

export interface PushMetrics {
  /** A provider answered, or failed to, `ms` after the oldest message the push announces. */
  answered(provider: string, outcome: PushOutcome, ms: number): void;
  /** A service is being left alone, or is back. */
  circuit(provider: string, change: 'opened' | 'closed'): void;
  /** A push was dropped: too old, or tried too often. */
  givenUp(provider: string): void;
}

/** What `chatmailctl push stats` shows; it does not need the metrics listener. */
export interface PushStats {
  /** Seconds since this process began to count. */
  readonly uptimeSeconds: number;
  readonly tokens: number;
  readonly queueDepth: number;
  /** 0 when nothing is queued. */
  readonly queueOldestSeconds: number;
  /** There are tokens, and no push was delivered for a day. */
  readonly isSilent: boolean;
  /** Since the last delivered push; at a new relay since its first start. */
  readonly lastDeliveredSecondsAgo: number;
  /** Attempts since the start, by provider and outcome. */
  readonly pushes: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Services that are being left alone after failures. */
  readonly openCircuits: readonly string[];
}

/** Registers the metrics. */
export function createPushMetrics(
  metrics: Metrics,
  tokens: TokenStore,
  queue: QueueStore,
  record: DeliveryRecord,
  now: () => number,
): PushMetrics & { stats(): PushStats } {
  const startedAt = now();
  const counts: Record<string, Record<string, number>> = {};
  const openCircuits = new Set<string>();
  const pushes = metrics.counter('chatmail_pushes_total', 'Attempts to send a push, and pushes given up.', [
    'provider',
    'outcome',
  ]);
  const answerTime = metrics.histogram(
    'chatmail_push_answer_seconds',
    'Time from messagenew to the answer that ended the push.',
    BUCKETS,
    ['provider'],
  );
  const count = (provider: string, outcome: string) => {
    pushes.inc({ provider, outcome });
    counts[provider] ??= {};
    counts[provider][outcome] = (counts[provider][outcome] ?? 0) + 1;
  };
  const oldestSeconds = () => {
    const oldest = queue.oldestQueuedAt();
    return oldest === undefined ? 0 : Math.max(0, now() - oldest) / 1000;
  };
  const isSilent = () => tokens.count() > 0 && record.isSilent(now());
  metrics.gauge('chatmail_push_queue_depth', 'Pushes waiting or on the wire.', () => queue.depth());
  metrics.gauge('chatmail_push_queue_oldest_seconds', 'Age of the oldest push in the queue.', oldestSeconds);
  metrics.gauge('chatmail_push_tokens', 'Device tokens stored.', () => tokens.count());
  metrics.gauge('chatmail_push_silent', '1 when there are device tokens, and no push was delivered for a day.', () =>
    isSilent() ? 1 : 0,
  );
  const circuits = metrics.counter('chatmail_push_circuit_changes_total', 'Services left alone, and back.', [
    'provider',
    'change',
  ]);
  return {
    answered(name, outcome, ms) {
      if (outcome.kind === 'delivered') record.delivered(now());
      const provider = outcome.via ?? name;
      count(provider, outcome.kind === 'retry' ? outcome.reason : outcome.kind);
      if (outcome.kind !== 'retry') answerTime.observe(Math.max(0, ms) / 1000, { provider });
    },
    circuit(provider, change) {
      circuits.inc({ provider, change });
      if (change === 'opened') openCircuits.add(provider);
      else openCircuits.delete(provider);
    },
    givenUp: (provider) => count(provider, 'given-up'),
    stats: () => ({
      uptimeSeconds: Math.round((now() - startedAt) / 1000),
      tokens: tokens.count(),
      queueDepth: queue.depth(),
      queueOldestSeconds: oldestSeconds(),
      isSilent: isSilent(),
      lastDeliveredSecondsAgo: Math.max(0, Math.round((now() - record.deliveredAt) / 1000)),
      pushes: counts,
      openCircuits: [...openCircuits],
    }),
  };
}

/** Registers the days on which what we push with ends. Seconds since the epoch; 0: no such thing, or it never ends. */
export function registerExpiry(metrics: Metrics, provider: () => Expiring): void {
  metrics.gauge(
    'chatmail_push_certificate_end_seconds',
    'When the APNs certificate ends, seconds since the epoch; 0 without one.',
    () => (provider().certificateEndsAt ?? 0) / 1000,
  );
  metrics.gauge(
    'chatmail_push_openpgp_key_end_seconds',
    'When the last of the OpenPGP keys, or its encryption subkey, ends, seconds since the epoch; 0 when never, or not loaded yet.',
    () => (provider().keysEndAt ?? 0) / 1000,
  );
}
