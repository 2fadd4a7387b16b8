/**
 * What the peer is told when the handler threw, was late or answered nonsense.
 * `F` in general; a passdb chooses an empty value instead, because Dovecot 2.3 logs the key of a lookup that failed, and
 * with it the password.
 * Never tells why: the error's message may hold anything, and Dovecot logs what it gets.
 */
import { DictHandlerError } from './errors.ts';
import type { AnsweredCommand, HandlerErrorReply } from './handler.ts';
import {
  type CommitReply,
  encodeCommitReply,
  encodeIterationFailure,
  encodeLookupReply,
  type Failed,
  failed,
  type LookupReply,
  uncertain,
} from './reply.ts';

/** Encodes the reply that `choose` gives, if it gives one that fits the command, else a generic failure. */
export function encodeHandlerError(
  error: unknown,
  command: AnsweredCommand,
  choose: HandlerErrorReply | undefined,
): Buffer {
  try {
    const reply = choose?.(error, command);
    if (reply !== undefined) return encodeAnswer(reply, command);
  } catch {
    // The generic failure is all that is left: the callback threw, or chose the reply of another command.
  }
  const isLate = error instanceof DictHandlerError && error.code === 'timeout';
  const reply = command.type === 'commit' && isLate ? uncertain('no answer in time') : failed('internal error');
  return encodeAnswer(reply, command);
}

/** The encoders refuse a reply that is not of their command. */
function encodeAnswer(reply: LookupReply | CommitReply, command: AnsweredCommand): Buffer {
  switch (command.type) {
    case 'lookup':
      return encodeLookupReply(reply as LookupReply);
    case 'commit':
      return encodeCommitReply(reply as CommitReply, command.id);
    case 'iterate':
      return encodeIterationFailure(reply as Failed);
  }
}
