/**
 * What the header of outgoing mail loses, by milter edits at the end of the message: every server on the way can read it, and
 * little of it is needed there. The real subject, threading and names travel inside the encrypted part.
 *
 * `minimal` keeps one of each of the fields in header-shape.ts, in the shapes there, and nothing else; `compat` removes only
 * what tells of the sender's device and network, as today's relays do. In both every Subject becomes `[...]`.
 */

import type { Edit } from '#milter';
import { findAutocryptFault } from './autocrypt.ts';
import { type HeaderContext, isKept, shapeField } from './header-shape.ts';
import type { HeaderField, Stage, Transaction } from './transaction.ts';
import { type Refusal, reject } from './verdict.ts';

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

  decide({ from, acceptedAs, edits }: Transaction): Refusal | undefined {
    const context: HeaderContext = { from: from!, acceptedAs };
    const wrong = this.#findKeyFault(context);
    if (wrong) return wrong;
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
    return undefined;
  }

  /** A securejoin request is of no use without the sender's key: better say what is wrong with that than remove it. */
  #findKeyFault({ from, acceptedAs }: HeaderContext): Refusal | undefined {
    const field = acceptedAs === 'securejoin' ? this.#kept.find(({ name }) => name === 'autocrypt') : undefined;
    const wrong = field && findAutocryptFault(field.value.trim(), from);
    return wrong === undefined || wrong === 'foreign' ? undefined : reject('autocrypt_key', wrong.keyHas);
  }

  #staysBy({ name, index, value }: HeaderField): boolean {
    if (index > 1) return false;
    if (name === 'subject') return true;
    return this.#policy === 'minimal' && isKept(name) && value.length <= MAX_VALUE_BYTES;
  }
}
