/**
 * The header of a part inside a multipart: what it must say, and, on the way out, what it must not. A part's header is readable
 * by every server on the way, so outgoing ones hold only fields and words from the lists below; incoming ones may
 * hold what other mail programs write.
 */

import { type ContentType, parseContentType } from './content-type.ts';
import type { PartField } from './mime.ts';
import { isIdentityEncoding } from './transfer-encoding.ts';
import { type Fault, fault } from './verdict.ts';

/** Which way a message goes: `outgoing` from an account of ours, `incoming` from another server. */
export type Direction = 'outgoing' | 'incoming';

export interface PartHeader {
  readonly type: ContentType;
  /** Lower case; `7bit` when not given. */
  readonly encoding: string;
}

/** RFC 2045 §5.2. */
const DEFAULT_TYPE = 'text/plain';
/** What mail programs call the two parts (RFC 3156 names none), word for word. */
const DESCRIPTIONS = new Set([
  'PGP/MIME version identification',
  'PGP/MIME Versions Identification',
  'OpenPGP encrypted message',
  'OpenPGP encrypted message.asc',
  'This is an encrypted message part',
]);
const FILE_NAMES = /^(?:encrypted|msg|message|openpgp[-_]encrypted[-_]message)\.(?:asc|pgp|gpg)$/i;
/** What parameters of a media type may say. A name or a value of the sender's own would be text for everybody to read. */
const PARAMETERS: ReadonlyMap<string, RegExp> = new Map([
  ['charset', /^(?:utf-8|us-ascii|ascii|iso-8859-\d{1,2})$/i],
  ['name', FILE_NAMES],
  ['format', /^(?:flowed|fixed)$/i],
  ['delsp', /^(?:yes|no)$/i],
  ['protected-headers', /^v1$/],
  ['hp', /^(?:cipher|clear)$/],
]);
/** A boundary may have blanks (RFC 2046 §5.1.1), but no program makes such ones, and sentences do. */
const MESSAGE_PARAMETERS: ReadonlyMap<string, RegExp> = new Map([
  ...PARAMETERS,
  ['boundary', /^\S+$/],
  ['protocol', /^application\/pgp-encrypted$/i],
]);
const DISPOSITION_PARAMETERS: ReadonlyMap<string, RegExp> = new Map([['filename', FILE_NAMES]]);

/** Reads the header of a part, or says what is wrong with it. */
export function readPartHeader(fields: readonly PartField[]): PartHeader | Fault {
  const types = fields.filter(({ name }) => name === 'content-type');
  const encodings = fields.filter(({ name }) => name === 'content-transfer-encoding');
  if (types.length > 1) return fault('content_type_repeated');
  if (encodings.length > 1) return fault('part_header_malformed');
  const type = parseContentType(types[0]?.value ?? DEFAULT_TYPE);
  if (!type.ok) return type.fault;
  return { type: type.value, encoding: (encodings[0]?.value ?? '7bit').toLowerCase() };
}

/** What an outgoing part's header must not have: an encoding that hides what is in the part, and free text. */
export function checkOutgoingHeader(fields: readonly PartField[], { type, encoding }: PartHeader): Fault | undefined {
  if (!isIdentityEncoding(encoding)) return fault('transfer_encoding_wrong', encoding);
  const wordy = fields.find((field) => !isTerse(field, type));
  return wordy && fault('part_header_text', wordy.name);
}

/** The same for the message's own Content-Type, which has a boundary and a protocol besides. */
export function checkOutgoingType(type: ContentType): Fault | undefined {
  const wordy = findText(type, MESSAGE_PARAMETERS);
  return wordy === undefined ? undefined : fault('content_type_text', wordy);
}

/** True when the field holds nothing but words of ours. */
function isTerse({ name, value }: PartField, type: ContentType): boolean {
  switch (name) {
    case 'content-type':
      return findText(type, PARAMETERS) === undefined;
    case 'content-transfer-encoding':
      return true;
    case 'content-description':
      return DESCRIPTIONS.has(value);
    case 'content-disposition': {
      // The same grammar with one word less (RFC 2183 §2).
      const disposition = parseContentType(`disposition/${value}`);
      const kind = disposition.ok ? disposition.value.type : '';
      const isKnown = kind === 'disposition/inline' || kind === 'disposition/attachment';
      return isKnown && disposition.ok && findText(disposition.value, DISPOSITION_PARAMETERS) === undefined;
    }
    case 'mime-version':
      return value === '1.0';
    default:
      return false;
  }
}

/** The name of a parameter that is not one of these, or says something else. */
function findText(type: ContentType, allowed: ReadonlyMap<string, RegExp>): string | undefined {
  for (const [name, value] of type.parameters) if (!allowed.get(name)?.test(value)) return name;
  return undefined;
}
