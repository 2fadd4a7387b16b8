/**
 * What a program that uses this library writes and gets: the handler interface, its answers and its edits.
 *
 * Every string, both ways, is a **byte string**: one UTF-16 unit (0-255) per byte on the wire, as `latin1` decodes it.
 * Nothing is lost or guessed; `Buffer.from(text, 'latin1').toString('utf8')` reads UTF-8 where that is expected.
 * Types only; the protocol's side of them is in session.ts and reply.ts.
 */

import type { Macros } from './macros.ts';

/** An SMTP reply of our own (RFC 5321 §4.2, RFC 3463). */
export interface Reply {
  /** 400-599. 421 makes Postfix close the SMTP connection. */
  readonly code: number;
  /** Enhanced status code; its class must be the first digit of `code`. */
  readonly enhanced: string;
  /**
   * One line, or one per element. Anything but printable ASCII goes out as a space or `?`, long lines are cut at the 512
   * bytes of RFC 5321 §4.5.3.1.5, lines after the 32nd are dropped (libmilter's bound). `%` needs no care.
   */
  readonly text: string | readonly string[];
}

/** 5xx. Without `reply` Postfix says `550 5.7.1 Command rejected`. */
export interface Reject {
  readonly verdict: 'reject';
  readonly reply?: Reply;
}

/** 4xx. Without `reply` Postfix says `451 4.7.1 Service unavailable - try again later`. */
export interface Tempfail {
  readonly verdict: 'tempfail';
  readonly reply?: Reply;
}

/** Go on with the next event. */
export interface Continue {
  readonly verdict: 'continue';
}

/** No more events: let the message through (at connect and helo: the whole connection). */
export interface Accept {
  readonly verdict: 'accept';
}

/** The sender is told 250 and the message is dropped. Only with the option `allowDiscard`. */
export interface Discard {
  readonly verdict: 'discard';
}

/** Body event only: send no more of this message's body, go on to its end. */
export interface Skip {
  readonly verdict: 'skip';
}

/** Answer to an event before the end of the message. Nothing (`undefined`) means continue. */
export type Answer = Continue | Accept | Reject | Tempfail | Discard;

/** The one answer to a message: a verdict, and the edits to a message that passes. */
export type EndOfMessageAnswer =
  | { readonly verdict: 'accept' | 'continue'; readonly edits?: readonly Edit[] }
  | Reject
  | Tempfail
  | Discard;

/**
 * A change to a message that passes; each needs its SMFIF_* action (in brackets) negotiated.
 * Header values may be folded (LF or CRLF, then a space or tab); indexes of headers count from 1 among those of that name
 * as received. With SMFIP_HDR_LEADSPC the value carries its own leading space.
 */
export type Edit =
  /** Adds at the end of the header (SMFIF_ADDHDRS). */
  | { readonly edit: 'addHeader'; readonly name: string; readonly value: string }
  /** Inserts before position `index`, counting all headers as received; 0 is the top (SMFIF_ADDHDRS). */
  | { readonly edit: 'insertHeader'; readonly index: number; readonly name: string; readonly value: string }
  /** Replaces the value; appends when there are fewer than `index` of that name (SMFIF_CHGHDRS). */
  | { readonly edit: 'changeHeader'; readonly name: string; readonly index: number; readonly value: string }
  /** Removes one header (SMFIF_CHGHDRS). */
  | { readonly edit: 'deleteHeader'; readonly name: string; readonly index: number }
  /** Replaces the whole body, CRLF line ends (SMFIF_CHGBODY). At most one per message. */
  | { readonly edit: 'replaceBody'; readonly body: Uint8Array }
  /** `recipient` in angle brackets; ESMTP `parameters` need SMFIF_ADDRCPT_PAR instead of SMFIF_ADDRCPT. */
  | { readonly edit: 'addRecipient'; readonly recipient: string; readonly parameters?: string }
  /** `recipient` exactly as the recipient event had it (SMFIF_DELRCPT). */
  | { readonly edit: 'deleteRecipient'; readonly recipient: string }
  /** Envelope sender in angle brackets; `<>` is the null sender (SMFIF_CHGFROM). */
  | { readonly edit: 'changeSender'; readonly sender: string; readonly parameters?: string }
  /** Puts the message on hold, for the operator to look at (SMFIF_QUARANTINE). */
  | { readonly edit: 'quarantine'; readonly reason: string };

