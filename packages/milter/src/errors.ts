/**
 * Errors of the milter library. Two kinds, because two parties can be at fault: the MTA broke the protocol
 * ({@link MilterProtocolError}: the connection is closed), or our own handler gave an answer that cannot be sent
 * ({@link MilterAnswerError}: the message is tempfailed, the connection goes on). Codes are stable; texts are not.
 */

/**
 * What the MTA did wrong.
 *
 * - `frame_empty`: a frame of length 0, which has no command byte
 * - `frame_too_large`: a frame above MAX_FRAME_BYTES
 * - `command_unknown`: a command byte that version 6 does not have
 * - `command_malformed`: a known command whose data does not parse
 * - `command_out_of_order`: a command that cannot come at this point of the session
 * - `macros_too_large`: more macro data for one stage than MAX_MACRO_BYTES
 * - `version_unsupported`: the MTA speaks an older protocol than version 6
 * - `actions_unsupported`: the MTA does not offer an action (SMFIF_*) we need
 * - `steps_unsupported`: the MTA does not offer a protocol variation (SMFIP_*) we need
 * - `idle_timeout`: nothing was read for longer than `idleTimeoutMs`
 * - `read_timeout`: the MTA stopped in the middle of a frame or of a message's content for `readTimeoutMs`
 */
export type MilterProtocolErrorCode =
  | 'frame_empty'
  | 'frame_too_large'
  | 'command_unknown'
  | 'command_malformed'
  | 'command_out_of_order'
  | 'macros_too_large'
  | 'version_unsupported'
  | 'actions_unsupported'
  | 'steps_unsupported'
  | 'idle_timeout'
  | 'read_timeout';

/** The MTA broke the protocol, or offers less than we need. The connection cannot go on. */
export class MilterProtocolError extends Error {
  readonly code: MilterProtocolErrorCode;

  constructor(code: MilterProtocolErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MilterProtocolError';
    this.code = code;
  }
}

/**
 * What was wrong with a handler's answer.
 *
 * - `reply_invalid`: an SMTP reply that is no 4xx/5xx with a matching enhanced code
 * - `edit_invalid`: an edit that would inject a header, a command or a NUL, or has an impossible index
 * - `action_not_negotiated`: an edit whose SMFIF_* action was not asked for
 * - `answer_not_possible`: an answer this event does not have, or `discard` without `allowDiscard`
 * - `answer_to_notification`: an answer to an event that was negotiated without reply
 * - `answer_timeout`: no answer within `answerTimeoutMs`
 */
export type MilterAnswerErrorCode =
  | 'reply_invalid'
  | 'edit_invalid'
  | 'action_not_negotiated'
  | 'answer_not_possible'
  | 'answer_to_notification'
  | 'answer_timeout';

/** A handler's answer cannot be sent. The message is tempfailed. */
export class MilterAnswerError extends Error {
  readonly code: MilterAnswerErrorCode;

  constructor(code: MilterAnswerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'MilterAnswerError';
    this.code = code;
  }
}
