/**
 * One milter connection without its socket: frames in, calls of the handler, answer frames out.
 * A command that does not fit the order of phase.ts is a MilterProtocolError, thrown to the caller; what the handler does
 * wrong is a tempfail and never leaves the session.
 */

import { type Command, decodeCommand, type EventCommand, type Offer } from './command.ts';
import { MilterAnswerError, MilterProtocolError } from './errors.ts';
import type { FrameSink } from './frame.ts';
import type { Answer, EndOfMessageAnswer, EventName, MilterHandler, Skip, Tempfail } from './handler.ts';
import { type AnyAnswer, callEvent, HandlerCalls } from './handler-calls.ts';
import { MacroTable } from './macros.ts';
import { encodeNegotiated, type Negotiated, negotiate } from './negotiate.ts';
import type { SessionOptions } from './options.ts';
import { HEADERS, IDLE, MAIL, NEW, ORDER, RECIPIENTS } from './phase.ts';
import * as P from './protocol.ts';
import { encodeAnswer, encodeEndOfMessage, FAILURE_REPLY, PROGRESS_FRAME } from './reply.ts';

const CONTINUE: Answer = { verdict: 'continue' };
const FAILURE: Tempfail = { verdict: 'tempfail', reply: FAILURE_REPLY };

/** What a session does to its connection. */
export interface SessionOutput {
  /** Sends one reply, with its edits. */
  send(bytes: Buffer): void;
  /** The answer that was pending is sent: offer further input. */
  resume(): void;
  /** The MTA said goodbye. */
  end(): void;
}

/** The state machine of one connection; the sink of its FrameReader. */
export class MilterSession implements FrameSink {
  readonly #options: SessionOptions;
  readonly #output: SessionOutput;
  readonly #macros = new MacroTable();
  readonly #calls: HandlerCalls;
  #negotiated: Negotiated | undefined;
  #phase = NEW;
  /** An event of the SMTP connection has come, so connect no longer can. */
  #clientSeen = false;
  #insideBodyFrame = false;
  /** What the handler answered to a piece of this body frame; sent when the frame ends. */
  #bodyAnswer: Answer | Skip | undefined;
  #skipBody = false;
  #closed = false;

