/**
 * Answers and edits -> frames. Source: milter-protocol.txt SMFIR_*; Postfix 3.7 milter8.c milter8_event.
 * Everything a handler gives is checked here, because what it gives may come from a message: nothing may become a header, a
 * recipient or an SMTP reply line of its own. Every string goes out with its NUL (without it Postfix 3.7 reads on into
 * stale memory), no reply text ends in CRLF (that would desynchronise the SMTP dialogue).
 */

import { MilterAnswerError } from './errors.ts';
import { encodeFrame } from './frame.ts';
import type { Answer, Edit, EndOfMessageAnswer, Reply, Skip } from './handler.ts';
import * as P from './protocol.ts';

const CONTINUE_FRAME = encodeFrame(P.SMFIR_CONTINUE);
const ACCEPT_FRAME = encodeFrame(P.SMFIR_ACCEPT);
const DISCARD_FRAME = encodeFrame(P.SMFIR_DISCARD);
const REJECT_FRAME = encodeFrame(P.SMFIR_REJECT);
const SKIP_FRAME = encodeFrame(P.SMFIR_SKIP);
const TEMPFAIL_FRAME = encodeFrame(P.SMFIR_TEMPFAIL);

/** Tells the MTA that the answer to the end of message is still being worked on. */
export const PROGRESS_FRAME: Buffer = encodeFrame(P.SMFIR_PROGRESS);

/** Longest SMTP reply line without its CRLF, bytes (RFC 5321 §4.5.3.1.5). */
const MAX_REPLY_LINE_BYTES = 510;
/** Most lines in one reply (libmilter MAXREPLIES). */
const MAX_REPLY_LINES = 32;
const MAX_UINT32 = 0xffff_ffff;

/** Our own failure: the sender may try again. Says nothing of the cause. */
export const FAILURE_REPLY: Reply = { code: 451, enhanced: '4.3.0', text: 'Temporary failure, try again later' };

/**
 * Encodes the answer to an event before the end of the message.
 *
 * @throws {MilterAnswerError} `reply_invalid`, `answer_not_possible`
 */
export function encodeAnswer(answer: Answer | Skip): Buffer {
  switch (answer.verdict) {
    case 'continue':
      return CONTINUE_FRAME;
    case 'accept':
      return ACCEPT_FRAME;
    case 'discard':
      return DISCARD_FRAME;
    case 'skip':
      return SKIP_FRAME;
    case 'reject':
      return answer.reply === undefined ? REJECT_FRAME : encodeReply(answer.reply, 5);
    case 'tempfail':
      return answer.reply === undefined ? TEMPFAIL_FRAME : encodeReply(answer.reply, 4);
    default:
      throw new MilterAnswerError('answer_not_possible', 'an answer without a known verdict');
  }
}

/**
 * Encodes the answer to the end of a message: its edits and its verdict, to be sent in one write.
 *
 * @param actions SMFIF_* bits negotiated
 * @throws {MilterAnswerError} `reply_invalid`, `edit_invalid`, `action_not_negotiated`, `answer_not_possible`
 */
export function encodeEndOfMessage(answer: EndOfMessageAnswer, actions: number): Buffer {
  const verdict = encodeAnswer(answer);
  if (!('edits' in answer) || answer.edits === undefined || answer.edits.length === 0) return verdict;
  // The types allow edits on these two only; a message that does not pass must not look as if it had been edited.
  if (answer.verdict !== 'accept' && answer.verdict !== 'continue') {
    throw new MilterAnswerError('answer_not_possible', 'edits to a message that does not pass');
  }
  if (answer.edits.filter(({ edit }) => edit === 'replaceBody').length > 1) {
    throw new MilterAnswerError('edit_invalid', 'two replacements of one body');
  }
  return Buffer.concat([...answer.edits.flatMap((edit) => encodeEdit(edit, actions)), verdict]);
}

function encodeEdit(edit: Edit, actions: number): Buffer[] {
  const action = actionOf(edit);
  if ((actions & action) === 0) {
    throw new MilterAnswerError('action_not_negotiated', `${edit.edit} needs ${P.formatActions(action)}`);
  }
  switch (edit.edit) {
    case 'addHeader':
      return [encodeStrings(P.SMFIR_ADDHEADER, [fieldName(edit.name), fieldValue(edit.value)])];
    case 'insertHeader':
      return [encodeStrings(P.SMFIR_INSHEADER, [fieldName(edit.name), fieldValue(edit.value)], index(edit.index, 0))];
    case 'changeHeader':
      if (edit.value === '') throw new MilterAnswerError('edit_invalid', 'an empty value deletes: use deleteHeader');
      return [encodeStrings(P.SMFIR_CHGHEADER, [fieldName(edit.name), fieldValue(edit.value)], index(edit.index, 1))];
    case 'deleteHeader':
      return [encodeStrings(P.SMFIR_CHGHEADER, [fieldName(edit.name), ''], index(edit.index, 1))];
    case 'replaceBody':
      return encodeBody(edit.body);
    case 'addRecipient':
      if (edit.parameters === undefined) return [encodeStrings(P.SMFIR_ADDRCPT, [argument(edit.recipient)])];
      return [encodeStrings(P.SMFIR_ADDRCPT_PAR, [argument(edit.recipient), argument(edit.parameters)])];
    case 'deleteRecipient':
      return [encodeStrings(P.SMFIR_DELRCPT, [argument(edit.recipient)])];
    case 'changeSender': {
      const parameters = edit.parameters === undefined ? [] : [argument(edit.parameters)];
      return [encodeStrings(P.SMFIR_CHGFROM, [argument(edit.sender), ...parameters])];
    }
    case 'quarantine':
      return [encodeStrings(P.SMFIR_QUARANTINE, [printable(edit.reason.slice(0, MAX_REPLY_LINE_BYTES))])];
  }
}

