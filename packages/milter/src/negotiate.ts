/**
 * SMFIC_OPTNEG: what the MTA offers and what we need -> what both do, and the answer frame.
 * Source: milter-protocol.txt SMFIC_OPTNEG; Postfix 3.7 milter8.c milter8_connect. An event we asked to go without, or
 * without reply, costs nothing but time when the MTA cannot do that, so it is never a reason to refuse an MTA; a missing
 * version, action or variation is.
 */

import type { Offer } from './command.ts';
import { MilterProtocolError } from './errors.ts';
import { encodeFrame } from './frame.ts';
import type { EventMode, EventName } from './handler.ts';
import * as P from './protocol.ts';

/** Stages that can be given a macro list, by upstream's index (mfapi.h SMFIM_*). */
const MACRO_LIST_STAGES = {
  connect: 0,
  helo: 1,
  mail: 2,
  recipient: 3,
  data: 4,
  endOfMessage: 5,
  endOfHeaders: 6,
} as const;

/** Macro names per stage. A stage not named gets none at all, once any is. */
export type MacroLists = { readonly [stage in keyof typeof MACRO_LIST_STAGES]?: readonly string[] };

/** What a milter wants of an MTA. */
export interface Requirements {
  /** Events wanted and how; one not named is not sent. */
  readonly events: { readonly [event in EventName]?: EventMode };
  /** SMFIF_* bits of the edits that may be made. An MTA that does not offer all of them is refused. */
  readonly actions?: number;
  /** Header values with the space after the colon exactly as sent (SMFIP_HDR_LEADSPC). DKIM needs it. */
  readonly leadingSpace?: boolean;
  /** Show recipients the MTA refuses itself (SMFIP_RCPT_REJ). */
  readonly rejectedRecipients?: boolean;
  /** Asks for these macros instead of the MTA's own choice (SMFIF_SETSYMLIST). */
  readonly macros?: MacroLists;
}

/** How an event is handled on this connection. */
export interface EventPlan {
  /** As asked for; undefined when the handler is not to be told. */
  readonly mode: EventMode | undefined;
  /** The MTA waits for a reply. */
  readonly reply: boolean;
}

/** The outcome of a negotiation. */
export interface Negotiated {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
  readonly events: Readonly<Record<EventName, EventPlan>>;
}

/** The bit that leaves an event out, and the one that makes it go without a reply. */
const EVENT_STEPS: Readonly<Record<EventName, { readonly off: number; readonly noReply: number }>> = {
  connect: { off: P.SMFIP_NOCONNECT, noReply: P.SMFIP_NR_CONN },
  helo: { off: P.SMFIP_NOHELO, noReply: P.SMFIP_NR_HELO },
  mail: { off: P.SMFIP_NOMAIL, noReply: P.SMFIP_NR_MAIL },
  recipient: { off: P.SMFIP_NORCPT, noReply: P.SMFIP_NR_RCPT },
  data: { off: P.SMFIP_NODATA, noReply: P.SMFIP_NR_DATA },
  header: { off: P.SMFIP_NOHDRS, noReply: P.SMFIP_NR_HDR },
  endOfHeaders: { off: P.SMFIP_NOEOH, noReply: P.SMFIP_NR_EOH },
  body: { off: P.SMFIP_NOBODY, noReply: P.SMFIP_NR_BODY },
  unknown: { off: P.SMFIP_NOUNKNOWN, noReply: P.SMFIP_NR_UNKN },
};
const EVENT_NAMES = Object.keys(EVENT_STEPS) as EventName[];

/**
 * Agrees with an MTA's offer.
 *
 * @throws {MilterProtocolError} `version_unsupported`, `actions_unsupported`, `steps_unsupported`
 */
export function negotiate(offer: Offer, wanted: Requirements): Negotiated {
  if (offer.version < P.MILTER_VERSION) {
    throw new MilterProtocolError('version_unsupported', `the MTA speaks milter version ${offer.version}, 6 is needed`);
  }
  const actions = (wanted.actions ?? 0) | (wanted.macros === undefined ? 0 : P.SMFIF_SETSYMLIST);
  const missingActions = actions & ~offer.actions;
  if (missingActions !== 0) {
    throw new MilterProtocolError('actions_unsupported', `the MTA does not offer ${P.formatActions(missingActions)}`);
  }
  const needed = (wanted.leadingSpace ? P.SMFIP_HDR_LEADSPC : 0) | (wanted.rejectedRecipients ? P.SMFIP_RCPT_REJ : 0);
  if ((needed & ~offer.steps) !== 0) {
    const bits = (needed & ~offer.steps).toString(16);
    throw new MilterProtocolError('steps_unsupported', `the MTA does not offer the protocol steps 0x${bits}`);
  }
  let steps = needed | (wanted.events.body === 'answer' ? offer.steps & P.SMFIP_SKIP : 0);
  const events = {} as Record<EventName, EventPlan>;
  for (const name of EVENT_NAMES) {
    const mode = wanted.events[name];
    const { off, noReply } = EVENT_STEPS[name];
    if (mode === undefined) steps |= offer.steps & off;
    if (mode === 'notify') steps |= offer.steps & noReply;
    events[name] = { mode, reply: (steps & noReply) === 0 };
  }
  return { version: P.MILTER_VERSION, actions, steps, events };
}

/** Encodes the answer to SMFIC_OPTNEG. */
export function encodeNegotiated({ version, actions, steps }: Negotiated, lists: MacroLists = {}): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32BE(version, 0);
  head.writeUInt32BE(actions, 4);
  head.writeUInt32BE(steps, 8);
  const parts = [head];
  for (const [stage, names] of Object.entries(lists)) {
    const index = Buffer.alloc(4);
    index.writeUInt32BE(MACRO_LIST_STAGES[stage as keyof MacroLists]);
    parts.push(index, Buffer.from(`${names.join(' ')}\0`, 'latin1'));
  }
  return encodeFrame(P.SMFIC_OPTNEG, Buffer.concat(parts));
}
