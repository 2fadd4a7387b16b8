/**
 * Frame -> command: the data of each SMFIC_* as a typed value. Source: milter-protocol.txt, checked against
 * Postfix 3.7 src/milter/milter8.c. SMFIC_BODY has no value here: its bytes go straight from frame.ts to the session.
 * Strings are byte strings (see handler.ts) and must be NUL-terminated; nothing may follow the last one.
 */

import { MilterProtocolError } from './errors.ts';
import type { Client } from './handler.ts';
import * as P from './protocol.ts';

/** What an MTA offers in SMFIC_OPTNEG. */
export interface Offer {
  readonly version: number;
  /** SMFIF_* bits. */
  readonly actions: number;
  /** SMFIP_* bits. */
  readonly steps: number;
}

/** A command that is an event of the handler, by the event's name. */
export type EventCommand =
  | { readonly type: 'connect'; readonly client: Client }
  | { readonly type: 'helo'; readonly name: string }
  | { readonly type: 'mail'; readonly sender: string; readonly parameters: readonly string[] }
  | { readonly type: 'recipient'; readonly recipient: string; readonly parameters: readonly string[] }
  | { readonly type: 'data' }
  | { readonly type: 'header'; readonly name: string; readonly value: string }
  | { readonly type: 'endOfHeaders' }
  | { readonly type: 'unknown'; readonly line: string };

/** Any command. `macros` and `endOfMessage` hold a view of the frame, valid as long as that is. */
export type Command =
  | EventCommand
  | { readonly type: 'negotiate'; readonly offer: Offer }
  | { readonly type: 'macros'; readonly stage: number; readonly bytes: Buffer }
  | { readonly type: 'endOfMessage'; readonly body: Buffer }
  | { readonly type: 'abort' }
  | { readonly type: 'quit' }
  | { readonly type: 'nextClient' };

const NUL = 0;
const OFFER_BYTES = 12;

const FAMILIES: ReadonlyMap<number, Client['family']> = new Map([
  [0x34, 'inet'], // 4
  [0x36, 'inet6'], // 6
  [0x4c, 'unix'], // L
  [0x55, 'unknown'], // U
]);

/**
 * Decodes one frame.
 *
 * @throws {MilterProtocolError} `command_unknown`, `command_malformed`
 */
export function decodeCommand(command: number, data: Buffer): Command {
  switch (command) {
    case P.SMFIC_OPTNEG:
      return { type: 'negotiate', offer: decodeOffer(data) };
    case P.SMFIC_MACRO:
      return decodeMacroCommand(data);
    case P.SMFIC_CONNECT:
      return { type: 'connect', client: decodeClient(data) };
    case P.SMFIC_HELO:
      return { type: 'helo', name: decodeString(command, data) };
    case P.SMFIC_MAIL: {
      const [sender, ...parameters] = decodeStrings(command, data);
      return { type: 'mail', sender: sender!, parameters };
    }
    case P.SMFIC_RCPT: {
      const [recipient, ...parameters] = decodeStrings(command, data);
      return { type: 'recipient', recipient: recipient!, parameters };
    }
    case P.SMFIC_HEADER:
      return decodeHeader(data);
    case P.SMFIC_BODYEOB:
      return { type: 'endOfMessage', body: data };
    case P.SMFIC_UNKNOWN:
      return { type: 'unknown', line: decodeString(command, data) };
    case P.SMFIC_DATA:
      return { type: 'data' };
    case P.SMFIC_EOH:
      return { type: 'endOfHeaders' };
    case P.SMFIC_ABORT:
      return { type: 'abort' };
    case P.SMFIC_QUIT:
      return { type: 'quit' };
    case P.SMFIC_QUIT_NC:
      return { type: 'nextClient' };
    default:
      throw new MilterProtocolError('command_unknown', `command byte 0x${command.toString(16)}`);
  }
}

/** Later versions may add fields behind the three. */
function decodeOffer(data: Buffer): Offer {
  if (data.length < OFFER_BYTES) throw malformed(P.SMFIC_OPTNEG, 'too short');
  return { version: data.readUInt32BE(0), actions: data.readUInt32BE(4), steps: data.readUInt32BE(8) };
}

function decodeMacroCommand(data: Buffer): Command {
  const stage = data[0];
  if (stage === undefined) throw malformed(P.SMFIC_MACRO, 'no stage');
  if (data.length > 1 && data[data.length - 1] !== NUL) throw malformed(P.SMFIC_MACRO, 'no NUL at the end');
  return { type: 'macros', stage, bytes: data.subarray(1) };
}

/** hostname NUL family, and for known families: port uint16 BE, address NUL. */
function decodeClient(data: Buffer): Client {
  const nul = data.indexOf(NUL);
  const family = FAMILIES.get(data[nul + 1] ?? -1);
  if (nul === -1 || family === undefined) throw malformed(P.SMFIC_CONNECT, 'no address family');
  const hostname = data.toString('latin1', 0, nul);
  if (family === 'unknown') return { hostname, family, address: '', port: 0 };
  const addressStart = nul + 4;
  if (data.length <= addressStart) throw malformed(P.SMFIC_CONNECT, 'no address');
  const address = decodeString(P.SMFIC_CONNECT, data.subarray(addressStart));
  return { hostname, family, address, port: data.readUInt16BE(nul + 2) };
}

/** The hot one: written without an intermediate array. */
function decodeHeader(data: Buffer): Command {
  const nul = data.indexOf(NUL);
  const last = data.length - 1;
  if (nul === -1 || nul === last || data.indexOf(NUL, nul + 1) !== last) {
    throw malformed(P.SMFIC_HEADER, 'not two strings');
  }
  return { type: 'header', name: data.toString('latin1', 0, nul), value: data.toString('latin1', nul + 1, last) };
}

function decodeString(command: number, data: Buffer): string {
  const last = data.length - 1;
  if (last < 0 || data.indexOf(NUL) !== last) throw malformed(command, 'not one string');
  return data.toString('latin1', 0, last);
}

/** One or more strings. */
function decodeStrings(command: number, data: Buffer): string[] {
  const last = data.length - 1;
  if (last < 0 || data[last] !== NUL) throw malformed(command, 'no NUL at the end');
  return data.toString('latin1', 0, last).split('\0');
}

function malformed(command: number, why: string): MilterProtocolError {
  return new MilterProtocolError('command_malformed', `${P.COMMAND_NAMES.get(command)}: ${why}`);
}
