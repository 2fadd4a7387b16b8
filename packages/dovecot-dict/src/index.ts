/**
 * Dovecot's dict protocol, server side: the public surface.
 * A daemon implements `DictHandler` and makes `createDictServer(handler, options).server` listen.
 */

export {
  type CommitCommand,
  DICT_ITERATE_FLAG_EXACT_KEY,
  DICT_ITERATE_FLAG_NO_VALUE,
  DICT_ITERATE_FLAG_RECURSE,
  DICT_ITERATE_FLAG_SORT_BY_KEY,
  DICT_ITERATE_FLAG_SORT_BY_VALUE,
  type DictVersion,
  type IterateCommand,
  type LookupCommand,
} from './command.ts';
export {
  DictHandlerError,
  type DictHandlerErrorCode,
  DictProtocolError,
  type DictProtocolErrorCode,
} from './errors.ts';
export type {
  AnsweredCommand,
  DictHandler,
  DictOperation,
  DictPeer,
  DictRows,
  DictTransaction,
  HandlerErrorReply,
} from './handler.ts';
export type { SessionLimits, TransactionLimits } from './limits.ts';
export { type ClientLookupReply, type LookupQuestion, lookUp } from './lookup-client.ts';
export {
  type Bytes,
  type CommitReply,
  type Committed,
  committed,
  type DictRow,
  type Failed,
  type Found,
  type FoundMany,
  failed,
  found,
  foundMany,
  type LookupReply,
  type NotFound,
  notFound,
  type Uncertain,
  uncertain,
} from './reply.ts';
export { createDictServer, type DictServer, type DictServerOptions } from './server.ts';
export type { SessionOptions } from './session.ts';
export { tabEscape } from './tabescape.ts';
