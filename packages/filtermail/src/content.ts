/**
 * What kind of content a message has, judged while it streams by: encrypted, a securejoin request, or neither and why. The
 * header decides which body check runs; what else may pass is for outgoing.ts and incoming.ts to say.
 */

import { type ContentType, parseContentType, readBoundary } from './content-type.ts';
import { type BodyCheck, createEncryptionCheck } from './encrypted.ts';
import { checkOutgoingType, type Direction } from './part-header.ts';
import { createSecurejoinCheck, isSecurejoinRequest } from './securejoin.ts';
import type { HeaderField } from './transaction.ts';
import { isIdentityEncoding } from './transfer-encoding.ts';
import { type Fault, fault } from './verdict.ts';

export type ContentResult =
  | { readonly kind: 'encrypted' | 'securejoin' }
  | { readonly kind: 'other'; readonly fault: Fault };

/** Header fields that say what the content is; of each the first value, and whether there was another. */
const FIELDS = [
  'content-type',
  'content-transfer-encoding',
  'secure-join',
  'message-id',
  'auto-submitted',
  'subject',
] as const;
type FieldName = (typeof FIELDS)[number];

export class ContentJudge {
  readonly #direction: Direction;
  readonly #fields = new Map<string, string>();
  readonly #repeated = new Set<string>();
  #type: ContentType | undefined;
  #kind: 'encrypted' | 'securejoin' = 'encrypted';
  #check: BodyCheck | undefined;
  #fault: Fault | undefined;

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  header({ name, value, index }: HeaderField): void {
    if (!(FIELDS as readonly string[]).includes(name)) return;
    if (index > 1) this.#repeated.add(name);
    else this.#fields.set(name, value.trim());
  }

  /** Chooses the check of the body. */
  endOfHeaders(): void {
    const check = this.#chooseCheck();
    if ('code' in check) this.#fault = check;
    else this.#check = check;
  }

  body(piece: Buffer): void {
    this.#check?.push(piece);
  }

  /** To be called once, when the body is complete. */
  result(): ContentResult {
    this.#fault ??= this.#check ? this.#check.finish() : fault('content_type_missing');
    return this.#fault ? { kind: 'other', fault: this.#fault } : { kind: this.#kind };
  }

  /** `type/subtype` of the message; undefined when there is not exactly one Content-Type that can be read. */
  get type(): string | undefined {
    return this.#type?.type;
  }

  /** The value of a field that stands there once, trimmed. */
  field(name: FieldName): string | undefined {
    return this.#repeated.has(name) ? undefined : this.#fields.get(name);
  }

  #chooseCheck(): BodyCheck | Fault {
    const value = this.#fields.get('content-type');
    if (value === undefined) return fault('content_type_missing');
    if (this.#repeated.has('content-type')) return fault('content_type_repeated');
    const parsed = parseContentType(value);
    if (!parsed.ok) return parsed.fault;
    this.#type = parsed.value;
    const { type, parameters } = parsed.value;
    const request = this.field('secure-join');
    const isRequest = type === 'multipart/mixed' && request !== undefined && isSecurejoinRequest(request);
    if (type !== 'multipart/encrypted' && !isRequest) return fault('content_type_wrong', type);
    const protocol = parameters.get('protocol');
    // RFC 3156 §4 demands it; some programs leave it out, and then nothing else is promised either.
    if (!isRequest && protocol !== undefined && protocol.toLowerCase() !== 'application/pgp-encrypted') {
      return fault('protocol_wrong');
    }
    const wordy = this.#direction === 'outgoing' ? checkOutgoingType(parsed.value) : undefined;
    if (wordy) return wordy;
    const encoding = (this.#fields.get('content-transfer-encoding') ?? '7bit').toLowerCase();
    if (this.#repeated.has('content-transfer-encoding') || !isIdentityEncoding(encoding)) {
      return fault('multipart_encoded', encoding);
    }
    const boundary = readBoundary(parameters);
    if (!boundary.ok) return boundary.fault;
    if (!isRequest) return createEncryptionCheck(boundary.value, this.#direction);
    this.#kind = 'securejoin';
    const messageId = this.field('message-id');
    return createSecurejoinCheck(boundary.value, { request, messageId }, this.#direction);
  }
}
