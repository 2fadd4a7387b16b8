/**
 * The milter protocol (version 6), the milter's side: what Postfix calls to have mail judged while its sender waits.
 *
 * {@link MilterServer} speaks it on a socket. A program gives it its {@link Requirements} (which events, which edits) and a
 * {@link HandlerFactory}, which makes a {@link MilterHandler} for every connection; answers are plain values. The MTA's side,
 * for tests, is `#milter/testing`.
 */

export {
  MilterAnswerError,
  type MilterAnswerErrorCode,
  MilterProtocolError,
  type MilterProtocolErrorCode,
} from './errors.ts';
export type {
  Accept,
  Answer,
  Client,
  Continue,
  Discard,
  Edit,
  EndOfMessageAnswer,
  EventMode,
  EventName,
  HandlerFactory,
  MilterHandler,
  Outcome,
  Reject,
  Reply,
  SessionContext,
  Skip,
  Tempfail,
} from './handler.ts';
export type { Macros } from './macros.ts';
export type { EventPlan, MacroLists, Negotiated, Requirements } from './negotiate.ts';
export type { ErrorContext, MilterServerOptions, SessionOptions } from './options.ts';
export {
  SMFIF_ADDHDRS,
  SMFIF_ADDRCPT,
  SMFIF_ADDRCPT_PAR,
  SMFIF_CHGBODY,
  SMFIF_CHGFROM,
  SMFIF_CHGHDRS,
  SMFIF_DELRCPT,
  SMFIF_QUARANTINE,
} from './protocol.ts';
export { MilterServer } from './server.ts';
