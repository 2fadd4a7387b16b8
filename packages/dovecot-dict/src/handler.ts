/**
 * What a daemon provides to serve a dict, and what it is told. Types only.
 * Source: the commands of dovecot 2.3.19 src/lib-dict/dict-client.h, seen from the server.
 * Bytes: keys, paths, users and values are Buffers with exactly the peer's bytes, because a passdb key holds a password
 * that need not be UTF-8. Decode with `toString('latin1')` where text is wanted: it loses nothing, and a name with
 * bytes above 0x7f can then never pass for an ASCII one.
 */
import type { CommitCommand, DictVersion, IterateCommand, LookupCommand } from './command.ts';
import type { CommitReply, DictRow, Failed, LookupReply } from './reply.ts';

/** What the handshake said; the same object for the whole connection. */
export interface DictPeer {
  readonly version: DictVersion;
  /** The name at the end of `proxy:/path:name`, decoded as UTF-8. */
  readonly dictName: string;
}

export type DictOperation =
  | { readonly type: 'set'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'unset'; readonly key: Buffer }
  /** Add to the integer under `key`. If there is none, nothing of the transaction happens: reply `notFound`. */
  | { readonly type: 'increment'; readonly key: Buffer; readonly diff: bigint };

/** A whole transaction, in the order of its operations. It happens completely or not at all. */
export interface DictTransaction {
  readonly user: Buffer;
  readonly operations: readonly DictOperation[];
  /** Seconds after which what is set here may be forgotten; 0 is never. Always 0 from Dovecot 2.3. */
  readonly expireSecs: number;
  /** The client's time of the write, where it sent one. */
  readonly timestamp?: { readonly secs: number; readonly nanos: number };
  /** Values must not be logged (Dovecot 2.4). */
  readonly hideLogValues: boolean;
}

export type DictRows = Iterable<DictRow> | AsyncIterable<DictRow>;

/**
 * The functions behind one dict socket. Each may answer at once or by a promise: an answer at once costs no promise.
 * One connection waits for an answer before its next command starts, so a lookup sees the commits before it.
 * Throwing is answered by `onHandlerError`. Without a function, its command is a handler error `not-supported`.
 */
export interface DictHandler {
  lookup?(command: LookupCommand, peer: DictPeer): LookupReply | Promise<LookupReply>;
  /**
   * Rows are pulled no faster than the client reads them. `maxRows` and `DICT_ITERATE_FLAG_NO_VALUE` are applied for the
   * handler; the other flags are its own duty. When the client leaves, the iterator's `return` is called.
   */
  iterate?(command: IterateCommand, peer: DictPeer): DictRows | Failed | Promise<DictRows | Failed>;
  commit?(transaction: DictTransaction, peer: DictPeer): CommitReply | Promise<CommitReply>;
}

/** The commands that get a reply. */
export type AnsweredCommand = LookupCommand | IterateCommand | CommitCommand;

/**
 * Chooses the reply when the handler threw, was late or answered nonsense. A passdb must answer a lookup `found('')`:
 * anything else makes Dovecot 2.3 write the password to its log. Undefined, or a reply that does not fit the command,
 * means `failed('internal error')`; for a commit that timed out, `uncertain`.
 */
export type HandlerErrorReply = (error: unknown, command: AnsweredCommand) => LookupReply | CommitReply | undefined;
