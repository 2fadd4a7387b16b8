/**
 * Frame -> reply: how an MTA reads what a milter sends, the inverse of reply.ts. Only the test MTA needs it. It is as strict
 * as Postfix 3.7 milter8.c where that has an opinion, and stricter where Postfix reads beyond the end (a missing NUL).
 */

import type { Offer } from './command.ts';
import * as P from './protocol.ts';

/** A reply or modification as the MTA reads it. Strings are byte strings. */
export type MtaReply =
  | { readonly type: 'negotiate'; readonly offer: Offer; readonly macros: ReadonlyMap<number, string> }
  | { readonly type: 'continue' | 'accept' | 'reject' | 'tempfail' | 'discard' | 'skip' | 'progress' }
  /** SMFIR_REPLYCODE, as on the wire: `%` doubled. */
  | { readonly type: 'replyCode'; readonly text: string }
  | { readonly type: 'addHeader'; readonly name: string; readonly value: string }
  | {
      readonly type: 'insertHeader' | 'changeHeader';
      readonly index: number;
      readonly name: string;
      readonly value: string;
    }
  | { readonly type: 'replaceBody'; readonly chunk: Buffer }
  | { readonly type: 'addRecipient' | 'changeSender'; readonly address: string; readonly parameters?: string }
  | { readonly type: 'deleteRecipient'; readonly address: string }
  | { readonly type: 'quarantine'; readonly reason: string };

const SIMPLE_REPLIES: ReadonlyMap<
  number,
  'continue' | 'accept' | 'reject' | 'tempfail' | 'discard' | 'skip' | 'progress'
> = new Map([
  [P.SMFIR_CONTINUE, 'continue'],
  [P.SMFIR_ACCEPT, 'accept'],
  [P.SMFIR_REJECT, 'reject'],
  [P.SMFIR_TEMPFAIL, 'tempfail'],
  [P.SMFIR_DISCARD, 'discard'],
  [P.SMFIR_SKIP, 'skip'],
  [P.SMFIR_PROGRESS, 'progress'],
]);

/** Decodes what a milter sends. Throws an ordinary Error at anything Postfix would not take. */
export function decodeReply(command: number, data: Buffer): MtaReply {
  const simple = SIMPLE_REPLIES.get(command);
  if (simple !== undefined) {
    if (data.length > 0) throw new Error(`${P.REPLY_NAMES.get(command)} with data`);
    return { type: simple };
  }
  switch (command) {
    case P.SMFIC_OPTNEG:
      return decodeNegotiation(data);
    case P.SMFIR_REPLYCODE:
      return { type: 'replyCode', text: strings(data, 1)[0]! };
    case P.SMFIR_ADDHEADER: {
      const [name, value] = strings(data, 2);
      return { type: 'addHeader', name: name!, value: value! };
    }
    case P.SMFIR_INSHEADER:
    case P.SMFIR_CHGHEADER: {
      const [name, value] = strings(data.subarray(4), 2);
      const type = command === P.SMFIR_INSHEADER ? 'insertHeader' : 'changeHeader';
      return { type, index: data.readUInt32BE(0), name: name!, value: value! };
    }
    case P.SMFIR_REPLBODY:
      return { type: 'replaceBody', chunk: data };
    case P.SMFIR_ADDRCPT:
      return { type: 'addRecipient', address: strings(data, 1)[0]! };
    case P.SMFIR_ADDRCPT_PAR:
    case P.SMFIR_CHGFROM: {
      const [address, parameters] = strings(data);
      const type = command === P.SMFIR_CHGFROM ? 'changeSender' : 'addRecipient';
      return { type, address: address!, ...(parameters === undefined ? {} : { parameters }) };
    }
    case P.SMFIR_DELRCPT:
      return { type: 'deleteRecipient', address: strings(data, 1)[0]! };
    case P.SMFIR_QUARANTINE:
      return { type: 'quarantine', reason: strings(data, 1)[0]! };
    default:
      throw new Error(`reply byte 0x${command.toString(16)}`);
  }
}

function decodeNegotiation(data: Buffer): MtaReply {
  const offer = { version: data.readUInt32BE(0), actions: data.readUInt32BE(4), steps: data.readUInt32BE(8) };
  const macros = new Map<number, string>();
  for (let at = 12; at < data.length; ) {
    const nul = data.indexOf(0, at + 4);
    macros.set(data.readUInt32BE(at), data.toString('latin1', at + 4, nul));
    at = nul + 1;
  }
  return { type: 'negotiate', offer, macros };
}

function strings(data: Buffer, count?: number): string[] {
  if (data.at(-1) !== 0) throw new Error('a string without NUL at its end');
  const found = data.toString('latin1', 0, data.length - 1).split('\0');
  if (count !== undefined && found.length !== count) throw new Error(`${found.length} strings instead of ${count}`);
  return found;
}
