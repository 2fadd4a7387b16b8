/**
 * The stage that signs what leaves, as it leaves: after all edits of earlier stages. Mail whose From is not of our domain is
 * left alone; our signature would prove nothing of it.
 */

import type { HeaderField, Stage, Transaction } from '../transaction.ts';
import { BodyHash } from './canonical.ts';
import { applyHeaderEdits } from './header-edits.ts';
import { SIGNED_BODY_FORM, type SigningKey, signMessage } from './sign.ts';

export interface SigningSettings {
  /** One signature each. */
  readonly keys: readonly SigningKey[];
  /** The part of our addresses after the `@`. */
  readonly domain: string;
  /** The same in ASCII (RFC 8616). */
  readonly asciiDomain: string;
  /** Seconds since 1970. */
  readonly nowSeconds: () => number;
}

export class DkimSigning implements Stage {
  readonly #settings: SigningSettings;
  readonly #fields: HeaderField[] = [];
  readonly #bodyHash = new BodyHash(SIGNED_BODY_FORM);

  constructor(settings: SigningSettings) {
    this.#settings = settings;
  }

  header(field: HeaderField): void {
    this.#fields.push(field);
  }

  body(piece: Buffer): void {
    this.#bodyHash.push(piece);
  }

  decide({ from, edits }: Transaction): undefined {
    const { keys, domain, asciiDomain, nowSeconds } = this.#settings;
    if (from?.domain !== domain) return;
    const message = {
      fields: applyHeaderEdits(this.#fields, edits),
      bodyHash: this.#bodyHash.digest(),
      domain: asciiDomain,
      nowSeconds: nowSeconds(),
    };
    for (const key of keys) {
      edits.push({ edit: 'insertHeader', index: 0, name: 'DKIM-Signature', value: signMessage(message, key) });
    }
  }
}
