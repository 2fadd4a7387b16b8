/**
 * Handlers and SMTP dialogues of the recorded transcripts. test/transcripts/milter/record.ts runs each against Postfix;
 * transcripts.test.ts replays what Postfix sent against the same handler. What a handler is told goes to `events`.
 */

import type { Answer, EventMode, EventName, MilterHandler, Skip } from '../src/handler.ts';
import type { SessionOptions } from '../src/options.ts';
import * as P from '../src/protocol.ts';

/** A line of SMTP to send, `null` to disconnect. A data block is one line with CRLFs in it. */
export type SmtpStep = string | null;

export interface Scenario {
  readonly options: (events: string[]) => SessionOptions;
  /** One SMTP connection each. */
  readonly smtp: readonly (readonly SmtpStep[])[];
}

const ALL: Record<EventName, EventMode> = {
  connect: 'answer',
  helo: 'answer',
  mail: 'answer',
  recipient: 'answer',
  data: 'answer',
  header: 'answer',
  endOfHeaders: 'answer',
  body: 'answer',
  unknown: 'answer',
};

const MESSAGE = 'From: <a@relay.test>\r\nSubject: hi\r\nTo: <b@relay.test>\r\n\r\nline 1\r\n..dotted\r\n.\r\n';

/** Records every event; `decide` may answer it. */
function recorder(events: string[], decide: (event: string) => Answer | Skip | undefined): MilterHandler {
  // Pieces of a body depend on the chunking; what they add up to does not.
  let bodyBytes = 0;
  const note = (event: string): Answer | undefined => {
    events.push(event);
    return decide(event) as Answer | undefined;
  };
  return {
    connect: ({ hostname, family, address }) => note(`connect ${hostname} ${family} ${address}`),
    helo: (name) => note(`helo ${name}`),
    mail: (sender, parameters) => note(`mail ${[sender, ...parameters].join(' ')}`),
    recipient: (recipient, parameters) => note(`recipient ${[recipient, ...parameters].join(' ')}`),
    data: () => note('data'),
    header: (name, value) => note(`header ${name}:${value}`),
    endOfHeaders: () => note('endOfHeaders'),
    body: (piece) => {
      bodyBytes += piece.length;
      return decide('body');
    },
    endOfMessage: () => {
      note(`endOfMessage ${bodyBytes}`);
      bodyBytes = 0;
      return { verdict: 'accept' };
    },
    unknown: (line) => note(`unknown ${line}`),
    abort: () => {
      events.push('abort');
      bodyBytes = 0;
    },
    close: () => events.push('close'),
  };
}

