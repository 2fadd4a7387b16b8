/**
 * Between the milter protocol and the policy: events of one MTA connection -> the stages of a message -> its verdict as an
 * answer. Everything is judged at the end of the message and nothing before it is answered (SMFIP_NR_*), which saves a round trip
 * for every event; a refusal still reaches the sender in its own SMTP session, with the best reason there is.
 * Addresses come from the MTA's macros, never from what the SMTP client typed.
 */

import { type Address, type Logger, parseAddress } from '#core';
import type { Client, EndOfMessageAnswer, EventMode, EventName, Macros, MilterHandler, SessionContext } from '#milter';
import type { FilterMetrics } from './filter-metrics.ts';
import type { Direction } from './part-header.ts';
import { type Judgement, Pipeline } from './pipeline.ts';
import { type Envelope, MAX_RECIPIENTS_KEPT, type Stage } from './transaction.ts';
import { formatReply, tempfail } from './verdict.ts';

/** What we want to hear of, and that the MTA need not wait for us. */
export const FILTER_EVENTS: Readonly<Partial<Record<EventName, EventMode>>> = {
  mail: 'notify',
  recipient: 'notify',
  header: 'notify',
  endOfHeaders: 'notify',
  body: 'notify',
};

/** Incoming, who delivers is of interest too. */
export const INCOMING_EVENTS: typeof FILTER_EVENTS = { ...FILTER_EVENTS, connect: 'notify' };

export interface FilterSettings {
  readonly direction: Direction;
  /** Makes the stages of one message. */
  readonly createStages: () => readonly Stage[];
  readonly metrics: FilterMetrics;
  readonly log: Logger;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

/** What is kept of a message until its end; constant in size but for the recipients. */
interface Message {
  readonly pipeline: Pipeline;
  readonly recipients: (Address | undefined)[];
  sender: string | undefined;
  login: string | undefined;
  recipientCount: number;
  bodyBytes: number;
  shareMs: number;
}

/** Judges the messages of one MTA connection. */
export class FilterHandler implements MilterHandler {
  readonly #settings: FilterSettings;
  readonly #macros: Macros;
  #message: Message | undefined;
  #clientAddress: string | undefined;

  constructor(settings: FilterSettings, { macros }: SessionContext) {
    this.#settings = settings;
    this.#macros = macros;
  }

  connect({ address }: Client): void {
    this.#clientAddress = address === '' ? undefined : address;
  }

  mail(sender: string): void {
    this.#message = undefined;
    this.#timed((message) => {
      message.sender = this.#macros.get('{mail_addr}') ?? bareAddress(sender);
      message.login = this.#macros.get('{auth_authen}');
    });
  }

  recipient(): void {
    this.#timed((message) => {
      message.recipientCount++;
      if (message.recipients.length >= MAX_RECIPIENTS_KEPT) return;
      message.recipients.push(parseUtf8Address(this.#macros.get('{rcpt_addr}') ?? ''));
    });
  }

  header(name: string, value: string): void {
    this.#timed(({ pipeline }) => pipeline.header(name, value));
  }

  endOfHeaders(): void {
    this.#timed(({ pipeline }) => pipeline.endOfHeaders());
  }

  body(piece: Buffer): void {
    this.#timed((message) => {
      message.bodyBytes += piece.length;
      message.pipeline.body(piece);
    });
  }

  endOfMessage(): EndOfMessageAnswer | Promise<EndOfMessageAnswer> {
    const began = this.#settings.now();
    const message = this.#begun();
    this.#message = undefined;
    // A late answer may find the macros of the next message.
    const queueId = this.#macros.get('i');
    let judgement: Judgement | Promise<Judgement>;
    try {
      judgement = message.pipeline.decide(envelopeOf(message, this.#clientAddress));
    } catch (error) {
      judgement = this.#failed(error);
    }
    if (!(judgement instanceof Promise)) return this.#answer(message, judgement, began, queueId);
    return judgement
      .catch((error: unknown) => this.#failed(error))
      .then((late) => this.#answer(message, late, began, queueId));
  }

  abort(): void {
    this.#message = undefined;
  }

  #answer(message: Message, { verdict, edits }: Judgement, began: number, queueId?: string): EndOfMessageAnswer {
    const { direction, metrics, log, now } = this.#settings;
    const endOfMessageMs = now() - began;
    metrics.judged(direction, verdict, {
      endOfMessageMs,
      shareMs: message.shareMs + endOfMessageMs,
      bodyBytes: message.bodyBytes,
    });
    const fields = { queueId, listener: direction, reason: verdict.reason };
    if (verdict.verdict === 'accept') {
      log.debug('accepted', fields);
      return { verdict: 'accept', edits };
    }
    log.info(verdict.verdict === 'reject' ? 'refused' : 'put off', fields);
    return { verdict: verdict.verdict, reply: formatReply(verdict) };
  }

  #failed(error: unknown): Judgement {
    this.#settings.log.error('judging failed', { queueId: this.#macros.get('i'), error });
    return { verdict: tempfail('internal'), edits: [] };
  }

  #begun(): Message {
    this.#message ??= {
      pipeline: new Pipeline(this.#settings.createStages()),
      recipients: [],
      sender: undefined,
      login: undefined,
      recipientCount: 0,
      bodyBytes: 0,
      shareMs: 0,
    };
    return this.#message;
  }

  /** Does something with the message, and counts the time it takes. */
  #timed(work: (message: Message) => void): void {
    const began = this.#settings.now();
    const message = this.#begun();
    work(message);
    message.shareMs += this.#settings.now() - began;
  }
}

function envelopeOf(
  { sender, login, recipients, recipientCount }: Message,
  clientAddress: string | undefined,
): Envelope {
  return {
    clientAddress,
    sender: parseUtf8Address(sender ?? ''),
    isNullSender: sender === '',
    login: login === undefined ? undefined : decodeUtf8(login),
    recipients,
    recipientCount,
  };
}

/** The macros of a message may hold UTF-8 (RFC 6531); the milter library hands out bytes. */
function parseUtf8Address(bytes: string): Address | undefined {
  return parseAddress(decodeUtf8(bytes));
}

function decodeUtf8(bytes: string): string {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Only for an MTA that gives no `{mail_addr}`; what is no plain address then fails to parse. */
function bareAddress(typed: string): string {
  return typed.startsWith('<') && typed.endsWith('>') ? typed.slice(1, -1) : typed;
}
