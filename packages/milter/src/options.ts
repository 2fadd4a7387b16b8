/**
 * Options of a milter server, with their defaults and the reasons for them. Times are in milliseconds.
 */

import type { HandlerFactory } from './handler.ts';
import type { Requirements } from './negotiate.ts';
import type { TurnBudget } from './turn-budget.ts';

/** Where something went wrong; all a log line may need, and nothing about the message's content. */
export interface ErrorContext {
  /**
   * - `protocol`: the MTA broke the protocol or stopped; the connection is closed
   * - `handler`: the handler failed; the message is tempfailed
   * - `socket`: reading, writing or accepting failed; the connection is gone
   */
  readonly kind: 'protocol' | 'handler' | 'socket';
  /** The event or command being handled, if any. */
  readonly event?: string | undefined;
  /** Macro `i`, once the MTA has assigned one. */
  readonly queueId?: string | undefined;
}

/** What a session needs besides its connection. */
export interface SessionOptions extends Requirements {
  /** Makes the handler of each connection. */
  readonly handler: HandlerFactory;
  /** Told of every error, once. It must not throw. */
  readonly onError: (error: Error, context: ErrorContext) => void;
  /** Whether the verdict `discard` (the sender is told 250, the mail is gone) may be given. Default false. */
  readonly allowDiscard?: boolean;
}

/** Options of {@link MilterServer}. */
export interface MilterServerOptions extends SessionOptions {
  /**
   * Connections served at once; further ones are accepted and left unread until one ends. Default 256. A function is asked
   * each time.
   */
  readonly maxConnections?: number | (() => number);
  /** Longest silence between two frames outside a message's content. Default 2 h, see DEFAULTS. */
  readonly idleTimeoutMs?: number;
  /** Longest silence inside a frame, before negotiation, or inside a message's content. Default 60 s. */
  readonly readTimeoutMs?: number;
  /** Longest time a handler's promise may take, then the message is tempfailed. Default 120 s. */
  readonly answerTimeoutMs?: number;
  /** While `endOfMessage` is pending the MTA is told that we are alive (SMFIR_PROGRESS) this often. Default 10 s. */
  readonly progressIntervalMs?: number;
  /** `shared` reads all connections through one buffer; `plain` is what Node documents. Default `shared`. */
  readonly reading?: 'shared' | 'plain';
  /** How long connections may work in one turn of the event loop. Default: 3 ms for all servers of the process together. */
  readonly turnBudget?: TurnBudget;
}

export const DEFAULTS = {
  /** Postfix runs at most 100 smtpd per service by default, each with one connection; 50 busy sessions fit 80 MB. */
  maxConnections: 256,
  /**
   * While an SMTP client slowly uploads, the MTA has nothing to say to us: 30 MB at 5 kB/s take 100 minutes. libmilter
   * waits 7,210 s. A dead MTA does not need this timeout: its socket closes.
   */
  idleTimeoutMs: 7_200_000,
  /** Frames and content come from the MTA's own memory and disk, never at the pace of its client. */
  readTimeoutMs: 60_000,
  /** Below Postfix' milter_content_timeout (300 s). */
  answerTimeoutMs: 120_000,
  /** Below Postfix' milter_command_timeout (30 s), the shortest a site would set for content too. */
  progressIntervalMs: 10_000,
} as const;