const onError = (error: Error): never => {
  throw error;
};

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  /** As filtermail negotiates: no reply before the end of the message, then edits, or a refusal of more than one line. */
  submission: {
    options: (events) => ({
      events: {
        connect: 'notify',
        mail: 'notify',
        recipient: 'notify',
        header: 'notify',
        endOfHeaders: 'notify',
        body: 'notify',
      },
      actions: P.SMFIF_ADDHDRS | P.SMFIF_CHGHDRS,
      onError,
      handler: ({ macros }) => {
        let spam = false;
        return {
          ...recorder(events, () => undefined),
          mail(sender) {
            spam = false;
            events.push(`mail ${sender} ${macros.get('{daemon_name}')} ${macros.get('{mail_addr}')}`);
          },
          recipient(recipient) {
            events.push(`recipient ${recipient} ${macros.get('{rcpt_addr}')}`);
          },
          header(name, value) {
            if (value === 'spam') spam = true;
            events.push(`header ${name}:${value} ${macros.get('i') !== undefined}`);
          },
          async endOfMessage() {
            events.push('endOfMessage');
            if (spam) {
              const text = ['Encryption Needed: 100% of it', 'see relay.test'];
              return { verdict: 'reject', reply: { code: 523, enhanced: '5.7.1', text } };
            }
            return {
              verdict: 'accept',
              edits: [
                { edit: 'changeHeader', name: 'Subject', index: 1, value: '[...]' },
                { edit: 'deleteHeader', name: 'To', index: 1 },
                { edit: 'addHeader', name: 'X-Seen', value: 'a\n b' },
              ],
            };
          },
        };
      },
    }),
    smtp: [
      [
        'EHLO client.test',
        'MAIL FROM:<a@relay.test> SIZE=500 BODY=8BITMIME',
        'RCPT TO:<b@relay.test>',
        'RCPT TO:<B2@Relay.test> NOTIFY=NEVER',
        'DATA',
        MESSAGE,
        'MAIL FROM:<>',
        'RCPT TO:<c@relay.test>',
        'DATA',
        'Subject: spam\r\n\r\n.\r\n',
        'QUIT',
      ],
    ],
  },
  /** Every event is answered; RSET and EHLO in mid-message, commands out of place, refusals at every stage. */
  answers: {
    options: (events) => ({
      events: ALL,
      rejectedRecipients: true,
      onError,
      handler: () =>
        recorder(events, (event) => {
          if (event.includes('refused')) return { verdict: 'reject' };
          if (event.includes('later'))
            return { verdict: 'tempfail', reply: { code: 450, enhanced: '4.7.1', text: 'wait' } };
          if (event.includes('welcome')) return { verdict: 'accept' };
          return undefined;
        }),
    }),
    smtp: [
      [
        'HELO client.test',
        'FOO bar',
        'MAIL FROM:<refused@relay.test>',
        'MAIL FROM:<later@relay.test>',
        'MAIL FROM:<a@relay.test> SIZE=999999999',
        'RSET',
        'MAIL FROM:<a@relay.test>',
        'MAIL FROM:<twice@relay.test>',
        'FOO bar',
        'RCPT TO:<refused@relay.test>',
        'RCPT TO:<nobody@elsewhere.invalid>',
        'RCPT TO:<b@relay.test>',
        'RSET',
        'MAIL FROM:<a2@relay.test>',
        'EHLO again.test',
        'MAIL FROM:<a3@relay.test>',
        'RCPT TO:<welcome@relay.test>',
        'DATA',
        MESSAGE,
        'MAIL FROM:<a4@relay.test>',
        'RCPT TO:<b@relay.test>',
        'DATA',
        'X-Verdict: refused\r\nX-After: 1\r\n\r\nbody\r\n.\r\n',
        'MAIL FROM:<a5@relay.test>',
        'RCPT TO:<b@relay.test>',
        'DATA',
        MESSAGE,
        'QUIT',
      ],
    ],
  },
  /** Header values as sent, a body of two chunks skipped after the first, an empty body, a client that goes in mid-message. */
  content: {
    options: (events) => ({
      events: { mail: 'notify', header: 'notify', body: 'answer' },
      leadingSpace: true,
      onError,
      handler: () => {
        const decide = (event: string): Skip | undefined => (event === 'body' ? { verdict: 'skip' } : undefined);
        const { body, endOfMessage, ...rest } = recorder(events, decide);
        return { ...rest, body: () => ({ verdict: 'skip' }), endOfMessage: () => endOfMessage!() };
      },
    }),
    smtp: [
      [
        'EHLO client.test',
        'MAIL FROM:<a@relay.test>',
        'RCPT TO:<b@relay.test>',
        'DATA',
        `X-None:v\r\nX-Two:  v\r\nX-Tab:\tv\r\nX-Fold: a\r\n  b\r\n\tc\r\nX-8bit: gr\xfc\xdf\r\n\r\n${'x'.repeat(140_000)}\r\n.\r\n`,
        'MAIL FROM:<a@relay.test>',
        'RCPT TO:<b@relay.test>',
        'DATA',
        'Subject: empty\r\n.\r\n',
        'MAIL FROM:<a@relay.test>',
        'RCPT TO:<b@relay.test>',
        'DATA',
        null,
      ],
    ],
  },
};
