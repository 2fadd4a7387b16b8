/**
 * The header as the MTA will have it when it has made our edits (milter-protocol.txt SMFIR_CHGHEADER, SMFIR_INSHEADER,
 * SMFIR_ADDHEADER). Indexes count fields of one name as received, whatever was removed before.
 */

import type { Edit } from '#milter';
import type { RawField } from './canonical.ts';

/** Applies the edits that concern the header; the others are ignored. */
export function applyHeaderEdits(fields: readonly RawField[], edits: readonly Edit[]): RawField[] {
  const received = new Map<string, RawField[]>();
  for (const field of fields) {
    const same = received.get(field.name);
    if (same) same.push(field);
    else received.set(field.name, [field]);
  }
  const replaced = new Map<RawField, RawField | undefined>();
  const above: RawField[] = [];
  const below: RawField[] = [];
  for (const edit of edits) {
    switch (edit.edit) {
      case 'changeHeader':
      case 'deleteHeader': {
        const old = received.get(edit.name.toLowerCase())?.[edit.index - 1];
        const changed = edit.edit === 'changeHeader' ? fieldOf(edit) : undefined;
        if (old) replaced.set(old, changed);
        else if (changed) below.push(changed);
        break;
      }
      case 'insertHeader':
        above.unshift(fieldOf(edit));
        break;
      case 'addHeader':
        below.push(fieldOf(edit));
    }
  }
  const middle = fields.flatMap((field) => (replaced.has(field) ? (replaced.get(field) ?? []) : [field]));
  return [...above, ...middle, ...below];
}

function fieldOf({ name, value }: { readonly name: string; readonly value: string }): RawField {
  return { name: name.toLowerCase(), rawName: name, rawValue: value };
}
