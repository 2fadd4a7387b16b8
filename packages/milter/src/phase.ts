/**
 * Where a session stands, and which event may come when.
 *
 *   new -> idle <-> mail -> recipients -> data -> headers -> end of headers -> body -> idle
 *
 * Events that were not asked for are skipped in that line; an abort leads back to idle from anywhere.
 * Source: the order in which Postfix 3.7 (smtpd, cleanup) sends them; libmilter engine.c, which forgives more.
 */

import type { EventName } from './handler.ts';

/** Not negotiated. */
export const NEW = 0;
/** Between messages. */
export const IDLE = 1;
export const MAIL = 2;
export const RECIPIENTS = 3;
export const DATA = 4;
/** From here on the MTA has the whole message and does not wait for its SMTP client. */
export const HEADERS = 5;
export const END_OF_HEADERS = 6;
export const BODY = 7;

/** An event may come from phase `first` to `last` and leads to `next`; without one it leaves the phase as it is. */
export interface Order {
  readonly first: number;
  readonly last: number;
  readonly next?: number;
}

export const ORDER: Readonly<Record<EventName | 'endOfMessage', Order>> = {
  connect: { first: IDLE, last: IDLE },
  // Postfix shows an EHLO in mid-transaction before it aborts the transaction.
  helo: { first: IDLE, last: DATA },
  mail: { first: IDLE, last: IDLE, next: MAIL },
  recipient: { first: MAIL, last: RECIPIENTS, next: RECIPIENTS },
  data: { first: MAIL, last: RECIPIENTS, next: DATA },
  header: { first: MAIL, last: HEADERS, next: HEADERS },
  endOfHeaders: { first: MAIL, last: HEADERS, next: END_OF_HEADERS },
  body: { first: MAIL, last: BODY, next: BODY },
  endOfMessage: { first: MAIL, last: BODY, next: BODY },
  unknown: { first: IDLE, last: DATA },
};
