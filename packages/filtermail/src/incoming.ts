/**
 * What other servers may bring in: encrypted messages, securejoin requests, delivery reports, and clear text only where every
 * recipient has switched the enforcement off. Bounces of accepted mail never go to an address the message is not from.
 */

import type { Address } from '#core';
import { ContentJudge } from './content.ts';
import { FromStage } from './from-stage.ts';
import type { Envelope, HeaderField, Stage, Transaction } from './transaction.ts';
import { type Refusal, reject } from './verdict.ts';

/** Who has switched the enforcement off. */
export interface CleartextPolicy {
  /** True when this account takes clear text. Rejects when that cannot be found out. */
  allowsCleartext(recipient: Address): Promise<boolean>;
}

/**
 * The stages of one incoming message, in the order of their decisions: what costs least first.
 *
 * @param authentication finds out whether the message is from who it says (dkim/authentication.ts)
 */
export function createIncomingStages(policy: CleartextPolicy, authentication: Stage): Stage[] {
  return [new FromStage(), new IncomingContent(policy), authentication, { decide: replaceForeignReturnPath }];
}

class IncomingContent implements Stage {
  readonly #policy: CleartextPolicy;
  readonly #judge = new ContentJudge('incoming');

  constructor(policy: CleartextPolicy) {
    this.#policy = policy;
  }

  header(field: HeaderField): void {
    this.#judge.header(field);
  }

  endOfHeaders(): void {
    this.#judge.endOfHeaders();
  }

  body(piece: Buffer): void {
    this.#judge.body(piece);
  }

  async decide(transaction: Transaction): Promise<Refusal | undefined> {
    const content = this.#judge.result();
    if (content.kind !== 'other') {
      transaction.acceptedAs = content.kind;
      return undefined;
    }
    if (this.#isDeliveryReport(transaction)) {
      transaction.acceptedAs = 'mailer_daemon';
      return undefined;
    }
    if (!(await this.#allAllowCleartext(transaction.envelope))) {
      return reject(content.fault.code, content.fault.detail);
    }
    transaction.acceptedAs = 'cleartext_allowed';
    return undefined;
  }

  /** RFC 3464 and RFC 3834: a report by a mail system, which has no key to encrypt with. */
  #isDeliveryReport({ from }: Transaction): boolean {
    const autoSubmitted = this.#judge.field('auto-submitted')?.toLowerCase() ?? '';
    return (
      from?.localPart === 'mailer-daemon' &&
      autoSubmitted !== '' &&
      autoSubmitted !== 'no' &&
      this.#judge.type === 'multipart/report'
    );
  }

  /** Stops at the first recipient that does not allow it. */
  async #allAllowCleartext({ recipients, recipientCount }: Envelope): Promise<boolean> {
    if (recipientCount === 0 || recipients.length < recipientCount) return false;
    for (const recipient of recipients) {
      if (recipient === undefined || !(await this.#policy.allowsCleartext(recipient))) return false;
    }
    return true;
  }
}

/** An envelope sender that is not the author would get the bounces: with forged mail, a stranger. */
function replaceForeignReturnPath({ envelope, from, edits }: Transaction): undefined {
  if (!envelope.isNullSender && envelope.sender?.text !== from?.text)
    edits.push({ edit: 'changeSender', sender: '<>' });
}