/** Who connected to the MTA. */
export interface Client {
  /** Name by reverse lookup, or the address in brackets. */
  readonly hostname: string;
  /** `unknown` when the MTA does not know; then `address` is empty and `port` 0. */
  readonly family: 'inet' | 'inet6' | 'unix' | 'unknown';
  readonly address: string;
  readonly port: number;
}

/** What a handler's method may give back; nothing means continue. */
// biome-ignore lint/suspicious/noConfusingVoidType: a method without a return statement must fit.
export type Outcome<A = Answer> = A | undefined | void | Promise<A | undefined | void>;

/**
 * The events of one MTA connection. A connection carries many messages, one after another: state of a message begins at
 * `mail` (or the first event that was asked for) and ends at the answer of `endOfMessage` or at `abort`.
 *
 * An event whose mode is `notify` must give back nothing, now or later; an event of mode `answer` may be asynchronous: no
 * further event is delivered, and nothing more is read from the MTA, until its promise settles. A method that throws or
 * rejects, or gives an impossible answer, tempfails the message with `451 4.3.0` (at `connect` and `helo`: the
 * connection's messages) and no further event of it is delivered; it never lets mail through.
 */
export interface MilterHandler {
  connect?(client: Client): Outcome;
  /** HELO or EHLO; comes again after STARTTLS. */
  helo?(name: string): Outcome;
  /**
   * `sender` as typed, mostly in angle brackets; `<>` or empty is the null sender.
   * For policy use the macro `{mail_addr}`, which Postfix has parsed.
   */
  mail?(sender: string, parameters: readonly string[]): Outcome;
  /** A refusal concerns this recipient only. For policy use the macro `{rcpt_addr}`, not `recipient` as typed. */
  recipient?(recipient: string, parameters: readonly string[]): Outcome;
  data?(): Outcome;
  /** One header, unfolded to LF; the first space after the colon is taken off unless SMFIP_HDR_LEADSPC was asked for. */
  header?(name: string, value: string): Outcome;
  endOfHeaders?(): Outcome;
  /**
   * Some bytes of the body, as they arrived: the pieces have no relation to lines or to the MTA's chunks.
   * `piece` is a view of a shared buffer and is valid only during the call (until the first `await`).
   */
  body?(piece: Buffer): Outcome<Answer | Skip>;
  /** The message is complete. Must give an answer. */
  endOfMessage(): EndOfMessageAnswer | Promise<EndOfMessageAnswer>;
  /** An SMTP command the MTA does not know; Postfix 3.7 gives only its verb. */
  unknown?(line: string): Outcome;
  /** The message begun will not be completed, or its answer is no longer wanted. Not called after an answer. */
  abort?(): void;
  /** The connection is over (after `abort`, if a message was open). Nothing is called after it. */
  close?(): void;
}

/** What a handler is given when its connection begins. */
export interface SessionContext {
  /** Macros in effect at the moment of the call; empty before the first event. */
  readonly macros: Macros;
}

/** Makes the handler of one connection. */
export type HandlerFactory = (context: SessionContext) => MilterHandler;

/** The events that can be asked for; `endOfMessage`, `abort` and `close` always come. */
export type EventName =
  | 'connect'
  | 'helo'
  | 'mail'
  | 'recipient'
  | 'data'
  | 'header'
  | 'endOfHeaders'
  | 'body'
  | 'unknown';

/**
 * `answer`: the MTA waits for the method's answer. `notify`: it does not (SMFIP_NR_*), which saves a round trip each; the
 * handler decides later. An event not named is not sent at all (SMFIP_NO*).
 */
export type EventMode = 'answer' | 'notify';
