/**
 * Runs the stages of one message: events to all of them as they come, the decision in order. Knows nothing of the milter
 * protocol and nothing of what the stages look at.
 */

import type { Edit } from '#milter';
import type { Envelope, Stage, Transaction } from './transaction.ts';
import { accept, type Refusal, reject, type Verdict } from './verdict.ts';

/** Most header fields of a message. Honest ones have under 100; the MTA bounds their bytes, not their number. */
const MAX_HEADER_FIELDS = 1000;
/** Most bytes of a header, which is kept until it is verified or signed. A thousand recipients in `To:` have 50,000. */
const MAX_HEADER_BYTES = 262_144;

export interface Judgement {
  readonly verdict: Verdict;
  /** To be made only when the verdict is accept. */
  readonly edits: readonly Edit[];
}

export class Pipeline {
  readonly #stages: readonly Stage[];
  readonly #bodyStages: readonly Stage[];
  #fields = 0;
  #headerBytes = 0;
  #hasBareCr = false;
  readonly #fieldsByName = new Map<string, number>();

  constructor(stages: readonly Stage[]) {
    this.#stages = stages;
    this.#bodyStages = stages.filter((stage) => stage.body);
  }

  header(rawName: string, rawValue: string): void {
    this.#fields++;
    this.#headerBytes += rawName.length + rawValue.length;
    if (this.#isHeaderTooLarge) return;
    // To some readers a lone CR ends the line, and what follows is another From.
    this.#hasBareCr ||= /\r(?!\n)/.test(rawValue);
    const name = rawName.trimEnd().toLowerCase();
    const index = (this.#fieldsByName.get(name) ?? 0) + 1;
    this.#fieldsByName.set(name, index);
    const value = rawValue.startsWith(' ') ? rawValue.slice(1) : rawValue;
    for (const stage of this.#stages) stage.header?.({ name, rawName, value, rawValue, index });
  }

  endOfHeaders(): void {
    for (const stage of this.#stages) stage.endOfHeaders?.();
  }

  body(piece: Buffer): void {
    for (const stage of this.#bodyStages) stage.body!(piece);
  }

  /**
   * The end of the message. Throws or rejects when a stage failed for a reason of ours; the message must then be tempfailed.
   * A promise only when a stage had to wait: then, and not always, the MTA's connection has to be stopped and started again.
   */
  decide(envelope: Envelope): Judgement | Promise<Judgement> {
    if (this.#isHeaderTooLarge) return refused(reject('header_too_large'));
    if (this.#hasBareCr) return refused(reject('header_bare_cr'));
    return this.#decideFrom(0, { envelope, edits: [], from: undefined, acceptedAs: 'unchecked' });
  }

  /** Asks the stages from the one of that number on. */
  #decideFrom(first: number, transaction: Transaction): Judgement | Promise<Judgement> {
    for (let i = first; i < this.#stages.length; i++) {
      const refusal = this.#stages[i]!.decide(transaction);
      if (refusal instanceof Promise) {
        return refusal.then((late) => (late ? refused(late) : this.#decideFrom(i + 1, transaction)));
      }
      if (refusal) return refused(refusal);
    }
    return { verdict: accept(transaction.acceptedAs), edits: transaction.edits };
  }

  get #isHeaderTooLarge(): boolean {
    return this.#fields > MAX_HEADER_FIELDS || this.#headerBytes > MAX_HEADER_BYTES;
  }
}

function refused(verdict: Refusal): Judgement {
  return { verdict, edits: [] };
}
