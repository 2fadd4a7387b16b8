/**
 * Exactly one From field with exactly one address (RFC 5322 §3.6 and §3.6.2), in both directions: what the reader of a message
 * is shown must be the one thing that was checked.
 */

import { parseFrom } from './from-field.ts';
import type { HeaderField, Stage, Transaction } from './transaction.ts';
import { type Refusal, reject } from './verdict.ts';

export class FromStage implements Stage {
  #value: string | undefined;
  #count = 0;

  header({ name, value }: HeaderField): void {
    if (name !== 'from') return;
    this.#count++;
    this.#value = value;
  }

  decide(transaction: Transaction): Refusal | undefined {
    if (this.#value === undefined) return reject('from_missing');
    if (this.#count > 1) return reject('from_repeated');
    const from = parseFrom(this.#value);
    if (!from.ok) return reject(from.reason);
    transaction.from = from.address;
    return undefined;
  }
}
