/**
 * Outgoing mail has no line of more than 998 bytes (RFC 5322 §2.1.1). Postfix' SMTP client folds longer ones as it sends them,
 * after they were signed: the signature breaks, and armor is no armor any more. Better the sender learns it than every recipient's
 * server. Lines of the header count only where they leave as they are.
 */

import type { HeaderField, Stage, Transaction } from './transaction.ts';
import { type Refusal, reject } from './verdict.ts';

/** Longest line without its CRLF, bytes (also smtp_line_length_limit of Postfix). */
const MAX_LINE_BYTES = 998;
/** Where the LF of the longest line stands. */
const MAX_LF_OFFSET = MAX_LINE_BYTES + 1;
const LF = 10;

export class LineLength implements Stage {
  readonly #longFields: HeaderField[] = [];
  #isLong = false;
  /** Bytes of the line that the last piece began and did not end. */
  #begun = 0;

  header(field: HeaderField): void {
    const { rawName, value } = field;
    if (rawName.length + 2 + value.length <= MAX_LINE_BYTES) return;
    const isLong = `${rawName}: ${value}`.split('\n').some(({ length }) => length > MAX_LINE_BYTES);
    // What it says is of no interest, and may be long.
    if (isLong) this.#longFields.push({ ...field, value: '', rawValue: '' });
  }

  /** Looks at a few bytes of each thousand: from where a line must have ended at the latest, back to where it did. */
  body(piece: Buffer): void {
    let at = 0;
    while (!this.#isLong && this.#begun + piece.length - at > MAX_LF_OFFSET) {
      let lf = at + MAX_LF_OFFSET - this.#begun;
      while (lf >= at && piece[lf] !== LF) lf--;
      this.#isLong = lf < at;
      at = lf + 1;
      this.#begun = 0;
    }
    const lf = piece.lastIndexOf(LF);
    this.#begun = lf < at ? this.#begun + piece.length - at : piece.length - lf - 1;
  }

  decide({ edits }: Transaction): Refusal | undefined {
    const leaves = ({ rawName, index }: HeaderField) =>
      !edits.some(
        (edit) =>
          (edit.edit === 'changeHeader' || edit.edit === 'deleteHeader') &&
          edit.name === rawName &&
          edit.index === index,
      );
    return this.#isLong || this.#longFields.some(leaves) ? reject('line_too_long') : undefined;
  }
}
