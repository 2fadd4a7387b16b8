/**
 * What an account may send: mail from its own address, not too much of it, and nothing but encrypted messages, securejoin
 * requests and the key transfer to itself. What leaves has its readable header cut down (header-hygiene.ts).
 */

import { type Config, parseAddress } from '#core';
import { ContentJudge } from './content.ts';
import { FromStage } from './from-stage.ts';
import { HeaderHygiene } from './header-hygiene.ts';
import { LineLength } from './line-length.ts';
import type { RateLimit } from './rate-limit.ts';
import type { HeaderField, Stage, Transaction } from './transaction.ts';
import { type Refusal, reject, tempfail } from './verdict.ts';

export interface OutgoingSettings {
  readonly config: Config;
  readonly rateLimit: RateLimit;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** Signs what passes (dkim/signing.ts). IP relays do not. */
  readonly signing?: Stage | undefined;
}

/** The stages of one outgoing message, in the order of their decisions. */
export function createOutgoingStages({ config, rateLimit, now, signing }: OutgoingSettings): Stage[] {
  return [
    new FromStage(),
    { decide: checkSender },
    { decide: (transaction) => checkRate(transaction, rateLimit, now()) },
    new OutgoingContent(),
    new HeaderHygiene(config.outgoing_headers),
    new LineLength(),
    ...(signing ? [signing] : []),
  ];
}

/** From, envelope sender and login are one address. {@link parseAddress} has made all of them lower case. */
function checkSender({ envelope, from }: Transaction): Refusal | undefined {
  const { sender, login } = envelope;
  if (!sender) return reject('sender_invalid');
  if (from?.text !== sender.text) return reject('from_not_envelope');
  // Without a login it was the MTA that decided who may submit here (smtpd_relay_restrictions).
  if (login !== undefined && login !== sender.text && parseAddress(login)?.text !== sender.text) {
    return reject('sender_not_login');
  }
  return undefined;
}

function checkRate({ from }: Transaction, rateLimit: RateLimit, nowMs: number): Refusal | undefined {
  const waitMs = rateLimit.take(from!.text, nowMs);
  return waitMs > 0 ? tempfail('rate_limited', String(Math.ceil(waitMs / 1000))) : undefined;
}

class OutgoingContent implements Stage {
  readonly #judge = new ContentJudge('outgoing');

  header(field: HeaderField): void {
    this.#judge.header(field);
  }

  endOfHeaders(): void {
    this.#judge.endOfHeaders();
  }

  body(piece: Buffer): void {
    this.#judge.body(piece);
  }

  decide(transaction: Transaction): Refusal | undefined {
    const content = this.#judge.result();
    if (content.kind !== 'other') transaction.acceptedAs = content.kind;
    else if (this.#isSetupMessage(transaction)) transaction.acceptedAs = 'setup_message';
    else return reject(content.fault.code, content.fault.detail);
    return undefined;
  }

  /** The Autocrypt Setup Message moves a key to another device of the same person; it goes to nobody else. */
  #isSetupMessage({ envelope, from }: Transaction): boolean {
    const [recipient] = envelope.recipients;
    return (
      envelope.recipientCount === 1 &&
      recipient?.text === from?.text &&
      this.#judge.type === 'multipart/mixed' &&
      this.#judge.field('subject') === 'Autocrypt Setup Message'
    );
  }
}
