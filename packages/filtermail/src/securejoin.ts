/**
 * The one kind of clear text an account may send: the first message of a key exchange (securejoin), which cannot be encrypted
 * because the keys are not known yet. Its shape leaves no room for anything else: the field `Secure-Join: vc-request` (or
 * `vg-request`, to join a group), and a multipart with one text/plain part that says the same words again.
 */

import { BareVisitor, type BodyCheck, MultipartCheck } from './encrypted.ts';
import { isMessageId } from './message-id.ts';
import type { PartField } from './mime.ts';
import { checkOutgoingHeader, type Direction, readPartHeader } from './part-header.ts';
import { createTransferDecoder, type TransferDecoder } from './transfer-encoding.ts';
import { type Fault, fault } from './verdict.ts';

const REQUESTS = ['vc-request', 'vg-request'];
/** `Secure-Join: vc-request` with line ends around. */
const MAX_TEXT_BYTES = 64;

/** True when the value of a Secure-Join field begins a key exchange; all later steps are encrypted. */
export function isSecurejoinRequest(value: string): boolean {
  return REQUESTS.includes(value);
}

/** What the header says that its part may, or must, say again. */
export interface SecurejoinHeader {
  /** The value of the Secure-Join field. */
  readonly request: string;
  readonly messageId: string | undefined;
}

/** Makes the check of the body of a securejoin request. */
export function createSecurejoinCheck(boundary: string, header: SecurejoinHeader, direction: Direction): BodyCheck {
  return new MultipartCheck(boundary, new SecurejoinVisitor(header, direction));
}

class SecurejoinVisitor extends BareVisitor {
  readonly #request: string;
  readonly #messageId: string | undefined;
  #parts = 0;
  #text = '';
  #decoder: TransferDecoder | undefined;

  constructor({ request, messageId }: SecurejoinHeader, direction: Direction) {
    super(direction);
    this.#request = request;
    this.#messageId = messageId;
  }

  protected part(fields: readonly PartField[]): Fault | undefined {
    if (++this.#parts > 1) return fault('securejoin_shape');
    const header = readPartHeader(fields);
    if ('code' in header) return header;
    if (header.type.type !== 'text/plain') return fault('securejoin_shape');
    // Delta Chat writes the message's own Message-ID here again. Any other one would be a text.
    const own = fields.find(({ name, value }) => name === 'message-id' && value === this.#messageId);
    const others = own && isMessageId(own.value) ? fields.filter((field) => field !== own) : fields;
    const wrong = this.direction === 'outgoing' ? checkOutgoingHeader(others, header) : undefined;
    if (wrong) return wrong;
    this.#decoder = createTransferDecoder(header.encoding, (bytes) => this.#textData(bytes));
    return this.#decoder ? undefined : fault('transfer_encoding_wrong', header.encoding);
  }

  partData(bytes: Buffer): Fault | undefined {
    return this.#decoder?.push(bytes);
  }

  partEnd(): Fault | undefined {
    const wrong = this.#decoder?.finish();
    const said = this.#text.trim().toLowerCase();
    return wrong ?? (said === `secure-join: ${this.#request}` ? undefined : fault('securejoin_shape'));
  }

  finish(): Fault | undefined {
    return this.#parts === 1 ? undefined : fault('securejoin_shape');
  }

  #textData(bytes: Buffer): Fault | undefined {
    if (this.#text.length + bytes.length > MAX_TEXT_BYTES) return fault('securejoin_shape');
    this.#text += bytes.toString('latin1');
    return undefined;
  }
}
