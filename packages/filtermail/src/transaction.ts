/**
 * What is known of one message while it is judged, and the shape of the stages that judge it. A direction is an ordered list of
 * stages; each sees the header and the body go by and is asked once, at the end. The first refusal is the answer. A stage
 * that changes the message adds edits, which the MTA makes only if all stages let the message pass; later stages see the
 * edits of earlier ones (a signature must cover what really leaves).
 */

import type { Address } from '#core';
import type { Edit } from '#milter';
import type { AcceptCode, Refusal } from './verdict.ts';

/** Most recipients kept. Postfix' own limit is 1000 (smtpd_recipient_limit); clear text to more of them is not looked up. */
export const MAX_RECIPIENTS_KEPT = 1000;

/** One field of the header, as a stage sees it. */
export interface HeaderField {
  /** Lower case, without blanks at its end. */
  readonly name: string;
  /** As the sender wrote it. */
  readonly rawName: string;
  /** Byte string, without the one blank after the colon; folded lines are joined by LF. */
  readonly value: string;
  /** As received: with that blank, where the MTA was asked for it (`leadingSpace`). */
  readonly rawValue: string;
  /** Counts from 1 among the fields of this name. */
  readonly index: number;
}

export interface Envelope {
  /** The sender's address; undefined when it is null or not an address. */
  readonly sender: Address | undefined;
  readonly isNullSender: boolean;
  /** Who logged in at the MTA, as it says; undefined when nobody did. */
  readonly login: string | undefined;
  /** The address of the SMTP client; undefined where it was not asked for, or is not known. */
  readonly clientAddress: string | undefined;
  /** The first recipients, at most {@link MAX_RECIPIENTS_KEPT}; undefined where one is not an address. */
  readonly recipients: readonly (Address | undefined)[];
  readonly recipientCount: number;
}

/** The message so far. Stages write what later ones and the reply need. */
export interface Transaction {
  readonly envelope: Envelope;
  readonly edits: Edit[];
  /** The one address of the From field, once its stage has passed. */
  from: Address | undefined;
  /** Why the message passes, once the stage that judges its content has let it. */
  acceptedAs: AcceptCode;
}

export interface Stage {
  header?(field: HeaderField): void;
  endOfHeaders?(): void;
  /** Some bytes of the body, valid only during the call. */
  body?(piece: Buffer): void;
  /** Called once, after everything else, and only when no earlier stage refused; nothing means the message may pass. */
  decide(transaction: Transaction): Refusal | undefined | Promise<Refusal | undefined>;
}
