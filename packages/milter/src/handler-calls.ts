/**
 * Calls the handler of one connection and keeps its failures from getting any further: whatever it throws, rejects or
 * answers where no answer is possible becomes a failed message (or connection), which session.ts tempfails.
 * At most one call is open at a time; while it is, the session takes no input.
 */

import type { EventCommand } from './command.ts';
import { MilterAnswerError } from './errors.ts';
import type { Answer, EndOfMessageAnswer, EventMode, MilterHandler, Outcome, Skip } from './handler.ts';
import type { Macros } from './macros.ts';
import type { SessionOptions } from './options.ts';

export type AnyAnswer = Answer | Skip | EndOfMessageAnswer;
// biome-ignore lint/suspicious/noConfusingVoidType: a handler's method without a return statement must fit.
type Given<A> = A | undefined | void;
type Proceed<A> = (answer: A | undefined) => void;

interface Pending {
  readonly event: string;
  /** Called once, with the answer or, after a failure, nothing. */
  readonly settle: () => void;
}

export class HandlerCalls {
  readonly #options: SessionOptions;
  readonly #macros: Macros;
  readonly #onSettled: () => void;
  #handler: MilterHandler | undefined;
  #pending: Pending | undefined;
  /** The handler failed at connect or helo: no message of this connection may pass. */
  #connectionFailed = false;
  #messageFailed = false;

  /** @param onSettled called when a pending call is over and its answer is sent */
  constructor(options: SessionOptions, macros: Macros, onSettled: () => void) {
    this.#options = options;
    this.#macros = macros;
    this.#onSettled = onSettled;
  }

  /** The event whose promise is open. */
  get pendingEvent(): string | undefined {
    return this.#pending?.event;
  }

  /** No event is delivered any more, and the message must not pass. */
  get failed(): boolean {
    return this.#connectionFailed || this.#messageFailed;
  }

  beginConnection(): void {
    this.#connectionFailed = false;
    this.#messageFailed = false;
    try {
      this.#handler = this.#options.handler({ macros: this.#macros });
    } catch (error) {
      this.fail('connect', error);
    }
  }

  endConnection(): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#pending = undefined;
    this.#guard('close', () => handler?.close?.());
  }

  beginMessage(): void {
    this.#messageFailed = false;
  }

  /** A handler that failed at connect or helo has not been told of any message. */
  abortMessage(): void {
    if (!this.#connectionFailed) this.#guard('abort', () => this.#handler?.abort?.());
  }

  /**
   * Calls the handler, unless it failed or does not want the event, and goes on with its answer: at once, or when its
   * promise settles. After a failure it goes on with nothing.
   */
  call<A extends AnyAnswer>(
    event: string,
    mode: EventMode | undefined,
    method: (handler: MilterHandler) => Given<A> | Promise<Given<A>>,
    proceed: Proceed<A>,
  ): void {
    if (mode === undefined || this.failed || this.#handler === undefined) {
      proceed(undefined);
      return;
    }
    let given: Given<A> | Promise<Given<A>>;
    try {
      given = method(this.#handler);
    } catch (error) {
      this.fail(event, error);
    }
    if (mode === 'answer' && isPromise(given)) {
      this.#wait(event, given, proceed);
      return;
    }
    if (mode === 'notify') this.#refuseAnswer(event, given);
    proceed(isPromise(given) ? undefined : (given ?? undefined));
  }

  /** A verdict on an event without reply would be lost, and the message would pass: that must not go unnoticed. */
  #refuseAnswer<A extends AnyAnswer>(event: string, given: Given<A> | Promise<Given<A>>): void {
    if (isPromise(given)) given.then(undefined, () => {});
    else if (!given || given.verdict === 'continue') return;
    this.fail(event, new MilterAnswerError('answer_to_notification', `${event} goes without an answer`));
  }

  /** The open call has taken too long: it counts as failed, and what comes of it later is ignored. */
  expire(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    this.fail(pending.event, new MilterAnswerError('answer_timeout', `no answer to ${pending.event} in time`));
    pending.settle();
  }

  /** Something of ours went wrong in `event`: the message (at connect and helo: the connection) is lost. */
  fail(event: string, thrown: unknown): void {
    if (event === 'connect' || event === 'helo') this.#connectionFailed = true;
    else this.#messageFailed = true;
    this.#report(event, thrown);
  }

  #wait<A>(event: string, promise: Promise<Given<A>>, proceed: Proceed<A>): void {
    const settle = (answer?: Given<A>): void => {
      if (this.#pending !== pending) return;
      this.#pending = undefined;
      proceed(answer ?? undefined);
      if (this.#pending === undefined) this.#onSettled();
    };
    const pending: Pending = { event, settle };
    this.#pending = pending;
    promise.then(settle, (error: unknown) => {
      if (this.#pending === pending) this.fail(event, error);
      settle();
    });
  }

  #guard(event: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#report(event, error);
    }
  }

  #report(event: string, thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error('a handler threw what is no error', { cause: thrown });
    this.#options.onError(error, { kind: 'handler', event, queueId: this.#macros.get('i') });
  }
}

/** Calls the method of an event. */
export function callEvent(handler: MilterHandler, command: EventCommand): Outcome {
  switch (command.type) {
    case 'connect':
      return handler.connect?.(command.client);
    case 'helo':
      return handler.helo?.(command.name);
    case 'mail':
      return handler.mail?.(command.sender, command.parameters);
    case 'recipient':
      return handler.recipient?.(command.recipient, command.parameters);
    case 'data':
      return handler.data?.();
    case 'header':
      return handler.header?.(command.name, command.value);
    case 'endOfHeaders':
      return handler.endOfHeaders?.();
    case 'unknown':
      return handler.unknown?.(command.line);
  }
}

function isPromise<A>(given: A | Promise<A>): given is Promise<A> {
  return typeof given === 'object' && given !== null && 'then' in given && typeof given.then === 'function';
}
