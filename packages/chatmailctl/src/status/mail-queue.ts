/**
 * [io] The mail queue of Postfix, counted: how much waits, for how long, and for which kind of reason. What the reasons say of people
 * and servers is not kept.
 */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { QueueFacts } from './facts.ts';

const TIMEOUT_MS = 10_000;

/** The first pattern that is found names the kind. */
const REASONS: readonly [pattern: RegExp, kind: string][] = [
  [/milter|filtermail/i, 'the filter is down'],
  [/dovecot|lmtp/i, 'Dovecot does not take it'],
  [/quota|mailbox.*full/i, 'a full mailbox'],
  [/tls|certificate|ssl/i, 'no TLS that can be trusted'],
  [/timed out|network is unreachable|no route/i, 'no answer'],
  [/refused/i, 'connection refused'],
  [/host not found|name service|domain name not found/i, 'name not found'],
  [/said: 4/i, 'put off by the other server'],
];

/** The kind of reason that a text of Postfix gives. */
export function reasonOf(text: string): string {
  return REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? 'other reasons';
}

/**
 * Counts the queue.
 *
 * @throws Error with one sentence when postqueue does not answer
 */
export async function readQueue(nowMs: number): Promise<QueueFacts> {
  const child = spawn('postqueue', ['-j'], { stdio: ['ignore', 'pipe', 'ignore'], timeout: TIMEOUT_MS });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', () => reject(new Error('postqueue cannot be run')));
    child.once('close', (code) => resolve(code ?? 1));
  });
  // Looked at below; the lines come first.
  ended.catch(() => {});
  const counts = { active: 0, deferred: 0, held: 0 };
  const reasons: Record<string, number> = {};
  let oldestSeconds = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const { queue_name, arrival_time, recipients } = JSON.parse(line) as QueueLine;
    if (queue_name === 'hold') counts.held++;
    else if (queue_name === 'deferred') counts.deferred++;
    else counts.active++;
    if (queue_name !== 'hold') oldestSeconds = Math.max(oldestSeconds, nowMs / 1000 - arrival_time);
    if (queue_name !== 'deferred') continue;
    for (const { delay_reason } of recipients) {
      const reason = reasonOf(delay_reason ?? '');
      reasons[reason] = (reasons[reason] ?? 0) + 1;
    }
  }
  if ((await ended) !== 0) throw new Error('postqueue does not answer: is Postfix running?');
  return { ...counts, oldestSeconds, reasons };
}

interface QueueLine {
  readonly queue_name: string;
  readonly arrival_time: number;
  readonly recipients: readonly { readonly delay_reason?: string }[];
}
