/** Runs bytes through the push readers in any chunking, for tests. */

import { parseAddress } from '#core';
import { createEncryptionCheck } from '../../src/encrypted.ts';
import type { Direction } from '../../src/part-header.ts';
import { Pipeline } from '../../src/pipeline.ts';
import type { Envelope, Stage } from '../../src/transaction.ts';
import type { Fault } from '../../src/verdict.ts';
import { BOUNDARY } from './openpgp.ts';

export interface PushReader {
  push(piece: Buffer): Fault | undefined;
  finish(): Fault | undefined;
}

/** Pushes all bytes, cut at these places; the code of the first fault, or `ok`. */
export function run(reader: PushReader, bytes: Buffer, cuts: readonly number[] = []): string {
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    // A copy that is overwritten afterwards: nobody may keep a view of it.
    const piece = Buffer.from(bytes.subarray(from, to));
    const wrong = reader.push(piece);
    piece.fill(0x2d);
    if (wrong) return wrong.code;
    from = to;
  }
  return reader.finish()?.code ?? 'ok';
}

/** The verdict of the encryption check on a body with the usual boundary. */
export function checkBody(body: Buffer, direction: Direction = 'outgoing', cuts: readonly number[] = []): string {
  const check = createEncryptionCheck(BOUNDARY, direction);
  const push = (piece: Buffer) => {
    check.push(piece);
    return undefined;
  };
  return run({ push, finish: () => check.finish() }, body, cuts);
}

/** Cuts of `length` bytes into chunks of `size`. */
export function chunksOf(length: number, size: number): number[] {
  return Array.from({ length: Math.max(0, Math.ceil(length / size) - 1) }, (_, i) => (i + 1) * size);
}

/** Stands for the verification of DKIM, which has tests of its own: everything is authentic. */
export const AUTHENTIC: Stage = { decide: () => undefined };

export interface TestMessage {
  readonly sender?: string;
  readonly login?: string;
  readonly recipients?: readonly string[];
  readonly header: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer | string;
}

export function envelope({
  sender = 'alice@relay.test',
  login,
  recipients = ['bob@relay.test'],
}: Partial<TestMessage>): Envelope {
  return {
    sender: parseAddress(sender),
    isNullSender: sender === '',
    clientAddress: undefined,
    login,
    recipients: recipients.map((recipient) => parseAddress(recipient)),
    recipientCount: recipients.length,
  };
}

/** Runs a whole message through the stages of a direction. */
export async function judge(stages: readonly Stage[], message: TestMessage) {
  const pipeline = new Pipeline(stages);
  for (const [name, value] of message.header) pipeline.header(name, value);
  pipeline.endOfHeaders();
  pipeline.body(typeof message.body === 'string' ? Buffer.from(message.body, 'latin1') : message.body);
  return await pipeline.decide(envelope(message));
}
