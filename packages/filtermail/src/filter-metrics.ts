/**
 * What filtermail counts: messages by what became of them, and the time it took of each. "Our share" is all the time a message
 * spent in our code, from its first event to its answer, without the time spent waiting for the MTA.
 */

import type { Metrics } from '#core';
import type { LiteralAgreement } from './dkim/authentication.ts';
import type { DkimResult } from './dkim/verify.ts';
import type { Verdict } from './verdict.ts';

/** Upper bounds, seconds: a small message takes well under a millisecond, 30 MB some 100. */
const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10];

export interface MessageTimes {
  /** From the end of the message to our answer. */
  readonly endOfMessageMs: number;
  /** All of our share, that included. */
  readonly shareMs: number;
  readonly bodyBytes: number;
}

export interface FilterMetrics {
  judged(direction: string, verdict: Verdict, times: MessageTimes): void;
}

export function createFilterMetrics(metrics: Metrics): FilterMetrics {
  const labels = ['direction', 'verdict', 'reason'];
  const messages = metrics.counter('filtermail_messages_total', 'Messages judged.', labels);
  const bytes = metrics.counter('filtermail_body_bytes_total', 'Body bytes of messages judged.', ['direction']);
  const end = metrics.histogram(
    'filtermail_end_of_message_seconds',
    'Time from the end of a message to our answer.',
    SECONDS,
    ['direction'],
  );
  const share = metrics.histogram(
    'filtermail_message_seconds',
    'Time a message spent in filtermail, in all.',
    SECONDS,
    ['direction'],
  );
  return {
    judged(direction, { verdict, reason }, times) {
      messages.inc({ direction, verdict, reason });
      bytes.inc({ direction }, times.bodyBytes);
      end.observe(times.endOfMessageMs / 1000, { direction });
      share.observe(times.shareMs / 1000, { direction });
    },
  };
}

/** What the verification of DKIM signatures tells. */
export function createDkimMetrics(metrics: Metrics): {
  onResult(result: DkimResult['result']): void;
  onLiteral(agreement: LiteralAgreement): void;
} {
  const results = metrics.counter('filtermail_dkim_total', 'DKIM verifications of incoming mail.', ['result']);
  const literals = metrics.counter(
    'filtermail_literal_from_total',
    'Incoming mail from an address literal, which nothing authenticates, by whether sender and client are that address.',
    ['agreement'],
  );
  return {
    onResult: (result) => results.inc({ result }),
    onLiteral: (agreement) => literals.inc({ agreement }),
  };
}
