/**
 * The two ways a dict conversation goes wrong: the peer broke the protocol, or our own handler did.
 * Source: the classes of error in STYLE.md. Omits outcomes: "not found" and "failed" are replies, values of reply.ts.
 */

/**
 * What the peer did:
 * - `line-too-long`: no LF within the line limit;
 * - `no-hello`: the first line is not a handshake, or a later line is one;
 * - `unsupported-version`: a major version other than 3 (Dovecot 2.3) or 4 (Dovecot 2.4);
 * - `bad-number`: a transaction id, flag or count that is not a number in range;
 * - `unknown-transaction`, `duplicate-transaction`: an id that is not open, or is open already;
 * - `too-many-transactions`: more open transactions than the connection may have.
 */
export type DictProtocolErrorCode =
  | 'line-too-long'
  | 'no-hello'
  | 'unsupported-version'
  | 'bad-number'
  | 'unknown-transaction'
  | 'duplicate-transaction'
  | 'too-many-transactions';

/** The peer broke the dict protocol; the connection cannot go on. The message never holds bytes of the peer. */
export class DictProtocolError extends Error {
  override readonly name = 'DictProtocolError';
  readonly code: DictProtocolErrorCode;

  constructor(code: DictProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * What the handler did:
 * - `timeout`: no answer, or no next row, within the handler's time;
 * - `bad-reply`: an answer that the reply table does not allow for the command;
 * - `bad-row`: an iteration row outside the path that was asked for (Dovecot aborts the process that reads such a row);
 * - `not-supported`: the handler has no function for the command.
 */
export type DictHandlerErrorCode = 'timeout' | 'bad-reply' | 'bad-row' | 'not-supported';

/** Our side failed to answer; the peer gets the reply of `onHandlerError` and the connection goes on. */
export class DictHandlerError extends Error {
  override readonly name = 'DictHandlerError';
  readonly code: DictHandlerErrorCode;

  constructor(code: DictHandlerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
