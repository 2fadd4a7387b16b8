/**
 * The encryption check: is this multipart body one encrypted OpenPGP message (RFC 3156 §4) and nothing else? It judges while
 * the bytes stream by, in constant memory: multipart -> transfer encoding -> armor -> packets -> randomness, each a push reader
 * that hands on to the next. What each layer demands stands in its file; the parts are judged here.
 */

import { ArmorReader } from './armor.ts';
import { MultipartReader, type MultipartVisitor, type PartField } from './mime.ts';
import { PacketWalker } from './openpgp.ts';
import { checkOutgoingHeader, type Direction, readPartHeader } from './part-header.ts';
import { isBlank, isHarmlessPreamble, MAX_EPILOGUE_BYTES, MAX_PREAMBLE_BYTES } from './surroundings.ts';
import { createTransferDecoder, type TransferDecoder } from './transfer-encoding.ts';
import { type Fault, fault } from './verdict.ts';

/** A judge of a message's body. After the first fault it ignores what comes. */
export interface BodyCheck {
  /** Takes some bytes of the body, valid only during the call. */
  push(piece: Buffer): void;
  /** The body is complete: what was wrong first, or undefined. */
  finish(): Fault | undefined;
}

/** Reads a multipart body with a visitor, and remembers the first fault. */
export class MultipartCheck implements BodyCheck {
  readonly #reader: MultipartReader;
  readonly #visitor: MultipartVisitor & { finish(): Fault | undefined };
  #fault: Fault | undefined;

  constructor(boundary: string, visitor: MultipartVisitor & { finish(): Fault | undefined }) {
    this.#visitor = visitor;
    this.#reader = new MultipartReader(boundary, visitor);
  }

  push(piece: Buffer): void {
    this.#fault ??= this.#reader.push(piece);
  }

  finish(): Fault | undefined {
    this.#fault ??= this.#reader.finish() ?? this.#visitor.finish();
    return this.#fault;
  }
}

/** Makes the check of a `multipart/encrypted` body with that boundary. */
export function createEncryptionCheck(boundary: string, direction: Direction): BodyCheck {
  return new MultipartCheck(boundary, new EncryptedVisitor(direction));
}

/** What is around the parts of a multipart: shared by all multiparts that are judged. */
export abstract class BareVisitor implements MultipartVisitor {
  protected readonly direction: Direction;
  #preamble = '';
  #epilogueBytes = 0;

  constructor(direction: Direction) {
    this.direction = direction;
  }

  preamble(bytes: Buffer): Fault | undefined {
    if (this.#preamble.length + bytes.length > MAX_PREAMBLE_BYTES) return fault('preamble_text');
    this.#preamble += bytes.toString('latin1');
    return undefined;
  }

  partBegin(fields: readonly PartField[]): Fault | undefined {
    if (!isHarmlessPreamble(this.#preamble, this.direction)) return fault('preamble_text');
    return this.part(fields);
  }

  epilogue(bytes: Buffer): Fault | undefined {
    this.#epilogueBytes += bytes.length;
    const isShort = this.#epilogueBytes <= MAX_EPILOGUE_BYTES;
    return isShort && isBlank(bytes) ? undefined : fault('epilogue_text');
  }

  protected abstract part(fields: readonly PartField[]): Fault | undefined;
  abstract partData(bytes: Buffer): Fault | undefined;
  abstract partEnd(): Fault | undefined;
}

/** The content of the first part (RFC 3156 §4), and the most bytes it may have with line ends around. */
const CONTROL_TEXT = 'Version: 1';
const MAX_CONTROL_BYTES = 64;

class EncryptedVisitor extends BareVisitor {
  #parts = 0;
  #control = '';
  #decoder: TransferDecoder | undefined;
  readonly #armor: ArmorReader;
  readonly #packets: PacketWalker;

  constructor(direction: Direction) {
    super(direction);
    const isIncoming = direction === 'incoming';
    this.#packets = new PacketWalker({ allowOcb: isIncoming });
    this.#armor = new ArmorReader({ allowHeaders: isIncoming }, (bytes) => this.#packets.push(bytes));
  }

  protected part(fields: readonly PartField[]): Fault | undefined {
    if (++this.#parts > 2) return fault('part_surplus');
    const header = readPartHeader(fields);
    if ('code' in header) return header;
    const isFirst = this.#parts === 1;
    const { type } = header.type;
    if (isFirst && type !== 'application/pgp-encrypted') return fault('first_part_type', type);
    if (!isFirst && type !== 'application/octet-stream') return fault('second_part_type', type);
    const wrong = this.direction === 'outgoing' ? checkOutgoingHeader(fields, header) : undefined;
    if (wrong) return wrong;
    const sink = isFirst ? (bytes: Buffer) => this.#controlData(bytes) : (bytes: Buffer) => this.#armor.push(bytes);
    this.#decoder = createTransferDecoder(header.encoding, sink);
    return this.#decoder ? undefined : fault('transfer_encoding_wrong', header.encoding);
  }

  partData(bytes: Buffer): Fault | undefined {
    return this.#decoder?.push(bytes);
  }

  partEnd(): Fault | undefined {
    const wrong = this.#decoder?.finish();
    if (wrong) return wrong;
    if (this.#parts === 1) return this.#control.trim() === CONTROL_TEXT ? undefined : fault('first_part_content');
    return this.#armor.finish() ?? this.#packets.finish();
  }

  finish(): Fault | undefined {
    return this.#parts === 2 ? undefined : fault('part_missing');
  }

  #controlData(bytes: Buffer): Fault | undefined {
    if (this.#control.length + bytes.length > MAX_CONTROL_BYTES) return fault('first_part_content');
    this.#control += bytes.toString('latin1');
    return undefined;
  }
}
