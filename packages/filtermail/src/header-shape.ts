/**
 * What the fields that may leave may say. Each has a shape without room for text of the sender's own; what does not fit is
 * written anew where that is possible, or removed. The list is docs/filtermail.md's, field by field.
 *
 * Delta Chat sends every one of them in its shape already, and everything else inside the encrypted part (RFC 9788). Other
 * programs lose here what they tell the world: names, the list of recipients, the time zone.
 */

import type { Address } from '#core';
import { findAutocryptFault } from './autocrypt.ts';
import { isMessageId } from './message-id.ts';
import { isSecurejoinRequest } from './securejoin.ts';
import { isIdentityEncoding } from './transfer-encoding.ts';
import type { AcceptCode } from './verdict.ts';

/** What is left of a subject: the text Delta Chat itself puts there (RFC 9788 §5.2.2, hcp_baseline). */
export const HIDDEN_SUBJECT = '[...]';
/** An empty group (RFC 5322 §3.4), as Delta Chat writes it: who gets the message is the envelope's business. */
export const HIDDEN_RECIPIENTS = '"hidden-recipients": ;';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DATE =
  /^(?:[A-Z][a-z]{2}, ?)?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d)(?::(\d\d))? ([+-]\d{4}|[A-Z]{1,5})\b/;
/** Hours from UTC (RFC 5322 §4.3, obs-zone): every other name counts as UTC. */
const ZONES = new Map(Object.entries({ EDT: -4, EST: -5, CDT: -5, CST: -6, MDT: -6, MST: -7, PDT: -7, PST: -8 }));
/** What Delta Chat writes: nothing to change. */
const UTC_DATE = new RegExp(`^[A-Z][a-z]{2}, \\d{1,2} (?:${MONTHS.join('|')}) \\d{4} \\d\\d:\\d\\d:\\d\\d \\+0000$`);

/** What a rule may look at besides the value. */
export interface HeaderContext {
  readonly from: Address;
  readonly acceptedAs: AcceptCode;
}

/** The value a field leaves with: the one it has when that fits, another one, or none, and then the field goes. */
type Rule = (value: string, context: HeaderContext) => string | undefined;

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['from', (value, { from }) => inShape(value, bareAddress(from))],
  ['to', () => HIDDEN_RECIPIENTS],
  ['date', (value) => (UTC_DATE.test(value) ? value : toUtc(value))],
  ['message-id', (value) => (isMessageId(value) ? value : undefined)],
  ['subject', (value, { acceptedAs }) => (acceptedAs === 'setup_message' ? value : HIDDEN_SUBJECT)],
  ['mime-version', () => '1.0'],
  // Judged with the content, before anything is edited.
  ['content-type', (value) => value],
  ['content-transfer-encoding', (value) => (isIdentityEncoding(value.toLowerCase()) ? value : undefined)],
  ['auto-submitted', (value) => (/^auto-(?:generated|replied|notified)$/i.test(value) ? value : undefined)],
  ['chat-version', (value) => (/^\d{1,2}\.\d{1,2}$/.test(value) ? value : undefined)],
  ['chat-is-post-message', (value) => (value === '1' ? value : undefined)],
  ['secure-join', only('securejoin', isSecurejoinRequest)],
  ['secure-join-invitenumber', only('securejoin', (value) => /^[\w-]{1,64}$/.test(value))],
  ['autocrypt', only('securejoin', (value, { from }) => findAutocryptFault(value, from) === undefined)],
  ['autocrypt-setup-message', only('setup_message', (value) => value === 'v1')],
]);

/** True for a field that may leave in some shape. `name` is in lower case. */
export function isKept(name: string): boolean {
  return RULES.has(name);
}

/** The value with which a field of that name leaves; undefined when it must not. `value` is a byte string without its outer blanks. */
export function shapeField(name: string, value: string, context: HeaderContext): string | undefined {
  return RULES.get(name)?.(value, context);
}

function only(kind: AcceptCode, fits: (value: string, context: HeaderContext) => boolean): Rule {
  return (value, context) => (context.acceptedAs === kind && fits(value, context) ? value : undefined);
}

function inShape(value: string, shape: string): string {
  return value.toLowerCase() === shape.toLowerCase() ? value : shape;
}

/** An address in angle brackets, as bytes. */
function bareAddress({ text }: Address): string {
  return `<${Buffer.from(text, 'utf8').toString('latin1')}>`;
}

/** The same moment in UTC, without time zone and comment; undefined when the value is no date (RFC 5322 §3.3). */
function toUtc(value: string): string | undefined {
  const match = DATE.exec(value.replace(/[ \t\n]+/g, ' '));
  if (!match) return undefined;
  const [, day, month, year, hour, minute, second = '0', zone = ''] = match;
  const [, sign = '+', zoneHours = ZONES.get(zone) ?? 0, zoneMinutes = 0] = /^([+-])(\d\d)(\d\d)$/.exec(zone) ?? [];
  const offset = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === '-' ? -1 : 1);
  const at = Date.UTC(
    Number(year),
    MONTHS.indexOf(month!),
    Number(day),
    Number(hour),
    Number(minute) - offset,
    Number(second),
  );
  return Number.isNaN(at) || !MONTHS.includes(month!) ? undefined : new Date(at).toUTCString().replace('GMT', '+0000');
}