  constructor(options: SessionOptions, output: SessionOutput) {
    this.#options = options;
    this.#output = output;
    this.#calls = new HandlerCalls(options, this.#macros, () => {
      if (!this.#closed) output.resume();
    });
  }

  /** A handler's promise is open: no input is taken. */
  get pending(): boolean {
    return this.#calls.pendingEvent !== undefined;
  }

  /** A message has begun and is not answered. */
  get messageOpen(): boolean {
    return this.#phase > IDLE;
  }

  /** The MTA has something to send by itself, without waiting for its SMTP client. */
  get expectsInput(): boolean {
    return this.#phase === NEW || this.#phase >= HEADERS;
  }

  /** Macro `i`, for logs. */
  get queueId(): string | undefined {
    return this.#macros.get('i');
  }

  /** @throws {MilterProtocolError} any code of decoding, negotiating and ordering */
  frame(command: number, data: Buffer): boolean {
    this.#take(command, decodeCommand(command, data));
    return !this.pending && !this.#closed;
  }

  /** @throws {MilterProtocolError} `command_out_of_order` */
  body(piece: Buffer, last: boolean): boolean {
    if (!this.#insideBodyFrame) this.#enter(P.SMFIC_BODY, 'body');
    this.#insideBodyFrame = !last;
    this.#deliverBody(piece, () => {
      if (!last) return;
      const answer = this.#bodyAnswer;
      this.#bodyAnswer = undefined;
      this.#answer('body', answer);
    });
    return !this.pending;
  }

  /** Tells the MTA that the end of message is still being worked on, if it is, lest it think us dead. */
  sendProgress(): void {
    if (this.#calls.pendingEvent === 'endOfMessage') this.#output.send(PROGRESS_FRAME);
  }

  /** The pending answer has taken too long: the message is tempfailed, a late answer is ignored. */
  expireAnswer(): void {
    this.#calls.expire();
  }

  /** The connection is gone. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#abort();
    this.#calls.endConnection();
  }

  #take(code: number, command: Command): void {
    switch (command.type) {
      case 'negotiate':
        this.#negotiate(command.offer);
        break;
      case 'macros':
        if (this.#phase === NEW) throw outOfOrder(code);
        this.#macros.set(command.stage, command.bytes);
        break;
      case 'endOfMessage':
        this.#enter(code, 'endOfMessage');
        this.#endOfMessage(command.body);
        break;
      case 'abort':
        if (this.#phase === NEW) throw outOfOrder(code);
        this.#abort();
        break;
      case 'nextClient':
        if (this.#phase === NEW) throw outOfOrder(code);
        this.#abort();
        this.#calls.endConnection();
        this.#beginClient();
        break;
      case 'quit':
        this.close();
        this.#output.end();
        break;
      default:
        this.#enter(code, command.type);
        this.#event(command);
    }
  }

  #negotiate(offer: Offer): void {
    if (this.#phase !== NEW) throw outOfOrder(P.SMFIC_OPTNEG);
    this.#negotiated = negotiate(offer, this.#options);
    this.#output.send(encodeNegotiated(this.#negotiated, this.#options.macros));
    this.#beginClient();
  }

  #beginClient(): void {
    this.#phase = IDLE;
    this.#clientSeen = false;
    this.#macros.clear();
    this.#calls.beginConnection();
  }

  /** The message, if one is open, will not be completed. */
  #abort(): void {
    if (this.#phase > IDLE) this.#calls.abortMessage();
    this.#endMessage();
  }

  #endMessage(): void {
    // A session that never got beyond its negotiation is still to negotiate.
    if (this.#phase > IDLE) this.#phase = IDLE;
    this.#insideBodyFrame = false;
    this.#bodyAnswer = undefined;
    this.#macros.endMessage();
  }

  #enter(code: number, event: EventName | 'endOfMessage'): void {
    const { first, last, next } = ORDER[event];
    // Without a MAIL event the first event that does come begins the message.
    const mailIsOff = ((this.#negotiated?.steps ?? 0) & P.SMFIP_NOMAIL) !== 0;
    const lowest = mailIsOff && first === MAIL ? IDLE : first;
    if (this.#phase < lowest || this.#phase > last || (event === 'connect' && this.#clientSeen)) throw outOfOrder(code);
    this.#clientSeen = true;
    this.#macros.enter(code);
    if (this.#phase === IDLE) {
      this.#calls.beginMessage();
      this.#skipBody = false;
    }
    this.#phase = next ?? this.#phase;
  }

  #event(command: EventCommand): void {
    const event = command.type;
    const { mode } = this.#negotiated!.events[event];
    const method = (handler: MilterHandler) => callEvent(handler, command);
    this.#calls.call<Answer>(event, mode, method, (answer) => this.#answer(event, answer));
  }

  #deliverBody(piece: Buffer, proceed: () => void): void {
    if (piece.length === 0 || this.#skipBody || this.#bodyAnswer !== undefined) {
      proceed();
      return;
    }
    const { mode } = this.#negotiated!.events.body;
    const method = (handler: MilterHandler) => handler.body?.(piece);
    this.#calls.call<Answer | Skip>('body', mode, method, (answer) => {
      if (answer && answer.verdict !== 'continue') this.#bodyAnswer = answer;
      proceed();
    });
  }

  /** @param rest the end of the body, which an MTA may send along (Postfix does not) */
  #endOfMessage(rest: Buffer): void {
    this.#deliverBody(rest, () => {
      const early = this.#bodyAnswer;
      if (early !== undefined && early.verdict !== 'skip') {
        this.#answerMessage(early);
        return;
      }
      const method = (handler: MilterHandler) => handler.endOfMessage();
      this.#calls.call<EndOfMessageAnswer>('endOfMessage', 'answer', method, (answer) => this.#answerMessage(answer));
    });
  }

  #answer(event: EventName, given: Answer | Skip | undefined): void {
    const { events, steps } = this.#negotiated!;
    if (!events[event].reply) return;
    const answer = given ?? CONTINUE;
    const bytes = this.#encode(event, answer, () => {
      if (answer.verdict !== 'skip') return encodeAnswer(answer);
      this.#skipBody = true;
      return encodeAnswer((steps & P.SMFIP_SKIP) === 0 ? CONTINUE : answer);
    });
    this.#output.send(bytes);
    this.#afterVerdict(event, this.#calls.failed ? FAILURE.verdict : answer.verdict);
  }

  #answerMessage(given: EndOfMessageAnswer | undefined): void {
    const { actions } = this.#negotiated!;
    this.#output.send(this.#encode('endOfMessage', given, (answer) => encodeEndOfMessage(answer, actions)));
    this.#answered();
  }

  /** The answer's bytes; those of a temporary failure if the handler has failed, or does so with this answer. */
  #encode<A extends AnyAnswer>(event: string, given: A | undefined, encode: (answer: A) => Buffer): Buffer {
    try {
      if (!this.#calls.failed) return encode(this.#possible(event, given));
    } catch (error) {
      this.#calls.fail(event, error);
    }
    return encodeAnswer(FAILURE);
  }

  #possible<A extends AnyAnswer>(event: string, answer: A | undefined): A {
    if (!answer) throw new MilterAnswerError('answer_not_possible', `no answer to ${event}`);
    const discards = answer.verdict === 'discard' && !this.#options.allowDiscard;
    if (!discards && (answer.verdict !== 'skip' || event === 'body')) return answer;
    throw new MilterAnswerError('answer_not_possible', `${answer.verdict} as an answer to ${event}`);
  }

  /** What a verdict before the end of the message means for it. */
  #afterVerdict(event: EventName, verdict: AnyAnswer['verdict']): void {
    if (verdict === 'continue' || verdict === 'skip') return;
    if (event === 'connect' || event === 'helo' || event === 'unknown') return;
    const refused = verdict === 'reject' || verdict === 'tempfail';
    if (refused && event === 'recipient') return;
    // A refused DATA leaves the envelope open in SMTP: its client may add recipients or try again.
    if (refused && event === 'data') this.#phase = RECIPIENTS;
    else this.#answered();
  }

  /** The message has its final answer. A handler that failed in it is told to let it go. */
  #answered(): void {
    if (this.#calls.failed) this.#calls.abortMessage();
    this.#endMessage();
  }
}

function outOfOrder(code: number): MilterProtocolError {
  return new MilterProtocolError('command_out_of_order', `${P.COMMAND_NAMES.get(code)} cannot come now`);
}
