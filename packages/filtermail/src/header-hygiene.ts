/**
 * What the header of outgoing mail loses, by milter edits at the end of the message: every server on the way can read it, and
 * little of it is needed there. The real subject, threading and names travel inside the encrypted part.
 *
 * `minimal` keeps one of each of the fields in header-shape.ts, in the shapes there, and nothing else; `compat` removes only
 * what tells of the sender's device and network, as today's relays do. In both every Subject becomes `[...]`.
 */

import type { Edit } from '#milter';
import { type HeaderContext, isKept, shapeField } from './header-shape.ts';
import type { HeaderField, Stage, Transaction } from './transaction.ts';

export type HeaderPolicy = 'minimal' | 'compat';

/** Removed by `compat`. */
const REVEALING = new Set(['received', 'x-originating-ip', 'x-mailer', 'user-agent']);
/** Longest value looked at, bytes: the key in an Autocrypt field is by far the longest. A field with more goes. */
const MAX_VALUE_BYTES = 32_768;

export class HeaderHygiene implements Stage {
  readonly #policy: HeaderPolicy;
  /** Fields that may stay, by the shape of their value. */
  readonly #kept: HeaderField[] = [];
  readonly #removed: HeaderField[] = [];

  constructor(policy: HeaderPolicy) {
    this.#policy = policy;
  }

  header(field: HeaderField): void {
    if (this.#staysBy(field)) this.#kept.push(field);
    else if (this.#policy === 'minimal' || field.name === 'subject' || REVEALING.has(field.name)) {
      this.#removed.push({ ...field, value: '' });
    }
  }

  decide({ from, acceptedAs, edits }: Transaction): undefined {
    const context: HeaderContext = { from: from!, acceptedAs };
    const unfit: HeaderField[] = [];
    for (const field of this.#kept) {
      const value = field.value.trim();
      const shaped = shapeField(field.name, value, context);
      if (shaped === undefined) unfit.push(field);
      else if (shaped !== value) {
        edits.push({ edit: 'changeHeader', name: field.rawName, index: 1, value: shaped });
      }
    }
    // Last one first: whether or not an MTA counts fields already removed, the indexes of the others stay right.
    for (const { rawName, index } of [...unfit, ...this.#removed].reverse()) {
      edits.push({ edit: 'deleteHeader', name: rawName, index } satisfies Edit);
    }
  }

  #staysBy({ name, index, value }: HeaderField): boolean {
    if (index > 1) return false;
    if (name === 'subject') return true;
    return this.#policy === 'minimal' && isKept(name) && value.length <= MAX_VALUE_BYTES;
  }
}
