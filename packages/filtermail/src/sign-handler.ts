/**
 * The milter of mail that the MTA makes itself, which is bounces: signs it where there is something to sign with, and lets it pass
 * whatever it is and whatever happens. A bounce that is refused or put off has nowhere to go and stays in the queue.
 */

import type { Logger } from '#core';
import type { EndOfMessageAnswer, EventMode, EventName, Macros, MilterHandler, SessionContext } from '#milter';
import { FromStage } from './from-stage.ts';
import { type Judgement, Pipeline } from './pipeline.ts';
import type { Envelope, Stage } from './transaction.ts';

/** What we want to hear of; there is no need to know the envelope. */
export const SIGN_EVENTS: Readonly<Partial<Record<EventName, EventMode>>> = {
  header: 'notify',
  endOfHeaders: 'notify',
  body: 'notify',
};

export interface SignSettings {
  /** Makes the stage that signs one message; undefined where there is nothing to sign with. */
  readonly createSigning: () => Stage | undefined;
  readonly log: Logger;
}

const NO_ENVELOPE: Envelope = {
  sender: undefined,
  isNullSender: true,
  login: undefined,
  clientAddress: undefined,
  recipients: [],
  recipientCount: 0,
};

export class SignHandler implements MilterHandler {
  readonly #settings: SignSettings;
  readonly #macros: Macros;
  #pipeline: Pipeline | undefined;
  #failed = false;

  constructor(settings: SignSettings, { macros }: SessionContext) {
    this.#settings = settings;
    this.#macros = macros;
  }

  header(name: string, value: string): void {
    this.#try((pipeline) => pipeline.header(name, value));
  }

  endOfHeaders(): void {
    this.#try((pipeline) => pipeline.endOfHeaders());
  }

  body(piece: Buffer): void {
    this.#try((pipeline) => pipeline.body(piece));
  }

  endOfMessage(): EndOfMessageAnswer | Promise<EndOfMessageAnswer> {
    const judgement = this.#try((pipeline) => pipeline.decide(NO_ENVELOPE));
    if (judgement instanceof Promise) {
      return judgement.catch((error: unknown) => this.#fail(error)).then((late) => this.#answer(late));
    }
    return this.#answer(judgement);
  }

  /** A refusal only says that this was not signed. */
  #answer(judgement: Judgement | undefined): EndOfMessageAnswer {
    this.abort();
    return { verdict: 'accept', edits: judgement?.verdict.verdict === 'accept' ? judgement.edits : [] };
  }

  abort(): void {
    this.#pipeline = undefined;
    this.#failed = false;
  }

  #try<T>(work: (pipeline: Pipeline) => T): T | undefined {
    if (this.#failed) return undefined;
    try {
      this.#pipeline ??= this.#createPipeline();
      return work(this.#pipeline);
    } catch (error) {
      return this.#fail(error);
    }
  }

  #createPipeline(): Pipeline {
    const signing = this.#settings.createSigning();
    return new Pipeline(signing ? [new FromStage(), signing] : []);
  }

  #fail(error: unknown): undefined {
    this.#failed = true;
    this.#settings.log.error('signing failed', { queueId: this.#macros.get('i'), error });
  }
}