function actionOf(edit: Edit): number {
  switch (edit.edit) {
    case 'addHeader':
    case 'insertHeader':
      return P.SMFIF_ADDHDRS;
    case 'changeHeader':
    case 'deleteHeader':
      return P.SMFIF_CHGHDRS;
    case 'replaceBody':
      return P.SMFIF_CHGBODY;
    case 'addRecipient':
      return edit.parameters === undefined ? P.SMFIF_ADDRCPT : P.SMFIF_ADDRCPT_PAR;
    case 'deleteRecipient':
      return P.SMFIF_DELRCPT;
    case 'changeSender':
      return P.SMFIF_CHGFROM;
    case 'quarantine':
      return P.SMFIF_QUARANTINE;
    default:
      throw new MilterAnswerError('edit_invalid', 'an edit of no known kind');
  }
}

/** SMFIR_REPLYCODE: `code enhanced text`, lines joined by CRLF with `-` after the code on all but the last. */
function encodeReply({ code, enhanced, text }: Reply, replyClass: 4 | 5): Buffer {
  if (!Number.isInteger(code) || Math.trunc(code / 100) !== replyClass) {
    throw new MilterAnswerError('reply_invalid', `reply code ${code} where ${replyClass}xx is needed`);
  }
  if (!/^[45]\.\d{1,3}\.\d{1,3}$/.test(enhanced) || !enhanced.startsWith(String(replyClass))) {
    throw new MilterAnswerError('reply_invalid', `enhanced status code ${enhanced} with reply code ${code}`);
  }
  const lines = (typeof text === 'string' ? [text] : text).slice(0, MAX_REPLY_LINES);
  if (lines.length === 0) lines.push('');
  const wire = lines.map((line, i) => {
    const separator = i === lines.length - 1 ? ' ' : '-';
    const whole = `${code}${separator}${enhanced} ${printable(line.slice(0, MAX_REPLY_LINE_BYTES))}`.slice(
      0,
      MAX_REPLY_LINE_BYTES,
    );
    // A single % is taken for the start of a format by libmilter's heirs, and dropped.
    return whole.replaceAll('%', '%%');
  });
  return encodeStrings(P.SMFIR_REPLYCODE, [wire.join('\r\n')]);
}

/** At most MILTER_CHUNK_SIZE bytes per frame; an empty body is one empty chunk. */
function encodeBody(body: Uint8Array): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < body.length; at += P.MILTER_CHUNK_SIZE) {
    frames.push(encodeFrame(P.SMFIR_REPLBODY, body.subarray(at, at + P.MILTER_CHUNK_SIZE)));
  }
  return frames;
}

/** A frame of NUL-terminated strings, after a number where there is one. */
function encodeStrings(command: number, strings: readonly string[], number?: number): Buffer {
  const text = Buffer.from(`${strings.join('\0')}\0`, 'latin1');
  const data = number === undefined ? text : Buffer.concat([uint32(number), text]);
  if (data.length >= P.MAX_FRAME_BYTES) {
    throw new MilterAnswerError('edit_invalid', `${data.length} bytes do not fit into a frame`);
  }
  return encodeFrame(command, data);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function index(value: number, lowest: number): number {
  if (Number.isInteger(value) && value >= lowest && value <= MAX_UINT32) return value;
  throw new MilterAnswerError('edit_invalid', `header index ${value}`);
}

/** RFC 5322 §3.6.8 ftext. */
function fieldName(name: string): string {
  if (/^[!-9;-~]+$/.test(name)) return name;
  throw new MilterAnswerError('edit_invalid', 'not a header field name');
}

/** Bytes, with line breaks only where the next line continues this one. */
function fieldValue(value: string): string {
  if (!/[\0\r\n\u0100-\uffff]/.test(value)) return value;
  const unfolded = value.replaceAll(/\r?\n(?=[ \t])/g, '');
  if (!/[\0\r\n\u0100-\uffff]/.test(unfolded)) return value;
  throw new MilterAnswerError(
    'edit_invalid',
    'a header value with a NUL, a bare line break or a character that is no byte',
  );
}

/** An address or its parameters: bytes without control characters. */
function argument(value: string): string {
  if (value !== '' && !/[\0-\x1f\x7f\u0100-\uffff]/.test(value)) return value;
  throw new MilterAnswerError('edit_invalid', 'an envelope argument that is empty or holds a control character');
}

/** RFC 5321 §4.2 textstring: control characters become spaces, anything beyond ASCII a `?`. */
function printable(text: string): string {
  return text.replaceAll(/[\0-\x1f\x7f]/g, ' ').replaceAll(/[^ -~]/g, '?');
}
